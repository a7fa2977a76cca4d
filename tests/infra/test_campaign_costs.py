"""Costs of campaigns: the days of what was tracked are those of the tenant's time zone."""

from datetime import UTC, date, datetime

import pytest

from domain.attribution import Attribution
from domain.usage import UsageKind
from infra.application import Application
from infra.queries import campaign_costs
from infra.queries.campaign_costs import CostsKey, Days, ModelsKey, Tracked
from infra.services import rollups
from infra.services.usage import ReportedUsage, record_usage
from tests.domain.builders import nano
from tests.infra.builders import open_tenant, reported

pytestmark = pytest.mark.anyio

EVE, DAY, MORROW = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 21)


async def test_a_day_of_tracked_usage_is_the_tenants(application: Application) -> None:
    caller = await open_tenant(application, time_zone="Asia/Kolkata")
    moments = [datetime(2026, 11, 19, 18, 29, tzinfo=UTC), datetime(2026, 11, 19, 18, 30, tzinfo=UTC)]
    moments.append(datetime(2026, 11, 20, 18, 29, 59, tzinfo=UTC))
    events = [
        ReportedUsage(
            reported(str(cost), str(cost), kind=UsageKind.LLM, provider="p", model=f"m{cost}", occurred_at=moment),
            attribution=Attribution(campaign="spring"),
        )
        for cost, moment in zip((1, 2, 4), moments, strict=True)
    ]
    await record_usage(application, caller, events)

    async def costs(*spans: Days) -> list[str]:
        keys = [CostsKey("spring", days) for days in spans]
        found = await campaign_costs.tracked_of_campaigns(application, caller.tenant_id, keys)
        return [f"{each.cost / nano('1'):g}" for each in found]

    spans = (Days(DAY, DAY), Days(None, EVE), Days(EVE, DAY), Days(MORROW, None), Days(None, date(2000, 1, 1)), Days())
    expected = ["6", "1", "7", "0", "0", "7"]
    assert await costs(*spans) == expected, "six spans at once"
    await rollups.roll_up(application, application.clock())
    assert await costs(*spans) == expected
    keys = [ModelsKey(CostsKey("spring", Days(DAY, DAY)), 1), ModelsKey(CostsKey("autumn"), 9)]
    (top,), none = await campaign_costs.models_of_campaigns(application, caller.tenant_id, keys)
    assert (top.model, top.cost, top.calls) == ("m4", nano("4"), 1)
    assert none == ()
    stranger = await open_tenant(application, "globex")
    assert await campaign_costs.tracked_of_campaigns(application, stranger.tenant_id, [CostsKey("spring")]) == [
        Tracked()
    ]


async def test_no_campaign_goes_without_its_models_because_others_spent_more(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await open_tenant(application)
    events = [
        ReportedUsage(
            reported(f"{cost} {model}", str(cost), kind=UsageKind.LLM, provider="p", model=f"m{model}"),
            attribution=Attribution(campaign=f"c{cost}"),
        )
        for cost in range(1, 6)
        for model in range(3)
    ]
    await record_usage(application, caller, events)
    keys = [ModelsKey(CostsKey(f"c{cost}"), 2) for cost in range(1, 6)]
    wanted = await campaign_costs.models_of_campaigns(application, caller.tenant_id, keys)
    monkeypatch.setattr(campaign_costs, "MOST_GROUPS", 7)
    found = await campaign_costs.models_of_campaigns(application, caller.tenant_id, keys)
    assert found == wanted
    assert [[spend.cost for spend in models] for models in found] == [[nano(str(cost))] * 2 for cost in range(1, 6)]
