"""Re-rating by operators: over GraphQL and from the command line."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from domain.money import NANO
from domain.prices import Tokens
from domain.rerating import Rerated
from domain.usage import Usage
from graphql_api.administration import AdministrationError
from graphql_api.rerate_report import Order, as_text, rerate
from infra.application import Application
from infra.services import usage as service
from infra.services.callers import Caller
from infra.services.rerating import RerateReport, TenantTotals
from infra.services.usage import ReportedUsage
from infra.settings import Settings
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import open_tenant
from tests.servers import purser

RERATE: Final = """mutation ($input: RerateUsageInput!) { rerateUsage(input: $input) {
  dryRun complete endCursor
  tenants { slug events corrected priced unpriced held unfit costUsd charges { walletKey unit amount } }
} }"""
PRICE: Final = {"provider": "openai", "model": "gpt-99", "inputPer1M": "0.4", "effectiveFrom": "2026-01-01T00:00:00Z"}


async def called(application: Application, caller: Caller, *event_ids: str) -> None:
    """Calls of a million tokens each of a model without a price, a while ago."""
    tokens = Tokens(1_000_000)
    at = application.clock() - timedelta(hours=1)
    calls = [
        Usage(provider="openai", model="gpt-99", tokens=tokens, source="w", event_id=each, occurred_at=at)
        for each in event_ids
    ]
    report = await service.record_usage(application, caller, [ReportedUsage(each, "llm_call") for each in calls])
    assert report.accepted == len(event_ids)


async def publish(operator: Client) -> None:
    query = "mutation ($input: PublishPriceInput!) { publishPrice(input: $input) { __typename } }"
    answer = await operator.ask(query, input={"idempotencyKey": "p", **PRICE})
    assert answer["publishPrice"]["__typename"] == "PublishedPrice"


async def rerated(client: Client, **given: Any) -> dict[str, Any]:
    asked = {"provider": "openai", "from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", **given}
    answer: dict[str, Any] = (await client.ask(RERATE, input=asked))["rerateUsage"]
    return answer


async def test_an_operator_sees_the_totals_first_and_corrects_then(
    application: Application, clients: Clients, acme: Caller
) -> None:
    await called(application, acme, "a")
    await publish(clients.operator)
    foreseen = await rerated(clients.operator, model="gpt-99")
    figures = {
        "slug": "acme",
        "events": 1,
        "corrected": 1,
        "priced": 1,
        "unpriced": 0,
        "held": 0,
        "unfit": 0,
        "costUsd": "0.4",
        "charges": [{"walletKey": "metered", "unit": "USD", "amount": "0.52"}],
    }
    assert foreseen == {"dryRun": True, "complete": True, "endCursor": None, "tenants": [figures]}
    assert await clients.operator.balance("metered") == ("50", "0", "0")
    assert await rerated(clients.operator, dryRun=False) == {**foreseen, "dryRun": False}
    assert await clients.operator.balance("metered") == ("49.48", "0", "0.52")
    again = (await rerated(clients.operator, dryRun=False))["tenants"][0]
    assert (again["events"], again["corrected"], again["charges"]) == (1, 0, [])
    assert (await rerated(clients.operator, dryRun=False, onlyUnpriced=True))["tenants"] == []


async def test_without_a_tenant_it_is_every_tenant_and_a_cursor_goes_on(
    application: Application, clients: Clients, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    initech = await open_tenant(application, "initech", metered="50")
    for caller in (acme, initech):
        await called(application, caller, "a", "b")
    await publish(clients.operator)
    everybodys = Client(clients.operator.http, clients.operator.token)
    monkeypatch.setattr("graphql_api.rerating.MOST_AT_ONCE", 3)
    first = await rerated(everybodys)
    assert (first["complete"], [(each["slug"], each["events"]) for each in first["tenants"]]) == (
        False,
        [("acme", 2), ("initech", 1)],
    )
    second = await rerated(everybodys, after=first["endCursor"])
    assert (second["complete"], [(each["slug"], each["events"]) for each in second["tenants"]]) == (
        True,
        [("initech", 1)],
    )
    assert [each["slug"] for each in (await rerated(clients.operator))["tenants"]] == ["acme"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"provider": ""}, "input.provider"),
        ({"model": "x" * 300}, "input.model"),
        ({"to": "2026-01-01T00:00:00Z"}, "input.from must lie before input.to"),
        ({"after": "ten_1"}, "input.after"),
    ],
)
async def test_what_cannot_be_asked_is_named(clients: Clients, given: dict[str, str], said: str) -> None:
    asked = {"provider": "openai", "from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", **given}
    (error,) = (await clients.operator.send(RERATE, {"input": asked}))["errors"]
    assert said in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_the_command_says_what_it_comes_to_and_does_it_when_it_is_told_to(
    application: Application,
    clients: Clients,
    acme: Caller,
    settings: Settings,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await called(application, acme, "a")

    async def printed(start: str = "2026-01-01", **given: Any) -> str:
        await rerate(
            settings,
            database_url,
            Order("openai", start=start, **{"model": "gpt-99", "operation": None, "end": None, **given}),
        )
        return capsys.readouterr().out

    assert "1 have no price still: publish it" in await printed()
    await publish(clients.operator)
    foreseen = await printed(tenant="acme")
    assert foreseen.startswith("Dry run, nothing was written.")
    assert "+0.52 USD" in foreseen
    assert "--apply does it" in foreseen
    assert await clients.operator.balance("metered") == ("50", "0", "0")
    done = json.loads(await printed("2026-01-01T00:00:00Z", apply=True, as_json=True))
    assert done["dryRun"] is False
    assert done["tenants"][0]["charges"] == {"metered": "0.52"}
    assert await clients.operator.balance("metered") == ("49.48", "0", "0.52")
    assert (await printed(only_unpriced=True)).startswith("There is no such usage")

    with pytest.raises(typer.BadParameter, match="neither a day"):
        await printed("yesterday")
    with pytest.raises(typer.BadParameter, match="must lie before --to"):
        await printed("2026-01-02", end="2026-01-01")
    with pytest.raises(typer.BadParameter, match="must be"):
        await printed(model="\n")
    with pytest.raises(AdministrationError, match="There is no tenant 'nobody'"):
        await printed(tenant="nobody")


def test_what_is_left_as_it_is_is_told_with_the_reason() -> None:
    rerated = Rerated(corrected=3, priced=2, unpriced=5, held=1, unfit=4, cost=-7 * NANO, charges=(("credits", -NANO),))
    report = RerateReport((TenantTotals("acme", 13, rerated),))
    said = as_text(report, Order("openai", None, None, "2026-01-01", None, apply=True))
    for part in (
        "3, of which 2 had no price",
        "5 have no price",
        "1 belong to",
        "4 would cost",
        "-7 USD",
        "-1 credits",
    ):
        assert part in said


def test_the_command_takes_its_options(database_url: str, tmp_path: Path) -> None:
    given = ("--provider", "openai", "--from", "2026-01-01", "--to", "2026-02-01", "--only-unpriced", "--json")
    answer = purser(tmp_path, "rerate", *given, DATABASE_URL=database_url)
    assert (answer.returncode, answer.stderr, json.loads(answer.stdout)) == (0, "", {"dryRun": True, "tenants": []})
