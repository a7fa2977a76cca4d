"""A month played again, as operators and tenants ask for it: over GraphQL and from the command line."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from typer.testing import CliRunner
from typing_extensions import override

from domain.ids import NIL
from graphql_api import back_tests
from graphql_api.cli import app
from graphql_api.cli import main as command_line
from infra import demo
from infra.application import Application, open_application
from infra.services import catalog, cycles
from infra.services.callers import Caller, Role
from infra.services.catalog import Published
from infra.settings import Settings
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import Clock, nothing_moves

pytestmark = pytest.mark.anyio

MONTH: Final = "2026-11"
AMOUNTS: Final = "{ walletKey unit amount }"
OUTCOME: Final = f"""{{
  admitted assumedToRun refused refusals {{ code scope scopeId walletKey requests costUsd firstAt lastAt }}
  costUsd charges {AMOUNTS} balances {AMOUNTS} stops {{ scope scopeId reason at }}
}}"""
PLAYED: Final = f"month from to facts differences asItWas {OUTCOME} asAssumed {OUTCOME}"
REFUSED: Final = "__typename ... on Refusal { code message refusalId } ... on InvalidInput { fields { path message } }"
MARGIN: Final = """{
  revenueUsd creditsCharged creditRevenueUsd meteredRevenueUsd costUsd marginUsd marginPercent unpriced
}"""
BACK_TEST: Final = (
    f"query ($input: BackTestInput!) {{ backTest(input: $input) {{ {REFUSED} ... on BackTest {{ {PLAYED} }} }} }}"
)
WITH_MARGINS: Final = f"""
query ($input: BackTestMarginsInput!) {{ backTestMargins(input: $input) {{
  {REFUSED} ... on BackTestMargins {{ {PLAYED} marginAsItWas {MARGIN} marginAsAssumed {MARGIN} }}
}} }}"""


class GoingClock(Clock):
    """A clock that goes on with each look, as real ones do."""

    @override
    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def clock() -> GoingClock:
    return GoingClock(datetime(2026, 11, 21, 12, tzinfo=UTC))


@pytest.fixture
async def application(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Application]:
    async with open_application(settings, database_url, clock=clock) as opened:
        yield opened


async def played(client: Client, **given: Any) -> dict[str, Any]:
    """A back-test of November that must be answered, with what comes of it as it was."""
    answer: dict[str, Any] = (await client.ask(BACK_TEST, input={"month": MONTH} | given))["backTest"]
    assert answer["__typename"] == "BackTest", answer
    assert answer["differences"] == []
    return answer


async def with_margins(client: Client, **given: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.ask(WITH_MARGINS, input={"month": MONTH} | given))["backTestMargins"]
    assert answer["__typename"] == "BackTestMargins", answer
    assert answer["differences"] == []
    return answer


def amounts(found: list[dict[str, Any]], *keys: str) -> dict[str, str]:
    return {each["walletKey"]: each["amount"] for each in found if not keys or each["walletKey"] in keys}


async def post(client: Client, key: str, estimate: str, cost: str, role: str = "writer") -> dict[str, Any]:
    """A blog post, which is 2 credits whatever it costs."""
    attribution = {"agentRole": role, "campaign": "spring"}
    work: dict[str, Any] = await client.reserve(key, estimate={"costUsd": estimate}, attribution=attribution)
    assert work["__typename"] == "Reservation", work
    usage = [{"provider": "anthropic", "costUsd": cost}]
    await client.do("consume", idempotencyKey=f"{key} done", reservationId=work["id"], usage=usage)
    return work


@pytest.fixture
async def worked(clients: Clients) -> list[dict[str, Any]]:
    """Three posts of a writer that cost 0.40, 0.70 and 0.30, and a call of a dollar, which is charged 1.30."""
    service = clients.service
    posts = [await post(service, *each) for each in (("1", "0.5", "0.4"), ("2", "0.6", "0.7"), ("3", "0.5", "0.3"))]
    call = await service.reserve("4", "llm_call", estimate={"costUsd": "1"}, attribution={"agentRole": "analyst"})
    await service.do(
        "consume", idempotencyKey="4 done", reservationId=call["id"], usage=[{"provider": "openai", "costUsd": "1"}]
    )
    return posts


async def test_a_cap_tells_what_it_would_have_refused_when_and_what_that_cost(
    application: Application, clients: Clients, worked: list[dict[str, Any]]
) -> None:
    cap = {"scope": "AGENT", "scopeId": "writer", "period": "MONTH", "cap": "1.5"}
    async with nothing_moves(application):
        found = await played(clients.member, caps=[cap])
    was, assumed = found["asItWas"], found["asAssumed"]
    assert (was["admitted"], was["refused"], was["costUsd"], was["stops"]) == (4, 0, "2.4", [])
    assert amounts(was["charges"]) == {"credits": "6", "metered": "1.3"}
    assert amounts(was["balances"], "credits", "metered") == {"credits": "294", "metered": "48.7"}
    # 0.40 and 0.70 are spent, and 0.50 more is asked for.
    third = worked[2]["createdAt"]
    refusal = {"code": "BUDGET_EXCEEDED", "scope": "AGENT", "scopeId": "writer", "walletKey": None, "requests": 1}
    assert assumed["refusals"] == [refusal | {"costUsd": "0.3", "firstAt": third, "lastAt": third}]
    stopped = {"scope": "AGENT", "scopeId": "writer", "reason": "monthly_budget_exceeded", "at": third}
    assert assumed["stops"] == [stopped]
    assert (assumed["admitted"], assumed["refused"], assumed["costUsd"]) == (3, 1, "2.1")
    assert amounts(assumed["charges"]) == {"credits": "4", "metered": "1.3"}
    assert amounts(assumed["balances"], "credits", "metered") == {"credits": "296", "metered": "48.7"}
    # What is asked for may come up to the cap exactly.
    enough = await played(clients.admin, caps=[cap | {"cap": "1.6"}])
    assert enough["asAssumed"] == enough["asItWas"] == was
    assert (found["month"], found["from"]) == (MONTH, "2026-11-01T00:00:00.000000Z")
    assert found["facts"] > 8


async def test_without_a_cap_what_was_refused_runs_and_costs_its_estimate(clients: Clients) -> None:
    await clients.admin.do("setBudget", idempotencyKey="b", scope="TENANT", period="MONTH", cap="1")
    await post(clients.service, "1", "0.5", "0.75")
    refused = await clients.service.reserve("2", estimate={"costUsd": "0.25001"})
    assert refused["code"] == "BUDGET_EXCEEDED"
    found = await played(clients.admin, caps=[{"scope": "TENANT", "period": "MONTH", "cap": None}])
    was, assumed = found["asItWas"], found["asAssumed"]
    assert [(each["scope"], each["requests"], each["costUsd"]) for each in was["refusals"]] == [
        ("TENANT", 1, "0.25001")
    ]
    assert (was["admitted"], was["assumedToRun"], was["costUsd"]) == (1, 0, "0.75")
    assert (assumed["admitted"], assumed["assumedToRun"], assumed["refused"]) == (2, 1, 0)
    assert (assumed["costUsd"], amounts(assumed["charges"])) == ("1.00001", {"credits": "4"})


async def test_a_plan_with_fewer_credits_tells_what_would_not_have_fitted(
    application: Application, clients: Clients, globex: Caller
) -> None:
    """Globex has a top-up of 100 credits; the professional plan grants 300, the starter plan 100."""
    await cycles.start_cycle(application, globex.tenant_id)
    for number, quantity in enumerate(("75", "50", "25")):
        work = await clients.stranger.reserve(f"{number}", quantity=quantity, estimate={"costUsd": "1"})
        assert work["__typename"] == "Reservation", work
        await clients.stranger.do(
            "consume", idempotencyKey=f"{number} done", reservationId=work["id"], usage=[{"costUsd": "0.9"}]
        )
    found = await played(clients.stranger, plan="starter")
    was, assumed = found["asItWas"], found["asAssumed"]
    assert (was["admitted"], amounts(was["charges"]), amounts(was["balances"], "credits")) == (
        3,
        {"credits": "300"},
        {"credits": "100"},
    )
    # 150 of 200 are taken; then 100 do not fit, and 50 do.
    (short,) = assumed["refusals"]
    assert (short["code"], short["walletKey"], short["requests"], short["costUsd"]) == (
        "INSUFFICIENT_FUNDS",
        "credits",
        1,
        "0.9",
    )
    assert (assumed["admitted"], assumed["costUsd"], amounts(assumed["charges"])) == (2, "1.8", {"credits": "200"})
    assert amounts(assumed["balances"], "credits") == {"credits": "0"}


@pytest.mark.usefixtures("worked")
async def test_operators_see_what_another_card_would_have_brought_in(clients: Clients) -> None:
    rates = [{"feature": "blog_post", "walletKey": "credits", "credits": "3"}]
    found = await with_margins(clients.operator, markup="2", creditValueUsd="0.25", rates=rates)
    assert found["marginAsItWas"] == {
        "revenueUsd": "4.3",
        "creditsCharged": "6",
        "creditRevenueUsd": "3",
        "meteredRevenueUsd": "1.3",
        "costUsd": "2.4",
        "marginUsd": "1.9",
        "marginPercent": 44.18,
        "unpriced": "0",
    }
    assert amounts(found["asAssumed"]["charges"]) == {"credits": "9", "metered": "2"}
    assert found["marginAsAssumed"] == {
        "revenueUsd": "4.25",
        "creditsCharged": "9",
        "creditRevenueUsd": "2.25",
        "meteredRevenueUsd": "2",
        "costUsd": "2.4",
        "marginUsd": "1.85",
        "marginPercent": 43.52,
        "unpriced": "0",
    }


async def of_own(application: Application, clock: Clock) -> int:
    """The version of a card that acme alone has."""
    row = {"markup": "1.5", "effective_from": clock.now.isoformat()}
    operator = Caller(NIL, Role.OPERATOR, "key:anna")
    published = await catalog.publish_rate_card(application, operator, "card", row, tenant="acme", based_on=1)
    assert isinstance(published, Published), published
    cards = (await application.current_catalog()).rate_cards
    return max(card.version for card in cards)


@pytest.mark.usefixtures("worked")
async def test_a_card_of_another_tenant_is_none(application: Application, clients: Clients, clock: Clock) -> None:
    version = await of_own(application, clock)
    found = await with_margins(clients.operator, rateCard=version)
    assert found["marginAsAssumed"]["meteredRevenueUsd"] == "1.5"
    other = Client(clients.operator.http, clients.operator.token, "globex")
    said = []
    for number in (version, version + 1):
        answer = (await other.ask(WITH_MARGINS, input={"month": MONTH, "rateCard": number}))["backTestMargins"]
        said.append(answer)
    assert said[0] == said[1]
    assert said[0]["fields"] == [
        {"path": "rateCard", "message": "there is no such version: query rateCard for those that there are"}
    ]


@pytest.mark.usefixtures("worked")
async def test_another_tenant_plays_its_own_month_alone(clients: Clients) -> None:
    caps = [{"scope": "CAMPAIGN", "scopeId": name, "period": "TOTAL", "cap": "0"} for name in ("spring", "nowhere")]
    found = await played(clients.stranger, caps=caps)
    assert found["asAssumed"] == found["asItWas"]
    assert (found["asItWas"]["admitted"], found["asItWas"]["costUsd"], found["asItWas"]["charges"]) == (0, "0", [])
    assert amounts(found["asItWas"]["balances"], "credits") == {"credits": "100"}


CAP: Final = {"scope": "TENANT", "period": "MONTH"}
RATE: Final = {"feature": "blog_post", "walletKey": "credits", "credits": "3"}
WRONG: Final[tuple[tuple[dict[str, Any], list[str]], ...]] = (
    ({"month": "October"}, ["month"]),
    ({"month": "2026-13"}, ["month"]),
    ({"month": "2026-12"}, ["month"]),
    ({"caps": [CAP | {"cap": "-1"}, CAP | {"scopeId": "x"}]}, ["caps.0.cap", "caps.1.scopeId"]),
    ({"caps": [CAP | {"scopeId": ""}]}, ["caps.0.scopeId"]),
    ({"caps": [CAP, CAP]}, ["caps"]),
    ({"caps": [CAP] * 101}, ["caps", "caps"]),
    ({"plan": ""}, ["plan"]),
    ({"markup": "0.99"}, ["markup"]),
    ({"creditValueUsd": "0"}, ["creditValueUsd"]),
    ({"rates": [RATE, RATE | {"credits": "0"}]}, ["rates.1.amount"]),
    ({"rates": [RATE | {"feature": "llm_call", "walletKey": "metered"}]}, ["rates.0"]),
    ({"rates": [RATE | {"feature": "nothing"}]}, ["rates.0"]),
    ({"rateCard": 99}, ["rateCard"]),
    ({"rateCard": -1}, ["rateCard"]),
)


async def test_what_cannot_be_assumed_is_named_by_its_field(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    for given, paths in WRONG:
        answer = (await clients.operator.ask(WITH_MARGINS, input={"month": MONTH} | given))["backTestMargins"]
        assert answer["__typename"] == "InvalidInput", (given, answer)
        assert [each["path"] for each in answer["fields"]] == paths, given
        assert answer["refusalId"] is None
    unknown = (await clients.member.ask(BACK_TEST, input={"month": MONTH, "plan": "gold"}))["backTest"]
    assert (unknown["code"], "query plans" in unknown["message"]) == ("NOT_FOUND", True)
    twice = '{ one: backTest(input: {month: "2026-11"}) { __typename } two: backTest(input: {month: "2026-11"}) { __typename } }'
    (error,) = (await clients.admin.send(twice))["errors"]
    assert error["extensions"]["code"] == "TOO_COMPLEX"
    await post(clients.service, "1", "0.5", "0.4")
    monkeypatch.setattr(back_tests, "MOST", 1)
    (field,) = (await clients.member.ask(BACK_TEST, input={"month": MONTH}))["backTest"]["fields"]
    assert (field["path"], "purser back-test" in field["message"]) == ("month", True)
