"""FOCUS rows of a month on PostgreSQL: at every moment to the nano what a breakdown of the same month says."""

from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from domain.attribution import NOBODY, Attribution
from domain.breakdowns import UsageFilter
from domain.budgets import ScopeKey, ScopeKind
from domain.focus import COLUMNS, CREDITS, PREPAID, USD
from domain.money import format_amount
from domain.periods import month_span
from domain.prices import Tokens
from domain.usage import Usage
from infra.application import Application
from infra.queries.focus import rows_of_month
from infra.queries.usage_breakdowns import usage_breakdown
from infra.services import catalog, scopes, settlements
from infra.services.callers import Caller
from infra.services.catalog import Published
from infra.services.rerating import Selection, rerate
from infra.services.rollups import roll_up
from infra.services.usage import ReportedUsage, record_usage
from tests.infra.builders import OPERATOR, Clock, open_tenant, reported, reserved

pytestmark = pytest.mark.anyio

# Its first of November 2026 has 25 hours.
NEW_YORK = ZoneInfo("America/New_York")
LATE = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPRING = Attribution(campaign="spring", client="umbrella", agent_role="writer", tags=(("team", "a"), ("tier", "1")))
Row = dict[str, str]


async def rows_of(application: Application, caller: Caller, month: str = "2026-11") -> list[Row]:
    async with aclosing(rows_of_month(application, caller.tenant_id, month)) as lists:
        return [dict(zip(COLUMNS, row, strict=True)) async for rows in lists for row in rows]


async def compared(application: Application, caller: Caller) -> list[Row]:
    """The rows, which add up to the breakdown's figures."""
    rows = await rows_of(application, caller)
    span = month_span("2026-11", NEW_YORK)
    total = (await usage_breakdown(application, caller.tenant_id, UsageFilter(span.start, span.end), ())).total

    def added(column: str, *currencies: str) -> str:
        return format_amount(
            int(sum(Decimal(row[column]) for row in rows if row["PricingCurrency"] in currencies) * 10**9)
        )

    assert added("BilledCost", USD, CREDITS, PREPAID) == added("EffectiveCost", USD) == format_amount(total.cost)
    assert added("PricingCurrencyEffectiveCost", CREDITS) == format_amount(total.credits_charged)
    assert added("PricingCurrencyEffectiveCost", PREPAID) == format_amount(total.usd_charged)
    of_calls = [row for row in rows if row["PricingCurrency"] == USD]
    assert sum(int(row["x_Events"]) for row in of_calls) == total.events
    assert sum(int(row["x_UnpricedEvents"]) for row in of_calls) == total.unpriced
    assert sum(int(row["x_InputTokens"]) for row in of_calls) == total.input_tokens
    return rows


async def recorded(
    application: Application, caller: Caller, usage: Usage, feature: str | None = None, by: Attribution = SPRING
) -> None:
    report = await record_usage(application, caller, [ReportedUsage(usage, feature, attribution=by)])
    assert report.accepted == 1, report


async def test_rows_add_up_to_the_breakdown_at_every_moment(timed: Application, clock: Clock) -> None:
    clock.now = LATE
    acme = await open_tenant(timed, credits="300", metered="50", time_zone="America/New_York")
    globex = await open_tenant(timed, "globex", metered="50")
    await recorded(timed, globex, reported("theirs", "99", provider="openai", model="gpt-4o"))
    first, last = datetime(2026, 11, 1, 4, tzinfo=UTC), datetime(2026, 11, 2, 4, 59, 59, 999999, tzinfo=UTC)
    gpt = {"provider": "openai", "model": "gpt-4o"}
    await recorded(timed, acme, reported("a", "0.000000001", occurred_at=first, **gpt), "llm_call")
    await recorded(timed, acme, reported("b", "1.1", occurred_at=last, **gpt))
    await recorded(timed, acme, reported("october", "7", occurred_at=first.replace(hour=3), **gpt))
    await recorded(timed, acme, reported("c", tokens=Tokens(1_000_000), provider="openai", model="gpt-99"), "llm_call")
    work = await reserved(timed, acme, attribution=SPRING)
    await settlements.consume(timed, acme, "done", work.id, None, [reported("d", "0.7", **gpt)])
    rows = await compared(timed, acme)
    assert {row["PricingCurrency"] for row in rows} == {USD, CREDITS, PREPAID}
    (hours25,) = {
        (row["ChargePeriodStart"], row["ChargePeriodEnd"]) for row in rows if row["ChargePeriodStart"] < "2026-11-03"
    }
    assert hours25 == ("2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z")
    assert {(row["BillingPeriodStart"], row["BillingPeriodEnd"]) for row in rows} == {
        ("2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z")
    }

    assert (await roll_up(timed, clock.now)).complete
    assert await compared(timed, acme) == rows, "out of the rollups comes the same"

    await recorded(timed, acme, reported("late", "2", occurred_at=first, **gpt), by=NOBODY)
    price = {"provider": "openai", "model": "gpt-99", "input": "0.4", "effective_from": "2026-05-01T00:00:00Z"}
    assert isinstance(await catalog.publish_price(timed, OPERATOR, "p", price), Published)
    everything = Selection(None, "openai", None, None, first, clock.now)
    clock.advance(60)
    await rerate(timed, "key:anna", replace(everything, end=clock.now), dry_run=False)
    corrected = await compared(timed, acme)
    assert len(corrected) == len(rows) + 2, "the late call, and the charge of the one that has a price now"
    assert {row["x_UnpricedEvents"] for row in rows} - {row["x_UnpricedEvents"] for row in corrected} == {"1"}
    (priced,) = [row for row in corrected if row["x_Model"] == "gpt-99" and row["PricingCurrency"] == USD]
    assert (priced["BilledCost"], priced["ChargeClass"]) == ("0.4", "")

    assert [row["BilledCost"] for row in await rows_of(timed, acme, "2026-10")] == ["7.0"]
    assert await rows_of(timed, acme, "2026-09") == []
    assert [row["BilledCost"] for row in await rows_of(timed, globex)] == ["99.0"]


async def test_customers_names_stand_beside_their_ids(application: Application) -> None:
    acme = await open_tenant(application)
    campaign, role = ScopeKey(ScopeKind.CAMPAIGN, "spring"), ScopeKey(ScopeKind.AGENT, "writer")
    by = Attribution(campaign="spring", agent_role="writer")
    await recorded(application, acme, reported("a", "1", provider="openai", model="=1+1"), by=by)
    await scopes.name_scope(application, acme, "n", campaign, 'Spring, "sale"', "umbrella")
    await scopes.name_scope(application, acme, "m", role, "The writer", None)
    (row,) = await rows_of(application, acme, f"{application.clock():%Y-%m}")
    named = (
        "x_CampaignId",
        "x_CampaignName",
        "x_AgentRole",
        "x_AgentName",
        "SubAccountId",
        "SubAccountName",
        "x_Model",
    )
    assert [row[name] for name in named] == [
        "spring",
        'Spring, "sale"',
        "writer",
        "The writer",
        "umbrella",
        "umbrella",
        "=1+1",
    ]
