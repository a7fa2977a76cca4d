"""Margins and metering as operators read them: over GraphQL and from the command line."""

import asyncio
import json
from datetime import timedelta
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from graphql_api.cli import app
from graphql_api.cli import main as command_line
from infra.application import Application
from infra.services import settlements, usage
from infra.services.callers import Caller
from infra.services.usage import ReportedUsage
from infra.settings import Settings
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import open_tenant, reported, reserved

pytestmark = pytest.mark.anyio

SUMS: Final = """revenueUsd creditsCharged creditRevenueUsd meteredRevenueUsd costUsd marginUsd marginPercent
  leastRevenueUsd leastPercent flag events unpriced"""
MARGINS: Final = f"""
query ($filter: MarginFilter!, $by: [MarginDimension!]!, $top: Int, $flagged: Boolean, $target: Int) {{
  margins(filter: $filter, groupBy: $by, top: $top, onlyFlagged: $flagged, targetPercent: $target) {{
    rows {{ keys {{ dimension value name }} sums {{ {SUMS} }} }} total {{ {SUMS} }} targetPercent asOf
  }}
}}"""
COUNTS: Final = "{ events calls costUsd unpriced }"
METERING: Final = f"""
query ($filter: PeriodFilter!) {{
  metering(filter: $filter) {{ total {COUNTS} metered {COUNTS} unmetered {COUNTS} free {COUNTS} }}
}}"""
UNMETERED: Final = """
query ($filter: PeriodFilter!, $first: Int, $after: String) {
  unmetered(filter: $filter, first: $first, after: $after) {
    edges { cursor node { id tenant reason provider feature calls costUsd reservationId agentRole campaign } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
SPAN: Final = {"from": "2026-01-01T00:00:00Z", "to": "2035-01-01T00:00:00Z"}


@pytest.fixture
async def worked(application: Application, acme: Caller, globex: Caller) -> None:
    """A dollar came in at acme for posts that cost 1.25, and 1.30 for a call of a dollar; at globex a post earned 0.75 of its
    dollar, and three strays cost 2.00 and something unknown."""
    post = await reserved(application, acme, "post")
    calls = [reported("p1", "1", provider="anthropic"), reported("p2", "0.25", provider="openai")]
    await settlements.consume(application, acme, "posted", post.id, None, calls)
    call = reported("l", "1", provider="openai")
    await usage.record_usage(application, acme, [ReportedUsage(call, "llm_call")])
    good = await reserved(application, globex, "post")
    await settlements.consume(
        application, globex, "posted", good.id, None, [reported("p", "0.25", provider="anthropic")]
    )
    strays = [
        ReportedUsage(reported("s1", "0.5", provider="tavily", calls=5)),
        ReportedUsage(reported("s2", "1.5", provider="tavily"), "blog_post"),
        ReportedUsage(reported("s3", provider="openai", model="gpt-99"), "llm_call"),
        ReportedUsage(reported("free", "0.125", provider="socrata"), "public_data_query"),
    ]
    assert (await usage.record_usage(application, globex, strays)).accepted == 4


@pytest.fixture
def everybodys(clients: Clients) -> Client:
    """An operator who names no tenant."""
    return Client(clients.operator.http, clients.operator.token)


async def asked(client: Client, by: list[str], **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await client.ask(MARGINS, filter=SPAN | given.pop("only", {}), by=by, **given))["margins"]
    return found


def told(answer: dict[str, Any], *figures: str) -> list[tuple[Any, ...]]:
    return [
        (*[key["value"] for key in row["keys"]], *[row["sums"][figure] for figure in figures]) for row in answer["rows"]
    ]


@pytest.mark.usefixtures("worked")
async def test_an_operator_sees_what_each_brought_in_and_what_it_cost(clients: Clients, everybodys: Client) -> None:
    by_feature = await asked(everybodys, ["FEATURE"])
    assert told(by_feature, "revenueUsd", "costUsd", "marginUsd", "marginPercent", "leastPercent", "flag") == [
        ("blog_post", "2", "3", "-1", -50.0, 50.0, "NEGATIVE"),
        (None, "0", "0.5", "-0.5", None, 50.0, "NEGATIVE"),
        ("llm_call", "1.3", "1", "0.3", 23.07, 23.07, None),
        ("public_data_query", "0", "0.125", "-0.125", None, None, None),
    ]
    assert by_feature["total"] == {
        "revenueUsd": "3.3",
        "creditsCharged": "4",
        "creditRevenueUsd": "2",
        "meteredRevenueUsd": "1.3",
        "costUsd": "4.625",
        "marginUsd": "-1.325",
        "marginPercent": -40.16,
        "leastRevenueUsd": "8.3",
        "leastPercent": 44.27,
        "flag": "NEGATIVE",
        "events": "8",
        "unpriced": "1",
    }
    assert by_feature["targetPercent"] == 50.0
    # A post's two credits are shared by those who were called for it, by cost.
    of_posts = await asked(clients.operator, ["TENANT", "FEATURE", "PROVIDER"], only={"feature": ["blog_post"]})
    assert told(of_posts, "revenueUsd", "costUsd") == [
        ("acme", "blog_post", "anthropic", "0.8", "1"),
        ("acme", "blog_post", "openai", "0.2", "0.25"),
    ]
    assert of_posts["rows"][0]["keys"][0] == {"dimension": "TENANT", "value": "acme", "name": "acme"}
    flagged = await asked(everybodys, ["PROVIDER"], flagged=True, top=1)
    assert told(flagged, "flag") == [("tavily", "NEGATIVE")]
    assert flagged["total"]["costUsd"] == "4.625", "the total is of all"
    strict = await asked(everybodys, ["FEATURE"], target=10, only={"provider": ["openai"]})
    assert told(strict, "flag", "leastPercent") == [("blog_post", "NEGATIVE", 9.99), ("llm_call", None, 9.99)]
    assert (await asked(everybodys, []))["rows"] == []


@pytest.mark.usefixtures("worked")
async def test_the_proof_counts_all_calls_and_lists_those_that_nobody_was_charged_for(
    clients: Clients, everybodys: Client
) -> None:
    proof = (await everybodys.ask(METERING, filter=SPAN))["metering"]
    assert proof == {
        "total": {"events": "7", "calls": "11", "costUsd": "4.5", "unpriced": "1"},
        "metered": {"events": "4", "calls": "4", "costUsd": "2.5", "unpriced": "0"},
        "unmetered": {"events": "3", "calls": "7", "costUsd": "2", "unpriced": "1"},
        "free": {"events": "1", "calls": "1", "costUsd": "0.125", "unpriced": "0"},
    }
    first = (await everybodys.ask(UNMETERED, filter=SPAN, first=2))["unmetered"]
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    rest = (await everybodys.ask(UNMETERED, filter=SPAN, after=first["pageInfo"]["endCursor"]))["unmetered"]
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)
    nodes = [edge["node"] for edge in first["edges"] + rest["edges"]]
    assert {(node["tenant"], node["reason"], node["feature"], node["costUsd"], node["calls"]) for node in nodes} == {
        ("globex", "NO_FEATURE", None, "0.5", "5"),
        ("globex", "NO_RATE", "blog_post", "1.5", "1"),
        ("globex", "UNPRICED", "llm_call", None, "1"),
    }
    assert (await clients.operator.ask(UNMETERED, filter=SPAN))["unmetered"]["edges"] == [], "acme has none"


WRONG: Final = (
    (MARGINS, {"by": ["FEATURE"], "top": 0}, "top must be 1 to 1000"),
    (MARGINS, {"by": ["FEATURE", "FEATURE"]}, "groupBy: FEATURE stands there more than once"),
    (MARGINS, {"by": [], "target": 100}, "targetPercent must be 0 to 99"),
    (MARGINS, {"by": [], "target": -1}, "targetPercent must be 0 to 99"),
    (MARGINS, {"by": [], "filter": SPAN | {"feature": []}}, "filter.feature names nothing"),
    (MARGINS, {"by": [], "filter": SPAN | {"to": SPAN["from"]}}, "filter.from must lie before filter.to"),
    (METERING, {"filter": SPAN | {"from": "1999-01-01T00:00:00Z"}}, "the year 2000"),
    (UNMETERED, {"filter": SPAN | {"to": SPAN["from"]}}, "filter.from must lie before filter.to"),
    (UNMETERED, {"first": 0}, "first must be 1 to 100"),
    (UNMETERED, {"after": "use_1"}, "after must be a cursor"),
)


async def test_what_cannot_be_asked_is_named(everybodys: Client) -> None:
    for query, given, said in WRONG:
        (error,) = (await everybodys.send(query, {"filter": SPAN} | given))["errors"]
        assert said in error["message"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, settings: Settings, database_url: str) -> Any:
    """`purser check-margins` with these options: its exit code and what it printed."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PURSER_DATA_DIR", str(settings.data_dir))

    async def ran(*given: str) -> tuple[int, str]:
        answer = await asyncio.to_thread(CliRunner().invoke, app, ["check-margins", *given])
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer.exit_code, answer.output

    return ran


@pytest.mark.usefixtures("worked")
async def test_the_command_shows_what_is_wrong_and_exits_with_1(run: Any) -> None:
    code, said = await run()
    assert code == 1
    for part in ("By feature", "By provider", "By tenant", "NEGATIVE", "NO_FEATURE", "unknown", "free on the card"):
        assert part in said
    assert said.splitlines()[-1] == "7 lines are flagged, and 3 paid calls were not metered."
    code, said = await run("--json", "--tenant", "globex", "--target", "60")
    report = json.loads(said)
    assert (code, report["sound"], report["targetPercent"]) == (1, False, "60.00")
    assert [(line["value"], line["marginPercent"], line["flag"]) for line in report["by"]["TENANT"]] == [
        ("globex", "-137.50", "NEGATIVE")
    ]
    assert report["metering"]["unmetered"] == {"events": 3, "calls": 7, "costUsd": "2", "unpriced": 1}
    assert {call["reason"] for call in report["unmetered"]} == {"NO_FEATURE", "NO_RATE", "UNPRICED"}


async def test_the_command_exits_with_0_where_all_is_well_and_with_2_where_it_cannot_tell(
    application: Application, run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await run())[1].splitlines()[-1] == "Nothing is flagged, and every paid call was metered."
    caller = await open_tenant(application, metered="10")
    call = reported("l", "1", provider="openai", occurred_at=application.clock() - timedelta(days=2))
    await usage.record_usage(application, caller, [ReportedUsage(call, "llm_call")])
    code, said = await run()
    assert (code, "llm_call" in said) == (0, True)
    code, said = await run("--from", "2026-01-01", "--to", "2026-01-02")
    assert (code, "There is no usage." in said) == (0, True)
    for wrong in (("--from", "yesterday"), ("--from", "2026-01-02", "--to", "2026-01-01"), ("--target", "100")):
        assert (await run(*wrong))[0] == 2
    monkeypatch.setattr("sys.argv", ["purser", "check-margins", "--tenant", "nobody"])
    with pytest.raises(SystemExit, match="2"):
        await asyncio.to_thread(command_line)
    assert "There is no tenant 'nobody'" in capsys.readouterr().err
