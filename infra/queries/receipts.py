"""Receipts: what explains a reservation, a call, a ledger entry or a refusal, read from what was kept when it happened."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from domain import receipt_lines, receipts
from domain.budget_steps import BudgetStep, Measure
from domain.budgets import CounterKey
from domain.catalog import Catalog
from domain.holds import Reservation
from domain.ledger import Draw, Entry, EntryType, joined
from domain.postings import recorded_at_of
from domain.rates import RateCard
from domain.receipts import Receipt
from domain.refusals import BudgetExceeded, BudgetScope, InsufficientFunds, RefusalCode, ReservationState
from domain.usage import Route, UsageEvent
from infra.amended_usage import WITH_AMENDMENTS, event_of
from infra.application import Application
from infra.queries import ledger_entries, reservations, usage_events, wallets
from infra.refusal_log import asked_of

MOST_EVENTS: Final = 5_000
_RECORDED_UNDER: Final = WITH_AMENDMENTS.format(
    events="""SELECT * FROM usage_event WHERE tenant_id = $1 AND reservation_id = $2 AND source IS NOT NULL
        AND under_reservation ORDER BY occurred_at, id LIMIT $3"""
)
# What a settled reservation is charged beside its calls, at its settlement and by corrections since.
_CHARGED_BESIDE: Final = """
SELECT charges FROM usage_amendment
WHERE tenant_id = $1 AND occurred_at = $2 AND reservation_id = $3 AND event_id IS NULL AND charges IS NOT NULL"""
_CORRECTIONS: Final = """
SELECT charges FROM usage_amendment
WHERE tenant_id = $1 AND event_id = ANY($2::uuid[]) AND charges IS NOT NULL"""
_BATCHES: Final = "SELECT steps FROM usage_batch WHERE tenant_id = $1 AND recorded_at = $2 ORDER BY id"
_REFUSAL: Final = """
SELECT operation, code, message, figures, asked FROM refusal WHERE tenant_id = $1 AND id = $2"""


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """A receipt with the ledger entries that it stands on, the lots that they (or what is held) drew from, and the
    reservation that it is about, if any. A call that was charged with others shows the entry of all of them; one of a large
    batch shows none."""

    receipt: Receipt
    draws: tuple[Draw, ...] = ()
    entries: tuple[Entry, ...] = ()
    reservation: Reservation | None = None


async def of_reservation(
    application: Application, tenant_id: UUID, identifier: UUID, *, for_operator: bool
) -> ReceiptView | None:
    """The receipt of a reservation; None where the tenant has none of this id."""
    (reservation,) = await reservations.get_many(application, tenant_id, [identifier])
    if reservation is None:
        return None
    catalog = await _catalog(application, tenant_id)
    card = catalog.rate_cards.version(reservation.rate_card)
    events = await _events(application, tenant_id, reservation)
    calls = receipt_lines.explained(events, catalog.prices, reservation)
    receipt = receipts.of_reservation(reservation, calls, card)
    if for_operator:
        receipt = _for_operator(receipt, card, reservation.feature, reservation.known_cost, reservation.route)
    if reservation.state is not ReservationState.CONSUMED:
        draws = [hold.draws for hold in reservation.holds] if reservation.state is ReservationState.HELD else []
        return ReceiptView(receipt, _joined(draws), (), reservation)
    entries = await _entries_of(application, tenant_id, reservation, events)
    return ReceiptView(receipt, _drawn(entries), entries, reservation)


async def of_event(
    application: Application, tenant_id: UUID, identifier: UUID, *, for_operator: bool
) -> ReceiptView | None:
    """The receipt of one call; None where the tenant has none of this id."""
    (event,) = await usage_events.get_many(application, tenant_id, [identifier])
    if event is None:
        return None
    reservation = None
    if event.under_reservation and event.reservation_id is not None:
        (reservation,) = await reservations.get_many(application, tenant_id, [event.reservation_id])
    catalog = await _catalog(application, tenant_id)
    at = event.recorded_at
    card = catalog.rate_cards.at(at, at) if reservation is None else catalog.rate_cards.version(reservation.rate_card)
    (call,) = receipt_lines.explained([event], catalog.prices, reservation)
    batch = await _batch(application, tenant_id, at) if event.steps is None and reservation is None else ()
    receipt = receipts.of_event(call, reservation, batch, card)
    if for_operator and reservation is None:
        receipt = _for_operator(receipt, card, event.feature or "", event.priced.cost, event.route)
    corrections = await application.readers.of(tenant_id).fetch(_CORRECTIONS, tenant_id, [event.id])
    entries = await _entries(application, tenant_id, [*event.charges, *_charges_in(corrections)])
    return ReceiptView(receipt, _drawn(entries), entries, reservation)


async def of_entry(
    application: Application, tenant_id: UUID, place: tuple[UUID, int], *, for_operator: bool
) -> ReceiptView | None:
    """The receipt of a ledger entry by its wallet and number; None where the tenant has none."""
    (entry,) = await ledger_entries.get_many(application, tenant_id, [place])
    if entry is None:
        return None
    (wallet,) = await wallets.get_many(application, tenant_id, [entry.wallet_id])
    assert wallet is not None, "an entry has its wallet"
    around = None
    if entry.voucher.reservation_id is not None:
        around = await of_reservation(application, tenant_id, entry.voucher.reservation_id, for_operator=for_operator)
    receipt = receipts.of_entry(entry, wallet.wallet.key, None if around is None else around.receipt)
    if around is None and entry.type is EntryType.CONSUMED:
        receipt = receipts.with_budgets(receipt, await _batch_of(application, tenant_id, entry))
    return ReceiptView(receipt, entry.draws, (entry,), None if around is None else around.reservation)


async def of_refusal(application: Application, tenant_id: UUID, identifier: UUID) -> ReceiptView | None:
    """The receipt of a refusal; None where the tenant has none of this id, or none any more."""
    await application.refusals.written()
    row = await application.readers.of(tenant_id).fetchrow(_REFUSAL, tenant_id, identifier)
    if row is None:
        return None
    operation, code, message, figures, asked = row
    told = _figures(RefusalCode(code), json.loads(figures))
    return ReceiptView(
        receipts.of_refusal(operation, RefusalCode(code), message, told, None if asked is None else asked_of(asked))
    )


async def _catalog(application: Application, tenant_id: UUID) -> Catalog:
    return (await application.current_catalog()).for_tenant(tenant_id)


def _for_operator(receipt: Receipt, card: RateCard | None, feature: str, cost: int | None, route: Route) -> Receipt:
    if card is None:
        return receipt
    lines = receipt_lines.operator_lines(card, card.rates_of(feature), receipt.charges, cost, route)
    return replace(receipt, for_operators=lines)


async def _events(application: Application, tenant_id: UUID, reservation: Reservation) -> list[UsageEvent]:
    """The calls under a reservation: those of its consume, and those recorded before it, up to MOST_EVENTS."""
    settled = await usage_events.get_many(application, tenant_id, reservation.settled_events)
    events = {event.id: event for event in settled if event is not None}
    if reservation.recorded.events > len(events):
        rows = await application.readers.of(tenant_id).fetch(_RECORDED_UNDER, tenant_id, reservation.id, MOST_EVENTS)
        events.update((event.id, event) for event in map(event_of, rows))
    return list(events.values())


async def _entries_of(
    application: Application, tenant_id: UUID, reservation: Reservation, events: Iterable[UsageEvent]
) -> tuple[Entry, ...]:
    """The entries that charged a settled reservation, and those of corrections since."""
    numbered = [charge for event in events for charge in event.charges]
    beside = await application.readers.of(tenant_id).fetch(
        _CHARGED_BESIDE, tenant_id, reservation.ended_at, reservation.id
    )
    corrections = await application.readers.of(tenant_id).fetch(_CORRECTIONS, tenant_id, [event.id for event in events])
    return await _entries(application, tenant_id, [*numbered, *_charges_in([*beside, *corrections])])


async def _entries(
    application: Application, tenant_id: UUID, numbered: Iterable[tuple[str, int, int]]
) -> tuple[Entry, ...]:
    """The entries that charges name by wallet and number, oldest first."""
    places = sorted({(key, sequence) for key, _, sequence in numbered if sequence})
    views = await wallets.get_many_by_key(application, tenant_id, [key for key, _ in places])
    found = [(view.wallet.id, sequence) for view, (_, sequence) in zip(views, places, strict=True) if view is not None]
    entries = await ledger_entries.get_many(application, tenant_id, found)
    return tuple([entry for entry in entries if entry is not None])


def _charges_in(rows: Iterable[asyncpg.Record]) -> list[tuple[str, int, int]]:
    return [(key, amount, sequence) for (charges,) in rows for key, amount, sequence in orjson.loads(charges)]


def _drawn(entries: Iterable[Entry]) -> tuple[Draw, ...]:
    """What entries drew from each lot in all; what an adjustment put back counts against it."""
    return _joined(
        [
            tuple([Draw(lot_id, -amount) for lot_id, amount in entry.draws])
            if entry.type is EntryType.ADJUSTED
            else entry.draws
            for entry in entries
        ]
    )


def _joined(all_draws: Iterable[tuple[Draw, ...]]) -> tuple[Draw, ...]:
    whole: tuple[Draw, ...] = ()
    for draws in all_draws:
        whole = joined(whole, draws)
    return whole


async def _batch(application: Application, tenant_id: UUID, recorded_at: datetime) -> tuple[BudgetStep, ...]:
    """The budget steps of the large batch that was recorded at this moment."""
    rows = await application.readers.of(tenant_id).fetch(_BATCHES, tenant_id, recorded_at)
    return tuple(
        [
            BudgetStep(CounterKey(BudgetScope(scope), scope_id, period), Measure.SPENT, before, after, cap)
            for (steps,) in rows
            for scope, scope_id, period, before, after, cap in orjson.loads(steps)
        ]
    )


async def _batch_of(application: Application, tenant_id: UUID, entry: Entry) -> tuple[BudgetStep, ...]:
    recorded_at = recorded_at_of(entry.voucher.reference)
    return () if recorded_at is None else await _batch(application, tenant_id, recorded_at)


def _figures(code: RefusalCode, figures: dict[str, Any]) -> BudgetExceeded | InsufficientFunds | None:
    """The refusals that have figures to reckon with."""
    match code:
        case RefusalCode.BUDGET_EXCEEDED:
            return BudgetExceeded(**{**figures, "scope": BudgetScope(figures["scope"])})
        case RefusalCode.INSUFFICIENT_FUNDS:
            return InsufficientFunds(**figures)
        case _:
            return None
