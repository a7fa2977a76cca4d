"""Decisions: one command over the books, with its idempotency key.

The same key with the same request answers what was granted before, in its present state; with another
request it is refused. A refusal keeps no key: it is decided anew (PRODUCT.md 4).
"""

from datetime import datetime
from typing import TypeVar, assert_never
from uuid import UUID

from domain import adjustments, controls, recordings, reservations, settlements
from domain.adjustments import Adjusted, AdjustWallet, Grant
from domain.books import Books, Changes, Decision, Used, debts_repaid
from domain.controls import BudgetState, PauseScope, RemoveBudget, ResumeScope, ScopeState, SetBudget
from domain.money import fits_storage
from domain.recordings import Record, Recording
from domain.refusals import IdempotencyKeyReused, Refusal, invalid
from domain.reservations import Extend, Granted, Release, Released, Reserve
from domain.settlements import Consume, Consumed

KeyedCommand = (
    Reserve | Consume | Release | Extend | Grant | AdjustWallet | SetBudget | RemoveBudget | PauseScope | ResumeScope
)
Command = KeyedCommand | Record
Success = Granted | Consumed | Released | Adjusted | BudgetState | ScopeState
Answer = Success | Recording | Refusal

T = TypeVar("T")


def decide(books: Books, command: Command, now: datetime) -> Decision[Answer]:
    """Decide one command. The key of what is granted is part of the changes; usage is told apart by its events' own
    keys."""
    if isinstance(command, Record):
        return _told(books, recordings.record(books, command, now))
    request = command.request
    used = books.used_keys.get((request.operation, request.idempotency_key))
    if used is not None:
        if used.hash != request.hash:
            return Decision(IdempotencyKeyReused(request.idempotency_key))
        return Decision(_again(books, command, used))
    decision = _decide(books, command, now)
    answer = decision.answer
    if not isinstance(answer, Success):
        return decision
    if not _storable(decision.changes):
        return Decision(invalid(_figure(command), "is more than the books can hold"))
    made = Used(request.hash, _result_id(answer))
    keyed = decision.changes._replace(used_keys=((request.operation, request.idempotency_key, made),))
    return _told(books, Decision(answer, keyed))


def _told(books: Books, decision: Decision[T]) -> Decision[T]:
    """The decision, with an event for each wallet that it brought back from below zero."""
    repaid = debts_repaid(books.wallets, decision.changes.wallets)
    if not repaid:
        return decision
    return Decision(decision.answer, decision.changes._replace(events=decision.changes.events + repaid))


def _decide(books: Books, command: KeyedCommand, now: datetime) -> Decision[Success | Refusal]:
    match command:
        case Reserve():
            return reservations.reserve(books, command, now)
        case Consume():
            return settlements.consume(books, command, now)
        case Release():
            return reservations.release(books, command, now)
        case Extend():
            return reservations.extend(books, command, now)
        case AdjustWallet():
            return adjustments.adjust_wallet(books, command, now)
        case Grant():
            return adjustments.grant(books, command, now)
        case SetBudget():
            return controls.set_budget(books, command)
        case RemoveBudget():
            return controls.remove_budget(books, command)
        case PauseScope():
            return controls.pause_scope(books, command)
        case ResumeScope():
            return controls.resume_scope(books, command)
        case _ as never:
            assert_never(never)


def _storable(changes: Changes) -> bool:
    """Whether every balance and counter still fits its column."""
    figures = [counter.spent + counter.held for counter in changes.counters]
    for wallet in changes.wallets:
        figures += (wallet.available, wallet.consumed)
    return not figures or (fits_storage(min(figures)) and fits_storage(max(figures)))


def _figure(command: KeyedCommand) -> str:
    """The field of a command that its amounts come from."""
    match command:
        case Consume():
            return "usage" if command.quantity is None else "quantity"
        case Reserve() | Extend():
            return "estimate"
        case _:
            return "amount"


def _again(books: Books, command: KeyedCommand, used: Used) -> Success:
    """What was granted before, in its present state."""
    match command:
        case Reserve() | Extend():
            return reservations.as_it_stands(books, books.reservations[_made(used)])
        case Consume():
            return Consumed(books.reservations[_made(used)], ())
        case Release():
            return Released(books.reservations[_made(used)])
        case AdjustWallet() | Grant():
            return Adjusted(books.wallets[command.wallet_key])
        case SetBudget():
            key = command.budget.key
            return controls.budget_state(books, key, books.book.budget(key), controls.scope_of(books, key))
        case RemoveBudget():
            key = command.key
            return controls.budget_state(books, key, books.book.budget(key), controls.scope_of(books, key))
        case PauseScope() | ResumeScope():
            return ScopeState(books.book.scopes[command.key])
        case _ as never:
            assert_never(never)


def _made(used: Used) -> UUID:
    assert used.result_id is not None
    return used.result_id


def _result_id(answer: Success) -> UUID | None:
    if isinstance(answer, Granted | Consumed | Released):
        return answer.reservation.id
    return None
