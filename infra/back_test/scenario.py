"""Scenario: one way in which a month may have gone. Its facts are decided again, one by one, by the rules.

Work that is refused here never ran: what it used, what was recorded for it and what it was charged are left out.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, assert_never
from uuid import UUID

from domain import funds, ledger
from domain.admission import Wish
from domain.back_tests import Assumptions
from domain.books import Operation
from domain.budgets import Budget, Scope
from domain.catalog import Catalog
from domain.decisions import Answer
from domain.holds import NO_ESTIMATE, Estimate, Reservation, TaskKey
from domain.money import NANO
from domain.outcomes import Outcome, Tally
from domain.postings import Sums
from domain.recordings import Record, Recording, Reported, rate
from domain.refusals import BudgetExceeded, BudgetScope, PlanLimit, Refusal, RefusalCode, ReservationState, ScopePaused
from domain.reservations import DEFAULT_TTL, Extend, Granted, Release, Reserve, tasks_of
from domain.settlements import Consume, Consumed
from domain.usage import Route, Usage, UsageEvent
from infra.back_test.circumstances import Circumstances
from infra.back_test.facts import (
    Corrected,
    CycleBegan,
    Decided,
    DefaultCap,
    Denied,
    Ended,
    Expired,
    Extended,
    Fact,
    Moved,
    OwnKey,
    PlanChosen,
    Recorded,
    Reserved,
    Stopped,
)
from infra.back_test.opening import Opening
from infra.back_test.played_books import PlayedBooks
from infra.batch import OpenBooks
from infra.identifiers import new_id

# Credits that expire as the month ends were there until then.
_LAST_MOMENT: Final = timedelta(microseconds=1)
_KNOWN_CALL: Final = Usage(source="back-test", event_id="known")


class Scenario:
    """A month's books under assumptions, and what comes of them."""

    def __init__(self, opening: Opening, catalog: Catalog, assumptions: Assumptions, *, own_keys_allowed: bool) -> None:
        self._assumptions = assumptions
        self._tally = Tally()
        self._refused: set[UUID] = set()
        self._guessed: set[str | TaskKey] = set()
        tenant = opening.tenant
        if assumptions.plan is not None:
            plan = catalog.plan(tenant.region, assumptions.plan, opening.start)
            assert plan is not None, "assumptions are looked at before"
            tenant = replace(tenant, plan=plan.key, unlimited_plan=plan.unlimited, next_plan=None)
        books = OpenBooks(tenant, opening.month)
        opening.fill(books)
        for key, cap in assumptions.caps:
            books.budgets.pop(key, None)
            if cap is None:
                books.defaults.pop(key, None)
            else:
                books.budgets[key] = Budget(key, cap)
        self.books = PlayedBooks(books, catalog, self._tally, own_keys_allowed=own_keys_allowed)
        self._around = Circumstances(self.books, self._tally, assumptions)

    def play(self, fact: Fact) -> Answer | None:
        """Decide one fact; answers what a command was answered, None where it was none or never came to it."""
        at, what = fact
        match what:
            case Reserved():
                return self._reserve(what.reservation, at)
            case Ended():
                return self._end(what, at)
            case Recorded():
                self._record(what, at)
            case Denied():
                return self._ask_again(what, at)
            case Extended():
                return self._extend(what, at)
            case Expired():
                self.books.expire(what.reservation_id, at)
                if what.for_good:
                    self.books.forget(what.reservation_id)
            case Moved() | Corrected():
                if _reservation_of(what) not in self._refused:
                    self._around.change(what, at)
            case Stopped() | Decided() | DefaultCap() | PlanChosen() | CycleBegan() | OwnKey():
                self._around.change(what, at)
            case _ as never:
                assert_never(never)
        return None

    def stands(self, scope: Scope) -> bool:
        """Whether a scope is stopped for this very reason."""
        found = self.books.open.scopes.get(scope.key)
        return found is not None and (found.pause_reason, found.pause_period_key, found.pause_cap) == (
            scope.pause_reason,
            scope.pause_period_key,
            scope.pause_cap,
        )

    def outcome(self, end: datetime) -> Outcome:
        """What it came to."""
        wallets = self.books.open.wallets
        return self._tally.outcome(
            [(key, ledger.available_at(wallet, end - _LAST_MOMENT)) for key, wallet in wallets.items()]
        )

    def _reserve(self, real: Reservation, at: datetime) -> Answer:
        until = real.extensions[0].until if real.extensions else real.expires_at
        ttl = DEFAULT_TTL if until is None else int((until - real.created_at).total_seconds())
        cost = real.held_usd - sum([extension.cost for extension in real.extensions])
        wish = Wish(real.feature, real.quantity, real.model, _estimate(cost), real.attribution)
        # Without its task key: who sent work again and was answered with what stood made no reservation.
        answer = self.books.decide(Reserve(self.books.request(Operation.RESERVE), real.id, wish, None, ttl), at)
        if isinstance(answer, Granted):
            self._tally.admit()
            return answer
        self._refused.add(real.id)
        if isinstance(answer, Refusal):
            known = real.known_cost
            self._tally.refuse(answer, real.recorded.cost if known is None else known, at)
        return answer

    def _extend(self, what: Extended, at: datetime) -> Answer | None:
        real, extension = what.reservation, what.extension
        if real.id in self._refused:
            return None
        command = Extend(
            self.books.request(Operation.EXTEND), real.id, extension.ttl_seconds, Estimate(cost=extension.cost)
        )
        answer = self.books.decide(command, at)
        if isinstance(answer, Refusal):
            self._tally.refuse(answer, extension.cost, at)
        return answer

    def _end(self, what: Ended, at: datetime) -> Answer | None:
        real = what.reservation
        if real.id in self._refused:
            return None
        if real.state is ReservationState.RELEASED:
            return self.books.decide(Release(self.books.request(Operation.RELEASE), real.id), at)
        reported = tuple([(event.id, _as_reported(event)) for event in what.events])
        if not reported:
            # If its consume reported calls, they were known already.
            self.books.open.recorded.add((_KNOWN_CALL.source or "", _KNOWN_CALL.event_id or ""))
            reported = ((real.id, _KNOWN_CALL),)
        if what.paid_by is None or what.paid_by in self._refused:
            return self._consume(real.id, reported, real.made, at)
        with self.books.paid_by(what.paid_by, real):
            return self._consume(real.id, reported, real.made, at)

    def _consume(
        self, reservation_id: UUID, reported: tuple[tuple[UUID, Usage], ...], made: int | None, at: datetime
    ) -> Answer:
        command = Consume(self.books.request(Operation.CONSUME), reservation_id, reported, made)
        answer = self.books.decide(command, at)
        if isinstance(answer, Consumed):
            settled = answer.reservation
            self._tally.use(answer.events)
            self._tally.charge(settled.charges, self.books.catalog.rate_cards.version(settled.rate_card))
        return answer

    def _record(self, what: Recorded, at: datetime) -> None:
        reported = [
            Reported(
                event.id,
                _as_reported(event),
                event.feature,
                event.reservation_id if event.under_reservation else None,
                event.attribution,
            )
            for event in what.events
            if event.reservation_id not in self._refused
        ]
        if not reported:
            return
        request = self.books.request(Operation.RECORD_USAGE)
        if what.at_once:
            recorded_at = what.events[0].recorded_at
            sums, events = Sums(), [rate(self.books.view, one, recorded_at) for one in reported]
            for event in events:
                sums.add(event)
            self.books.decide(sums.post(request, recorded_at, ()), at)
        else:
            answer = self.books.decide(Record(request, tuple(reported)), at)
            assert isinstance(answer, Recording)
            events = list(answer.events)
        self._tally.use(events)
        card = self.books.catalog.rate_cards.at(at, at)
        self._tally.charge([(key, amount) for event in events for key, amount, _ in event.charges], card)

    def _ask_again(self, denied: Denied, at: datetime) -> Answer:
        """Work that was really refused. If it would run here it ends at once and costs what was estimated for it, unless it
        was sent again and really ran later."""
        asked = denied.asked
        refusal = self._told_otherwise(denied, at)
        if refusal is not None:
            self._tally.refuse(refusal, 0, at)
            return refusal
        wish = Wish(asked.feature, asked.quantity, asked.model, asked.estimate, asked.attribution)
        command = Reserve(self.books.request(Operation.RESERVE), new_id(at), wish)
        decision = self.books.foresee(command, at)
        answer = decision.answer
        if isinstance(answer, Granted):
            # What was sent again under its key, or its task's, is one piece of work.
            cards = self.books.catalog.rate_cards
            card = cards.version(answer.reservation.rate_card)
            assert card is not None, "it was just admitted under it"
            keys: set[str | TaskKey] = set(tasks_of(cards, card, asked.feature, asked.task_key))
            if asked.idempotency_key:
                keys.add(asked.idempotency_key)
            if denied.again or not self._guessed.isdisjoint(keys):
                return answer
            self._guessed |= keys
            self.books.apply(decision.changes, at)
            self._tally.guess()
            self._guess(answer.reservation, at)
        elif isinstance(answer, Refusal):
            self.books.apply(decision.changes, at)
            cost = answer.requested if isinstance(answer, BudgetExceeded) else asked.estimate.cost or 0
            self._tally.refuse(answer, cost, at)
        return answer

    def _guess(self, held: Reservation, at: datetime) -> None:
        if held.expires_at is None:
            return  # capacity is taken, and never consumed
        call = Usage(cost=held.held_usd, results=held.quantity // NANO)
        self._consume(held.id, ((new_id(at), call),), None, at)

    def _told_otherwise(self, denied: Denied, at: datetime) -> Refusal | None:
        """Refusals that hang on which ids were registered at the time, which the books do not keep: they stand, unless the
        plan or the balance is another here."""
        if denied.code is RefusalCode.PLAN_LIMIT:
            limit, used = int(denied.figures["limit"] or 0), int(denied.figures["used"] or 0)
            tenant = self.books.open.tenant
            plan = self.books.catalog.plan(tenant.region, tenant.plan, at)
            if self._assumptions.plan is not None and plan is not None:
                limit = plan.agents
            return PlanLimit(str(denied.figures["what"]), limit, used) if used >= limit else None
        if denied.code is RefusalCode.SCOPE_PAUSED and denied.figures["reason"] == funds.METERED_EMPTY:
            campaign = denied.asked.attribution.campaign
            if funds.metered_is_empty(self.books.view, at) is not None:
                return ScopePaused(BudgetScope.CAMPAIGN, campaign, funds.METERED_EMPTY)
        return None


def _estimate(cost: int) -> Estimate:
    """Nothing is asked for as zero is: the model's price or the rate says what it comes to."""
    return Estimate(cost=cost) if cost else NO_ESTIMATE


def _as_reported(event: UsageEvent) -> Usage:
    """A call as it is reported again: with what it cost, where that was known."""
    return event.usage._replace(cost=event.priced.cost, own_key=event.route is Route.BYOK)


def _reservation_of(what: Moved | Corrected) -> UUID | None:
    return what.entry.voucher.reservation_id if isinstance(what, Moved) else what.reservation_id
