"""Back-tests: a month played again from one snapshot of the books, as it was and as it is assumed.

Both are played side by side, fact by fact, so that the month is read once. Playing is work in Python: it is cut into slices,
so that requests beside it are answered in between.
"""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

from domain import back_tests
from domain.back_tests import Assumptions, BackTest
from domain.catalog import Catalog
from domain.periods import is_month, month_span
from domain.rates import RateCard
from domain.refusals import FieldProblem, InvalidInput, Refusal, invalid, no_plan
from infra.application import Application
from infra.back_test import controls, counters, opening
from infra.back_test.comparison import Comparison
from infra.back_test.facts import Fact, Stopped
from infra.back_test.history import History
from infra.back_test.opening import Opening
from infra.back_test.scenario import Scenario
from infra.tenant_rows import TENANT_COLUMNS, tenant_of
from infra.transaction import BEGIN_READING, Connection, transaction

# Facts that are played without letting others have their turn: a few milliseconds' worth.
SLICE: Final = 20
_TENANT: Final = f"SELECT {TENANT_COLUMNS} FROM tenant WHERE id = $1"
_CORRECTED: Final = """
SELECT DISTINCT reservation_id FROM usage_amendment
WHERE tenant_id = $1 AND event_id IS NOT NULL AND reservation_id IS NOT NULL"""
_SIZE: Final = """
SELECT (SELECT count(*) FROM (SELECT FROM reservation
        WHERE tenant_id = $1 AND created_at >= $2 AND created_at < $3 AND id >= $5 AND id < $6 LIMIT $4) r)
    + (SELECT count(*) FROM (SELECT FROM usage_event WHERE tenant_id = $1 AND occurred_at >= $2 AND occurred_at < $3 LIMIT $4) u)"""
_OWN_KEYS: Final = """
SELECT EXISTS (SELECT FROM reservation
        WHERE tenant_id = $1 AND created_at >= $2 AND created_at < $3 AND id >= $4 AND id < $5 AND route = 'BYOK')
    OR EXISTS (SELECT FROM usage_event WHERE tenant_id = $1 AND occurred_at >= $2 AND occurred_at < $3 AND route = 'BYOK')"""

# How many facts are played by now.
Watch = Callable[[int], None]


async def back_test(
    application: Application,
    tenant_id: UUID,
    month: str,
    assumptions: Assumptions,
    *,
    most: int | None = None,
    watch: Watch = lambda _played: None,
) -> BackTest | Refusal:
    """Play a calendar month of the tenant's time zone (such as "2026-10", up to now) again. `most`: refuse a month of more
    reservations and calls than this together."""
    problems = list(back_tests.problems(assumptions))
    if not is_month(month):
        problems.insert(0, FieldProblem("month", "must be a month such as 2026-10"))
    if problems:
        return InvalidInput(tuple(problems))
    catalog = (await application.current_catalog()).for_tenant(tenant_id)
    version = application.catalog.next_version()
    async with application.across_tenants.acquire() as overseer:
        default_caps = await controls.default_caps(overseer)
    async with (
        application.readers.of(tenant_id).acquire() as connection,
        transaction(connection, BEGIN_READING),
    ):
        (row,) = await connection.fetch(_TENANT, tenant_id)
        tenant = tenant_of(row)
        span, now = month_span(month, tenant.zone), application.clock()
        if span.start >= now:
            return invalid("month", "has not begun yet")
        begun = Opening(tenant, month, span.start, min(span.end, now))
        assumed = _catalog(catalog, begun, assumptions, version)
        if not isinstance(assumed, Catalog):
            return assumed
        if most is not None and await _size(connection, begun, most) > most:
            return invalid(
                "month", f"has more than {most} reservations and calls: an operator plays it by `purser back-test`"
            )
        await opening.read(connection, begun)
        await controls.read(connection, begun, default_caps, catalog)
        await counters.read(connection, begun)
        corrected = [row[0] for row in await connection.fetch(_CORRECTED, tenant_id)]
        own_keys = application.settings.own_keys_allowed or await _own_keys_ran(connection, begun)
        played = _Month(
            begun,
            Scenario(begun, catalog, Assumptions(), own_keys_allowed=own_keys),
            Scenario(begun, assumed, assumptions, own_keys_allowed=own_keys),
            Comparison(corrected),
        )
        async for fact in History(connection, begun, catalog.rate_cards).facts():
            played.play(fact)
            if played.facts % SLICE == 0:
                watch(played.facts)
                await asyncio.sleep(0)
    watch(played.facts)
    return played.result()


async def _size(connection: Connection, begun: Opening, most: int) -> int:
    """How many reservations and calls the month has, counted to a little more than `most`."""
    span = (begun.start, begun.end)
    size: int = await connection.fetchval(_SIZE, begun.tenant.id, *span, most + 1, *opening.ids_of(*span))
    return size


async def _own_keys_ran(connection: Connection, begun: Opening) -> bool:
    """Whether work ran on the tenant's own keys: then the deployment allowed it, whatever it is set to where this is asked."""
    span = (begun.start, begun.end)
    ran: bool = await connection.fetchval(_OWN_KEYS, begun.tenant.id, *span, *opening.ids_of(*span))
    return ran


def _catalog(catalog: Catalog, begun: Opening, assumptions: Assumptions, version: int) -> Catalog | Refusal:
    """The catalog that is assumed."""
    if assumptions.plan is not None:
        tenant = begun.tenant
        if catalog.plan(tenant.region, assumptions.plan, begun.start) is None:
            return no_plan(assumptions.plan, tenant.region)
    if not assumptions.changes_card:
        return catalog
    card = back_tests.assumed_card(catalog.rate_cards, assumptions, version, begun.start)
    return back_tests.under(catalog, card) if isinstance(card, RateCard) else InvalidInput((card,))


class _Month:
    """The month as it was and as it is assumed, side by side."""

    def __init__(self, begun: Opening, was: Scenario, assumed: Scenario, comparison: Comparison) -> None:
        self.facts = 0
        self._opening = begun
        self._was = was
        self._assumed = assumed
        self._comparison = comparison

    def play(self, fact: Fact) -> None:
        """Decide a fact in both."""
        self.facts += 1
        if isinstance(fact.what, Stopped) and self._was.stands(fact.what.scope):
            return  # what made the pause was played
        self._comparison.look(fact, self._was.play(fact))
        self._assumed.play(fact)

    def result(self) -> BackTest:
        """What came of both."""
        begun = self._opening
        self._comparison.close(self._was.books.open.wallets, begun.closing, begun.end)
        return BackTest(
            begun.month,
            begun.start,
            begun.end,
            self.facts,
            self._was.outcome(begun.end),
            self._assumed.outcome(begun.end),
            self._comparison.differences,
        )
