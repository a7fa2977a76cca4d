"""Recharges: a prepaid wallet that tops itself up by a kept card when it falls below its threshold.

One order at a time. A decline moves the next attempt away, further each time, and after some in a row the recharge is
switched off with the reason, until a person switches it on again. What it may order in a calendar month can be limited
(document 002: "enable auto-recharge"; PRODUCT.md 9).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from domain import ledger
from domain.admission import closed
from domain.books import Books, Changes, Decision, Event, EventType, Request
from domain.money import NANO, Money, nano_to_minor
from domain.payments import AutoRecharge, Outcome, TopUp, TopUpOrigin, TopUpState, disputed
from domain.refusals import Conflict, FieldProblem, InvalidInput, NotFound, Refusal, invalid
from domain.wallets import DEFAULT_LOW_BALANCE, METERED_KEY, Wallet

CURRENCY: Final = "USD"
MOST_THRESHOLD: Final = 1_000_000 * NANO
BACK_OFF: Final = (timedelta(hours=1), timedelta(hours=6))
UNMATCHED: Final = "unmatched"
REFUNDED: Final = "refunded"
DISPUTED: Final = "disputed"
# An order that was taken in an outage and is no longer wanted: no card was declined.
WITHDRAWN: Final = "withdrawn"
MOST_DECLINES: Final = len(BACK_OFF) + 1


@dataclass(frozen=True, slots=True)
class SetAutoRecharge:
    """Switch a wallet's recharge on or off. None leaves a figure as it is, but for the limit: `keeps_limit` does, else
    None removes it. `has_card`: whether a card is kept."""

    request: Request
    wallet_key: str
    enabled: bool
    threshold: int | None
    amount: int | None
    monthly_limit: int | None
    has_card: bool
    keeps_limit: bool = False


@dataclass(frozen=True, slots=True)
class Recharge:
    """Order a recharge if one is due. `top_up_id` is the order's id."""

    request: Request
    wallet_key: str
    top_up_id: UUID


@dataclass(frozen=True, slots=True)
class RechargeState:
    """A wallet with its recharge."""

    wallet: Wallet
    recharge: AutoRecharge


@dataclass(frozen=True, slots=True)
class Due:
    """The order of a recharge: it is to be charged to the kept card."""

    top_up: TopUp


def problems(command: SetAutoRecharge) -> tuple[FieldProblem, ...]:
    """What is wrong with the figures, whatever the books say; `amount` is checked as a payment beside it."""
    found: list[FieldProblem] = []
    if command.threshold is not None and not 0 <= command.threshold <= MOST_THRESHOLD:
        found.append(FieldProblem("threshold", f"must be 0 to {MOST_THRESHOLD // NANO} dollars"))
    if command.monthly_limit is not None and command.monthly_limit <= 0:
        found.append(FieldProblem("monthlyLimit", "must be more than 0; leave it out for no limit"))
    return tuple(found)


def set_auto_recharge(books: Books, command: SetAutoRecharge) -> Decision[RechargeState | Refusal]:
    """Set the figures; switching it on forgets earlier declines. The threshold is also that of the low-balance alert."""
    suspended = closed(books.tenant)
    if suspended is not None:
        return Decision(suspended)
    wallet = books.wallets.get(command.wallet_key)
    if wallet is None:
        return Decision(NotFound("wallet"))
    before = books.recharges.get(wallet.key)
    limit = before.monthly_limit if command.keeps_limit and before is not None else command.monthly_limit
    unfit = _unfit(command, wallet, before, limit)
    if unfit is not None:
        return Decision(unfit)
    amount = command.amount or (0 if before is None else before.amount)
    threshold = DEFAULT_LOW_BALANCE if before is None else before.threshold
    threshold = threshold if command.threshold is None else command.threshold
    recharge = before or AutoRecharge(wallet.key, enabled=False, threshold=threshold, amount=amount, monthly_limit=None)
    recharge = replace(recharge, enabled=command.enabled, threshold=threshold, amount=amount, monthly_limit=limit)
    if command.enabled:
        recharge = replace(recharge, declines=0, retry_at=None, disabled_reason=None)
    after = wallet._replace(low_balance=threshold)
    low = command.enabled and after.available < threshold
    told = Event(
        EventType.BALANCE_LOW, (("wallet", wallet.key), ("available", wallet.available), ("threshold", threshold))
    )
    changes = Changes(wallets=(after,), recharges=(recharge,), events=(told,) if low else ())
    return Decision(RechargeState(after, recharge), changes)


def recharge(books: Books, command: Recharge, now: datetime) -> Decision[Due | Refusal]:
    """Order a recharge. Refused with the reason while none is due: not switched on, enough balance, one in flight,
    too soon after a decline, or over the month's limit."""
    setting = books.recharges.get(command.wallet_key)
    wallet = books.wallets.get(command.wallet_key)
    if setting is None or wallet is None:
        return Decision(NotFound("auto-recharge"))
    suspended = closed(books.tenant)
    if suspended is not None:
        return Decision(suspended)
    month = books.book.month
    ordered = setting.month_amount if setting.month == month else 0
    why = _why_not(setting, wallet, ordered, now)
    if why is not None:
        return Decision(Conflict(why))
    minor = nano_to_minor(setting.amount, CURRENCY)
    assert minor is not None, "whole cents were set"
    top_up = TopUp(
        command.top_up_id,
        wallet.key,
        setting.amount,
        Money(minor, CURRENCY),
        None,
        TopUpOrigin.AUTO_RECHARGE,
        command.request.actor,
        now,
    )
    started = replace(setting, in_flight=top_up.id, month=month, month_amount=ordered + setting.amount)
    return Decision(Due(top_up), Changes(top_ups=(top_up,), recharges=(started,)))


def after(
    setting: AutoRecharge, before: TopUp, top_up: TopUp, month: str, now: datetime
) -> tuple[AutoRecharge, tuple[Event, ...]]:
    """The recharge after something was told of an order for its wallet, with what others must hear. Money that goes back
    to the payer switches it off: charging the card for it again is for a person to decide."""
    told: tuple[Event, ...] = ()
    if top_up.origin is TopUpOrigin.AUTO_RECHARGE:
        setting, told = _after_outcome(setting, before, top_up, month, now)
    if top_up.taken_back > before.taken_back and setting.enabled:
        setting, further = _disabled(setting, DISPUTED if disputed(top_up.facts) else REFUNDED)
        told += further
    return setting, told


def _after_outcome(
    setting: AutoRecharge, before: TopUp, top_up: TopUp, month: str, now: datetime
) -> tuple[AutoRecharge, tuple[Event, ...]]:
    if top_up.state is before.state or before.facts.outcome is Outcome.PAID:
        return setting, ()
    landed = replace(setting, in_flight=None) if setting.in_flight == top_up.id else setting
    if top_up.facts.outcome is Outcome.PAID:
        # Also where it was given up before: the card works, and the money counts towards the limit after all.
        paid = _counted(replace(landed, retry_at=None), 0 if before.is_open else top_up.amount, month)
        if top_up.credited == 0:
            # What came in is not what was ordered: another charge would only do the same again.
            return _disabled(paid, UNMATCHED)
        return replace(paid, declines=0), ()
    if not before.is_open or top_up.state not in (TopUpState.FAILED, TopUpState.EXPIRED):
        return setting, ()
    ended = _counted(landed, -top_up.amount, month)
    if top_up.facts.failure == WITHDRAWN:
        return ended, ()
    declined = replace(ended, declines=ended.declines + 1)
    if declined.declines < MOST_DECLINES:
        return replace(declined, retry_at=now + BACK_OFF[declined.declines - 1]), ()
    return _disabled(declined, top_up.facts.failure or top_up.state.lower())


def _unfit(
    command: SetAutoRecharge, wallet: Wallet, before: AutoRecharge | None, limit: int | None
) -> InvalidInput | None:
    if wallet.key != METERED_KEY:
        return invalid("walletKey", "only the metered wallet can recharge itself")
    amount = command.amount or (0 if before is None else before.amount)
    if command.enabled and not amount:
        return invalid("amount", "say how many dollars a recharge buys")
    if limit is not None and limit < amount:
        return invalid("monthlyLimit", "must be at least the amount of one recharge")
    if command.enabled and not command.has_card:
        return invalid("enabled", "no card is kept yet: pay one top-up by card first (startTopUp)")
    return None


def _why_not(setting: AutoRecharge, wallet: Wallet, ordered: int, now: datetime) -> str | None:
    if not setting.enabled:
        return (
            f"Auto-recharge is switched off{'' if setting.disabled_reason is None else ': ' + setting.disabled_reason}."
        )
    if ledger.available_at(wallet, now) >= setting.threshold:
        return "The balance is not below the threshold."
    if setting.in_flight is not None:
        return "A recharge is being paid already."
    if setting.retry_at is not None and now < setting.retry_at:
        return "The card was declined: the next attempt comes later."
    if setting.monthly_limit is not None and ordered + setting.amount > setting.monthly_limit:
        return "The month's limit is reached."
    return None


def _disabled(setting: AutoRecharge, reason: str) -> tuple[AutoRecharge, tuple[Event, ...]]:
    told = Event(
        EventType.AUTO_RECHARGE_DISABLED,
        (("wallet", setting.wallet_key), ("reason", reason), ("declines", setting.declines)),
    )
    return replace(setting, enabled=False, retry_at=None, disabled_reason=reason), (told,)


def _counted(setting: AutoRecharge, amount: int, month: str) -> AutoRecharge:
    """What was ordered in the month, changed by an amount; orders of earlier months count no more."""
    if setting.month != month:
        return setting
    return replace(setting, month_amount=max(0, setting.month_amount + amount))
