"""Decisions: one command over the books, with its idempotency key.

The same key with the same request answers what was granted before, in its present state; with another
request it is refused. A refusal keeps no key: it is decided anew (PRODUCT.md 4).
"""

from datetime import datetime
from typing import TypeVar, assert_never
from uuid import UUID

from domain import (
    adjustments,
    controls,
    funds,
    postings,
    recharges,
    recordings,
    rerating,
    reservations,
    settlements,
    subscriptions,
    tenancy,
    topups,
)
from domain.adjustments import Adjusted, AdjustWallet, ExpireLots, Grant, LotsExpired
from domain.admission import closed
from domain.books import Books, Changes, Decision, Used
from domain.controls import (
    BudgetsReset,
    BudgetState,
    DeactivateScope,
    NameScope,
    PauseScope,
    RemoveBudget,
    ResetBudgets,
    ResumeScope,
    ScopeNamed,
    ScopeState,
    SetBudget,
)
from domain.money import fits_storage
from domain.postings import Post, Posted
from domain.recharges import Due, Recharge, RechargeState, SetAutoRecharge
from domain.recordings import Record, Recording
from domain.refusals import IdempotencyKeyReused, Refusal, invalid
from domain.rerating import Rerate, Rerated
from domain.reservations import Extend, Granted, Release, Released, Reserve
from domain.settlements import Consume, Consumed
from domain.subscriptions import ChangePlan, SetCycle, Subscribed
from domain.tenancy import CloseTenant, RenameTenant, ResumeTenant, SuspendTenant, TenantState
from domain.topups import Ordered, SettleTopUp, StartTopUp

# What a suspended tenant's own people may not decide; admission and payments look for themselves.
Control = SetBudget | RemoveBudget | PauseScope | ResumeScope | DeactivateScope | NameScope | ChangePlan | SetCycle
# What is decided about the tenant's account.
AccountCommand = RenameTenant | SuspendTenant | ResumeTenant | CloseTenant | StartTopUp | SetAutoRecharge
KeyedCommand = Reserve | Consume | Release | Extend | Grant | AdjustWallet | Control | AccountCommand
# What is told of a payment, and whether a recharge or a job's tidying is due, is decided by what is known: once is as good
# as often.
UnkeyedCommand = Record | Post | Rerate | SettleTopUp | Recharge | ResetBudgets | ExpireLots
Command = KeyedCommand | UnkeyedCommand
Success = (
    Granted
    | Consumed
    | Released
    | Adjusted
    | BudgetState
    | ScopeState
    | ScopeNamed
    | Subscribed
    | TenantState
    | Ordered
    | RechargeState
)
Answer = Success | Recording | Posted | Rerated | Due | BudgetsReset | LotsExpired | Refusal

T = TypeVar("T")


def decide(books: Books, command: Command, now: datetime) -> Decision[Answer]:
    """Decide one command. The key of what is granted is part of the changes; usage is told apart by its events' own
    keys, payments and recharges by their states."""
    if isinstance(command, UnkeyedCommand):
        return _told(books, _decide_unkeyed(books, command, now), now)
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
    return _told(books, Decision(answer, keyed), now)


def _told(books: Books, decision: Decision[T], now: datetime) -> Decision[T]:
    """The decision, with what others must hear of the wallets that it moved."""
    changes = decision.changes
    if not changes.wallets:
        return decision
    told = funds.events_of(books, changes.wallets, now)
    if not told:
        return decision
    return Decision(decision.answer, changes._replace(events=changes.events + told))


def _decide_unkeyed(books: Books, command: UnkeyedCommand, now: datetime) -> Decision[Answer]:
    match command:
        case Record():
            return funds.without_newcomers(books, recordings.record(books, command, now), now)
        case Post():
            return funds.without_newcomers(books, postings.post(books, command, now), now)
        case Rerate():
            return rerating.rerate(books, command, now)
        case SettleTopUp():
            return topups.settle_top_up(books, command, now)
        case Recharge():
            return recharges.recharge(books, command, now)
        case ResetBudgets():
            return controls.reset_budgets(books, command)
        case ExpireLots():
            return adjustments.expire_lots(books, command, now)
        case _ as never:
            assert_never(never)


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
        case _:
            return _seldom(books, command, now)


def _seldom(books: Books, command: Control | AccountCommand, now: datetime) -> Decision[Success | Refusal]:
    return _control(books, command, now) if isinstance(command, Control) else _of_account(books, command, now)


def _control(books: Books, command: Control, now: datetime) -> Decision[Success | Refusal]:
    suspended = closed(books.tenant)
    if suspended is not None:
        return Decision(suspended)
    match command:
        case SetBudget():
            return controls.set_budget(books, command)
        case RemoveBudget():
            return controls.remove_budget(books, command)
        case PauseScope():
            return controls.pause_scope(books, command, now)
        case ResumeScope():
            return controls.resume_scope(books, command, now)
        case DeactivateScope():
            return controls.deactivate_scope(books, command)
        case NameScope():
            return controls.name_scope(books, command, now)
        case ChangePlan():
            return subscriptions.change_plan(books, command, now)
        case SetCycle():
            return subscriptions.set_cycle(books, command)
        case _ as never:
            assert_never(never)


def _of_account(books: Books, command: AccountCommand, now: datetime) -> Decision[Success | Refusal]:
    match command:
        case RenameTenant():
            return tenancy.rename_tenant(books, command)
        case SuspendTenant():
            return tenancy.suspend_tenant(books)
        case ResumeTenant():
            return tenancy.resume_tenant(books)
        case CloseTenant():
            return tenancy.close_tenant(books)
        case StartTopUp():
            return topups.start_top_up(books, command, now)
        case SetAutoRecharge():
            return recharges.set_auto_recharge(books, command)
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
        case SetBudget() | RemoveBudget():
            key = command.budget.key if isinstance(command, SetBudget) else command.key
            return controls.budget_state(books, key, books.book.budget(key), controls.scope_of(books, key))
        case PauseScope() | ResumeScope() | DeactivateScope():
            return ScopeState(books.book.scopes[command.key])
        case NameScope():
            return ScopeNamed(command.key)
        case ChangePlan() | SetCycle():
            return Subscribed(books.tenant)
        case RenameTenant() | SuspendTenant() | ResumeTenant() | CloseTenant():
            return TenantState(books.tenant)
        case StartTopUp():
            return Ordered(books.top_ups[_made(used)])
        case SetAutoRecharge():
            return RechargeState(books.wallets[command.wallet_key], books.recharges[command.wallet_key])
        case _ as never:
            assert_never(never)


def _made(used: Used) -> UUID:
    assert used.result_id is not None
    return used.result_id


def _result_id(answer: Success) -> UUID | None:
    if isinstance(answer, Granted | Consumed | Released):
        return answer.reservation.id
    if isinstance(answer, Ordered):
        return answer.top_up.id
    return None
