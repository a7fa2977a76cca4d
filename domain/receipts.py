"""Receipts: why something was charged, held or refused.

The reckoning from calls to charges (`receipt_lines`), each budget before and after, and the rule in words. Amounts are
nano-units, quantities nano.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from domain import budget_steps
from domain.attribution import NOBODY, Attribution
from domain.budget_steps import BudgetStep, Measure
from domain.budgets import CounterKey
from domain.holds import NO_ESTIMATE, Estimate, ModelName, Reservation
from domain.ledger import Entry, EntryType
from domain.money import NANO, format_amount
from domain.rates import ChargeType, Rate, RateCard
from domain.receipt_lines import Explained, Line, charge_lines, cost_lines
from domain.refusals import BudgetExceeded, InsufficientFunds, RefusalCode, ReservationState
from domain.usage import Route, UsageEvent
from domain.wallets import Unit, unit_of


@dataclass(frozen=True, slots=True)
class Receipt:
    """What explains one thing: `costs` say what its calls cost, `legs` what is charged, held or moved for it, and
    `for_operators` what tenants are never shown. `charges` are (wallet key, nano-units)."""

    costs: tuple[Line, ...]
    legs: tuple[Line, ...]
    charges: tuple[tuple[str, int], ...]
    steps: tuple[BudgetStep, ...]
    rule: str
    for_operators: tuple[Line, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        """The whole reckoning."""
        return (*self.costs, *self.legs, *self.for_operators)

    @property
    def total(self) -> tuple[int, Unit] | None:
        """What was charged in all; None where nothing was, or not all of it in one unit."""
        units = {unit_of(key) for key, _ in self.charges}
        return (sum([amount for _, amount in self.charges]), units.pop()) if len(units) == 1 else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a refused reserve asked for; `quantity` is nano. The keys tell a request that was sent again."""

    feature: str
    quantity: int
    model: ModelName | None = None
    attribution: Attribution = NOBODY
    estimate: Estimate = NO_ESTIMATE
    task_key: str | None = None
    idempotency_key: str = ""


MOST_BUDGETS: Final = 100
_STATES: Final = {
    ReservationState.HELD: "Held for work that has not ended; nothing is charged yet.",
    ReservationState.CONSUMED: "Settled: what the work came to was charged, and what was left of the hold went back.",
    ReservationState.RELEASED: "Released: the whole hold went back, nothing was charged.",
    ReservationState.EXPIRED: "Expired: the whole hold went back, nothing was charged.",
}
_ALONE: Final = "For calls that were recorded without a reservation; each has a receipt of its own."
_CHARGED_BY: Final = {
    ReservationState.HELD: "whose consume will charge for it",
    ReservationState.CONSUMED: "whose consume charged for it",
    ReservationState.RELEASED: "which was released: nothing is charged for it",
    ReservationState.EXPIRED: "which expired: nothing is charged for it unless it is consumed late",
}
_RATES: Final = {
    ChargeType.FIXED: "a fixed amount, whatever the calls cost",
    ChargeType.COST_PLUS: "what the provider charged, plus a markup",
    ChargeType.PER_UNIT: "per unit that was done",
    ChargeType.PER_RESULT: "per result that was found",
    ChargeType.BUNDLED: "one fixed amount for the whole bundle",
    ChargeType.FREE: "nothing",
}
_MOVES: Final = {
    EntryType.ALLOCATED: ("granted by the plan to", "The plan's credits of a cycle."),
    EntryType.TOPPED_UP: ("topped up in", "A payment was credited."),
    EntryType.ADJUSTED: ("adjusted in", "An adjustment."),
    EntryType.RESERVED: ("held in", "Held for a piece of work: from available to reserved."),
    EntryType.RELEASED: ("given back to", "What was held and not needed went back."),
    EntryType.CONSUMED: ("charged to", "Charged: from reserved to consumed."),
    EntryType.EXPIRED: ("expired in", "Its lot reached its end: nothing can be drawn from it any more."),
}
_ORDER: Final = {
    RefusalCode.BUDGET_EXCEEDED: " Budgets are checked in this order: tenant, agent role, campaign, task, tags; the first "
    "without room refuses.",
    RefusalCode.SCOPE_PAUSED: " A pause stops work before any budget or wallet is looked at.",
    RefusalCode.INSUFFICIENT_FUNDS: " Every budget had room; wallets are checked after them.",
}


def of_reservation(reservation: Reservation, calls: Sequence[Explained], card: RateCard | None) -> Receipt:
    """What is held for a piece of work, or what it cost and was charged. `calls` may be the first of them alone."""
    feature_rates = () if card is None else card.rates_of(reservation.feature)
    held = tuple([(hold.wallet_key, hold.amount) for hold in reservation.holds])
    settled = reservation.state is ReservationState.CONSUMED
    charges = reservation.charges if settled else ()
    legs = charge_lines(charges, feature_rates) if settled else charge_lines(held, feature_rates, "held in")
    told = [_STATES[reservation.state]]
    if settled and held and not charges:
        told.append("Nothing was charged: its task was paid by another reservation, or nothing was used.")
    told.append(rate_rule(feature_rates, reservation.route))
    steps = budget_steps.steps(reservation.attribution, reservation.counted)
    costs = (*cost_lines(calls), *_further(reservation, calls))
    return Receipt(costs, legs, charges, steps, " ".join(filter(None, told)))


def _further(reservation: Reservation, calls: Sequence[Explained]) -> Iterator[Line]:
    """What the calls cost that are too many to be shown."""
    left = reservation.recorded.events - len(calls)
    if left > 0:
        cost = reservation.recorded.cost - sum([event.priced.cost or 0 for event, _ in calls])
        yield Line(f"{left} further calls, not shown one by one", left * NANO, cost, Unit.USD)


def of_event(
    call: Explained, reservation: Reservation | None, batch: Iterable[BudgetStep], card: RateCard | None
) -> Receipt:
    """What one call cost and was charged. `reservation`: the one under whose terms it is; `batch`: what was counted with
    it, where it was recorded among many."""
    event = call.event
    feature_rates = () if card is None or event.feature is None else card.rates_of(event.feature)
    charges = tuple([(key, amount) for key, amount, _ in event.charges])
    of_batch = budget_steps.concerning(event.attribution, event.occurred_at, batch)
    if event.steps is not None:
        whom = event.attribution if reservation is None else reservation.attribution
        steps = budget_steps.steps(whom, (event.steps,))
    elif reservation is not None and event.id in reservation.settled_events:
        steps = _settlement(budget_steps.steps(reservation.attribution, reservation.counted))
    else:
        steps = of_batch
    told = [_how_recorded(event, reservation, in_batch=bool(of_batch)), rate_rule(feature_rates, event.route)]
    legs = charge_lines(charges, feature_rates)
    return Receipt(cost_lines([call]), legs, charges, steps, " ".join(filter(None, told)))


def _how_recorded(event: UsageEvent, reservation: Reservation | None, *, in_batch: bool) -> str:
    if reservation is not None:
        if event.id in reservation.settled_events:
            return "Settled by the consume of its reservation: the budgets are those before and after all of it."
        return f"Recorded under its reservation, {_CHARGED_BY[reservation.state]}."
    if event.feature is None:
        return "Recorded without a feature: nothing is charged for it."
    if in_batch:
        return "Recorded in a large batch: the budgets are those before and after the whole batch."
    if event.reservation_id is not None:
        return "Recorded after its reservation had ended, so by itself."
    return "Recorded without a reservation."


def _settlement(steps: Iterable[BudgetStep]) -> tuple[BudgetStep, ...]:
    return tuple([step for step in steps if step.measure is Measure.SPENT])


def of_entry(entry: Entry, wallet_key: str, around: Receipt | None) -> Receipt:
    """What moved in a wallet. `around`: the receipt of the reservation that it was made for."""
    verb, meaning = _MOVES[entry.type]
    line = Line(f"{verb} {wallet_key}", NANO, entry.amount, unit_of(wallet_key))
    why = ", ".join(filter(None, (entry.voucher.reference, entry.voucher.note)))
    alone = _ALONE if entry.type is EntryType.CONSUMED else ""
    told = [meaning, f"Its reference: {why}." if why else "", alone if around is None else around.rule]
    rule = " ".join(filter(None, told))
    if entry.type is EntryType.CONSUMED:
        charges = ((wallet_key, entry.amount),)
        if around is None:
            return Receipt((), (line,), charges, (), rule)
        return Receipt(around.costs, (line,), charges, _settlement(around.steps), rule, around.for_operators)
    held = around is not None and entry.type is EntryType.RESERVED
    steps = (
        tuple([step for step in around.steps if step.measure is Measure.HELD]) if around is not None and held else ()
    )
    return Receipt((), (line,), (), steps, rule)


def with_budgets(entry: Receipt, steps: Sequence[BudgetStep]) -> Receipt:
    """The receipt of the entry of a large batch with the budgets that the batch counted in, those with a cap first: up to
    MOST_BUDGETS, since it may have touched thousands."""
    shown = sorted(steps, key=lambda step: step.cap is None)[:MOST_BUDGETS]
    left = len(steps) - len(shown)
    more = f" {left} more budgets are in the receipts of its calls." if left else ""
    return replace(entry, steps=tuple(shown), rule=f"{entry.rule}{more}")


def of_refusal(
    operation: str,
    code: RefusalCode,
    message: str,
    refusal: BudgetExceeded | InsufficientFunds | None,
    asked: Asked | None,
) -> Receipt:
    """Which rule said no, with its figures where it has any (`refusal`). Nothing was moved: a budget stands after it where
    it stood before."""
    lines: tuple[Line, ...] = ()
    steps: tuple[BudgetStep, ...] = ()
    if isinstance(refusal, BudgetExceeded):
        counted = refusal.spent + refusal.held
        place = CounterKey(refusal.scope, refusal.scope_id or "", "")
        steps = (BudgetStep(place, Measure.HELD, counted, counted, refusal.cap),)
        lines = (
            Line("spent", NANO, refusal.spent, Unit.USD),
            Line("held", NANO, refusal.held, Unit.USD),
            Line("requested", NANO, refusal.requested, Unit.USD),
            Line("more than the cap by", NANO, counted + refusal.requested - refusal.cap, Unit.USD),
        )
    elif refusal is not None:
        unit = unit_of(refusal.wallet_key)
        lines = (
            Line(f"needed from {refusal.wallet_key}", NANO, refusal.requested, unit),
            Line(f"available in {refusal.wallet_key}", NANO, refusal.available, unit),
            Line("short by", NANO, refusal.short_by, unit),
        )
    told = f"{operation} was refused ({code.value}): {message}{_ORDER.get(code, '')}"
    return Receipt((), lines, (), steps, told if asked is None else f"{told} {_asked_for(asked)}")


def rate_rule(feature_rates: Sequence[Rate], route: Route) -> str:
    """How a feature is charged, in words; on the tenant's own key what is metered is not (document 002)."""
    told = [f"{rate.wallet_key}: {_RATES[rate.charge_type]}" for rate in feature_rates]
    if route is Route.BYOK:
        told.append("the calls ran on the tenant's own provider key, so what is metered is not charged")
    return f"Charged by the rate card: {'; '.join(told)}." if told else ""


def _asked_for(asked: Asked) -> str:
    parts = [f"{format_amount(asked.quantity)} x {asked.feature}"]
    if asked.model is not None:
        names = (asked.model.provider, asked.model.model, asked.model.operation)
        parts.append(" ".join(filter(None, names)))
    *names_of_fields, _ = Attribution._fields
    for name in names_of_fields:
        value = getattr(asked.attribution, name)
        if value is not None:
            parts.append(f"{name.replace('_', ' ')} {value}")
    parts.extend([f"tag {key}={value}" for key, value in asked.attribution.tags])
    return f"Asked for: {', '.join(parts)}."
