"""Alerts: what people are told, once per tenant, kind, scope, threshold and day (the tenant's local day).

Of each budget and wallet only the highest threshold that is reached is told: whoever jumps over 80 % hears of 100 % alone,
whoever passes both in one day hears twice. The next day both are told again as they stand then, until there is room or
the scope is deactivated. Percents and thresholds are hundredths of a percent, amounts nano-units.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from enum import StrEnum
from typing import Final

from domain import budgets, money
from domain.books import EventType
from domain.budgets import DEFAULT_THRESHOLDS, BudgetKey, BudgetPeriod
from domain.margins import MarginDimension, MarginFlag, Sums
from domain.money import format_amount
from domain.payments import TopUpState
from domain.refusals import BudgetScope
from domain.wallets import FULL_PERCENT, WARNING_PERCENT

Payload = Mapping[str, str | int | None]


class AlertKind(StrEnum):
    """What an alert is about."""

    BUDGET = "budget"  # a budget has reached one of its thresholds
    CREDITS = "credits"  # a platform wallet is 80 or 100 % used
    LOW_BALANCE = "low_balance"  # the prepaid wallet is under its threshold
    BALANCE_EMPTY = "balance_empty"  # nothing can be paid from it any more
    TOP_UP_FAILED = "top_up_failed"
    TOP_UP_NEEDS_ACTION = "top_up_needs_action"  # the bank wants the card's owner to confirm
    TOP_UP_UNMATCHED = "top_up_unmatched"  # money came in that is not what was ordered
    AUTO_RECHARGE_DISABLED = "auto_recharge_disabled"
    UNPRICED_MODEL = "unpriced_model"  # usage of a model that has no price
    NEGATIVE_MARGIN = "negative_margin"  # work brought in less than it should, or than it cost; for operators alone
    LEDGER_IMBALANCE = "ledger_imbalance"  # the audit found books that do not agree


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `scope` is its level, None where it is about something else than a budget; `scope_id` says what it is
    about: an agent role, campaign or tag, a wallet's key, a top-up, a model; empty for the tenant. `threshold` 0: its
    kind has none. `action` is what was done about it, None: nothing but to tell."""

    kind: AlertKind
    scope: BudgetScope | None
    scope_id: str
    threshold: int
    day: date
    action: str | None
    message: str


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget in its current period. `name` is the tenant's, or the registered one of an agent role or campaign.
    `paused`: this budget, in this period and with this cap, has paused its scope."""

    key: BudgetKey
    name: str | None
    cap: int
    thresholds: tuple[int, ...]
    spent: int
    paused: bool


@dataclass(frozen=True, slots=True)
class WalletState:
    """A wallet as it stands now. `used` of `granted` over the lots that are active (capacity: what is taken of the
    ceiling). `low_balance`: the prepaid wallet's threshold, None for platform wallets. `recharges`: by itself."""

    key: str
    used: int
    granted: int
    available: int
    low_balance: int | None = None
    recharges: bool = False


_SUBJECTS: Final = {
    BudgetScope.TENANT: "Tenant",
    BudgetScope.AGENT: "Agent role",
    BudgetScope.CAMPAIGN: "Campaign",
    BudgetScope.TASK: "Task",
    BudgetScope.TAG: "Tag",
}
# Document 003's table of actions at 100 %.
_PAUSED: Final = {
    BudgetScope.TENANT: "All agents are paused, their queues drained.",
    BudgetScope.AGENT: "The agent is paused for the remainder of the month.",
    BudgetScope.CAMPAIGN: "The campaign is paused, its queue drained.",
}
_TOLD: Final = "People are told."
_REFUSED: Final = "New work under it is refused."
_PROMPTED: Final = "People are told, and a budget notice goes into the agent's next prompts."


def day_of(moment: datetime, zone: tzinfo) -> date:
    """The tenant's local day."""
    return moment.astimezone(zone).date()


def due(budget_states: Iterable[BudgetState], wallet_states: Iterable[WalletState], day: date) -> tuple[Alert, ...]:
    """Every alert that the state of a tenant's budgets and wallets calls for. Budgets that share a scope and a threshold
    (a campaign's month and its total) are told as one, by the first of them."""
    found = [*(_of_budget(state, day) for state in budget_states), *(_of_wallet(state, day) for state in wallet_states)]
    first: dict[tuple[AlertKind, BudgetScope | None, str, int], Alert] = {}
    for alert in found:
        if alert is not None:
            first.setdefault((alert.kind, alert.scope, alert.scope_id, alert.threshold), alert)
    return tuple(first.values())


def of_event(event_type: str, payload: Payload, day: date) -> Alert | None:
    """The alert that something which happened calls for; None for what nobody has to be told."""
    match event_type:
        case EventType.TOP_UP_FAILED if payload["state"] == TopUpState.FAILED.value:
            why = payload["failure"] or "no reason was given"
            return _of_top_up(AlertKind.TOP_UP_FAILED, payload, day, f"failed: {why}", "Nothing was credited.")
        case EventType.TOP_UP_NEEDS_ACTION:
            action = "The top-up waits: pay it on its page."
            return _of_top_up(
                AlertKind.TOP_UP_NEEDS_ACTION, payload, day, "must be confirmed by the card's owner", action
            )
        case EventType.TOP_UP_UNMATCHED:
            action = "Nothing was credited for it: a person must look at it."
            return _of_top_up(AlertKind.TOP_UP_UNMATCHED, payload, day, "was paid, but not as it was ordered", action)
        case EventType.AUTO_RECHARGE_DISABLED:
            wallet = str(payload["wallet"])
            message = f'Auto-recharge of wallet "{wallet}" was switched off: {payload["reason"]}.'
            action = "Switched off until a person switches it on again."
            return Alert(AlertKind.AUTO_RECHARGE_DISABLED, None, wallet, 0, day, action, message)
        case EventType.BALANCE_EMPTY:
            wallet, left = str(payload["wallet"]), _dollars(_amount(payload, "available"))
            message = f'Wallet "{wallet}" is empty: {left} USD are left.'
            action = "Campaigns are deactivated; a person activates them again once there is balance."
            return Alert(AlertKind.BALANCE_EMPTY, None, wallet, 0, day, action, message)
        case EventType.USAGE_UNPRICED:
            what = " ".join(str(payload[part]) for part in ("provider", "model", "operation") if payload[part])
            message = f"There is no price for {what}: what it cost is not known."
            action = "Counted provisionally, at what was held for it, until there is a price."
            return Alert(AlertKind.UNPRICED_MODEL, None, what, 0, day, action, message)
        case _:
            return None


def imbalance(places: Sequence[str], day: date) -> Alert:
    """What the audit found: where the books do not agree."""
    assert places, "there is something to tell"
    further = f" and {len(places) - 1} more" if len(places) > 1 else ""
    message = f"The audit found books that do not agree: {places[0]}{further}."
    return Alert(
        AlertKind.LEDGER_IMBALANCE, None, "", 0, day, "Nothing was changed: an operator must look at it.", message
    )


def of_margin(dimension: MarginDimension, value: str | None, sums: Sums, target: int, since: date, day: date) -> Alert:
    """What is wrong with the margin of a feature, provider or tenant since a day. Its threshold is the target (hundredths of a percent),
    or 0 where it cost more than it brought in."""
    kind = dimension.value.lower()
    what = f"no {kind}" if value is None else f"{kind} {value}"
    figures = f"{_dollars(sums.revenue)} USD came in, {_dollars(sums.cost)} USD were paid to providers"
    if sums.flag is MarginFlag.NEGATIVE:
        threshold, problem = 0, "costs more than it brings in"
    else:
        threshold, problem = target, f"brings in less than the {_dollars(sums.least)} USD that it should"
    message = f"Work of {what} {problem}: {figures} since {since}."
    return Alert(AlertKind.NEGATIVE_MARGIN, None, what, threshold, day, "Operators are told.", message)


def _of_budget(state: BudgetState, day: date) -> Alert | None:
    used = budgets.used_percent(state.spent, state.cap)
    reached = [threshold for threshold in state.thresholds if threshold <= used]
    if not reached:
        return None
    scope, scope_id, period = state.key
    subject = f'{_SUBJECTS[scope]} "{state.name or scope_id}"'
    budget = "monthly budget" if period is BudgetPeriod.MONTH else "budget"
    figures = f"{_dollars(state.spent)} of {_dollars(state.cap)} USD"
    message = f"{subject} is at {used // 100} % of its {budget}: {figures}."
    return Alert(AlertKind.BUDGET, scope, scope_id, max(reached), day, _budget_action(state, used), message)


def _budget_action(state: BudgetState, used: int) -> str:
    if state.paused:
        return _PAUSED[state.key.scope]
    notice, full = DEFAULT_THRESHOLDS
    if used >= full:
        return _REFUSED
    return _PROMPTED if state.key.scope is BudgetScope.AGENT and used >= notice else _TOLD


def _of_wallet(state: WalletState, day: date) -> Alert | None:
    if state.low_balance is not None:
        return _of_prepaid(state, state.low_balance, day)
    used = money.percent(state.used, state.granted)
    reached = [threshold for threshold in (WARNING_PERCENT, FULL_PERCENT) if threshold <= used]
    if not reached:
        return None
    figures = f"{format_amount(state.used)} of {format_amount(state.granted)}"
    message = f'Wallet "{state.key}" is {used // 100} % used: {figures}.'
    action = "Work that it pays for is refused until there is more." if used >= FULL_PERCENT else _TOLD
    return Alert(AlertKind.CREDITS, None, state.key, max(reached), day, action, message)


def _of_prepaid(state: WalletState, low_balance: int, day: date) -> Alert | None:
    if state.available >= low_balance:
        return None
    figures = f"{_dollars(state.available)} USD are left, its threshold is {_dollars(low_balance)} USD"
    action = "It recharges itself by the kept card." if state.recharges else _TOLD
    message = f'Wallet "{state.key}" runs low: {figures}.'
    return Alert(AlertKind.LOW_BALANCE, None, state.key, 0, day, action, message)


def _of_top_up(kind: AlertKind, payload: Payload, day: date, what: str, action: str) -> Alert:
    amount = format_amount(_amount(payload, "amount"))
    message = f'A top-up of {amount} for wallet "{payload["wallet"]}" {what}.'
    return Alert(kind, None, str(payload["topUp"]), 0, day, action, message)


def _amount(payload: Payload, name: str) -> int:
    amount = payload[name]
    assert isinstance(amount, int), f"{name} is an amount"
    return amount


def _dollars(nano: int) -> str:
    """Exact, with at least two digits after the point."""
    whole, _, fraction = format_amount(nano).partition(".")
    return f"{whole}.{fraction:0<2}"
