"""A month played again, as operators and tenants ask for it: over GraphQL and from the command line."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from typer.testing import CliRunner
from typing_extensions import override

from domain.back_tests import Assumptions, BackTest
from domain.ids import NIL
from domain.margins import Sums
from domain.outcomes import Level, Outcome, Refused
from domain.refusals import RefusalCode
from graphql_api import back_tests
from graphql_api.back_test_options import Options
from graphql_api.back_test_report import as_table
from graphql_api.cli import app
from graphql_api.cli import main as command_line
from infra import demo
from infra.application import Application, open_application
from infra.queries.back_tests import back_test
from infra.services import catalog, cycles
from infra.services.callers import Caller, Role
from infra.services.catalog import Published
from infra.settings import Settings
from tests.databases import execute
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
    rates = [{"feature": "blog_post", "walletKey": "credits", "amount": "3"}]
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
    assert published.tenant_id is not None
    cards = (await application.current_catalog()).for_tenant(published.tenant_id).rate_cards
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


async def test_months_are_played_one_at_a_time_and_wait_without_a_connection(
    application: Application, clients: Clients, globex: Caller
) -> None:
    async with application.back_tests.turn(globex.tenant_id):
        waiting = asyncio.create_task(played(clients.member))
        for _ in range(5):
            assert (await clients.member.balance())[0] == "300"
            assert isinstance(await back_test(application, globex.tenant_id, MONTH, Assumptions()), BackTest)
        assert not waiting.done()
        assert application.readers._pool.get_idle_size() == application.readers._pool.get_size()
    assert (await waiting)["asItWas"]["admitted"] == 0


CAP: Final = {"scope": "TENANT", "period": "MONTH"}
RATE: Final = {"feature": "blog_post", "walletKey": "credits", "amount": "3"}
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
    ({"rates": [RATE, RATE | {"amount": "0"}]}, ["rates", "rates.1.amount"]),
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


# ---- the command ---------------------------------------------------------------------------------------------------

Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, settings: Settings, database_url: str) -> Run:
    """`purser back-test` with these arguments: its exit code and what it printed."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PURSER_DATA_DIR", str(settings.data_dir))

    async def ran(*given: str) -> tuple[int, str]:
        answer = await asyncio.to_thread(CliRunner().invoke, app, ["back-test", *given])
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer.exit_code, answer.output

    return ran


def told(said: str, name: str) -> list[str]:
    """The two figures of a line of the table."""
    (line,) = [line for line in said.splitlines() if f"│ {name} " in line]
    return [cell.strip() for cell in line.strip("│").split("│")[1:]]


@pytest.mark.usefixtures("worked")
async def test_the_command_puts_both_months_side_by_side(application: Application, run: Run, clients: Clients) -> None:
    async with nothing_moves(application):
        code, said = await run(
            *("acme", "--month", MONTH, "--cap", "agent:writer=1.5", "--cap", "campaign:spring:TOTAL=none"),
            *("--markup", "2", "--credit-value", "0.25", "--rate", "blog_post:credits=3"),
        )
    assert code == 0
    assert told(said, "admitted") == ["4", "3"]
    assert told(said, "refused: agent writer, over its budget") == ["", "1 of 0.3 USD from 21 12:00"]
    assert told(said, "charged: credits") == ["6", "6"]
    assert told(said, "revenue in dollars") == ["4.3", "3.5"]
    assert told(said, "margin in dollars") == ["1.9", "1.4"]
    assert told(said, "margin in percent") == ["44.18", "40.00"]
    assert told(said, "stopped: agent writer")[1].startswith("monthly_budget_exceeded, 21 12:00")
    assert said.splitlines()[-1] == "The month played as it was is exactly what the books say."
    code, said = await run("acme", "--month", MONTH, "--cap", "task:writer=0.5", "--json")
    found = json.loads(said)
    assert (code, found["differences"], found["asAssumed"]["margin"]["marginUsd"]) == (0, [], "1.6")
    (refusal,) = found["asAssumed"]["refusals"]
    assert (refusal["scope"], refusal["scopeId"], refusal["requests"], refusal["costUsd"]) == (
        "TASK",
        "writer",
        1,
        "0.7",
    )
    answer = await with_margins(
        clients.operator, caps=[{"scope": "AGENT", "scopeId": "writer", "period": "TASK", "cap": "0.5"}]
    )
    for name in ("asItWas", "asAssumed"):
        spoken = answer[name] | {each: amounts(answer[name][each]) for each in ("charges", "balances")}
        written = {key: value for key, value in found[name].items() if key != "margin"}
        assert json.dumps(written, sort_keys=True).replace("+00:00", "Z") == json.dumps(spoken, sort_keys=True)


def test_whatever_refuses_has_a_line_of_its_own() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    refused = tuple([Refused(Level(code), 1, 0, now, now) for code in RefusalCode])
    nothing = Outcome(0, 0, (), 0, (), (), (), Sums())
    found = BackTest(MONTH, now, now, 0, nothing, replace(nothing, refused=refused), ())
    table = as_table(found, Options("acme", MONTH, plan="starter"))
    lines = {str(line) for line in table.columns[0].cells if str(line).startswith("refused: ")}
    assert len(lines) == len(RefusalCode)
    assert {"refused: over its budget", "refused: conflict"} <= lines


async def test_the_command_exits_with_1_where_the_month_is_not_what_the_books_say(
    database_url: str, clients: Clients, run: Run
) -> None:
    work = await post(clients.service, "1", "0.5", "0.4")
    await execute(database_url, "UPDATE reservation SET charges = '[[\"credits\", 7]]'")
    code, said = await run("acme", "--month", MONTH)
    assert code == 1
    assert "is NOT what the books say" in said
    assert f"{work['id']} was charged 0.000000007 credits; played again 2 credits" in said
    assert "Nothing is assumed" in said


@pytest.mark.usefixtures("globex")
async def test_the_command_names_the_option_that_it_cannot_take(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for option, text in (
        ("--cap", "500"),
        ("--cap", "writer=50"),
        ("--cap", "agent:writer=lots"),
        ("--rate", "blog_post=3"),
        ("--rate", "blog_post:credits=much"),
        ("--markup", "1,4"),
        ("--credit-value", "NaN"),
    ):
        code, said = await run("globex", "--month", MONTH, option, text)
        assert (code, option in said, repr(text.rpartition("=")[2])[1:-1] in said) == (2, True, True), (text, said)
    for arguments, expected in (
        (("globex", "--month", "2026-13"), "--month: must be a month such as 2026-10"),
        (("globex", "--month", "2999-01"), "--month: has not begun yet"),
        (
            ("globex", "--month", MONTH, "--cap", "tenant=1", "--cap", "tag:red=1"),
            "--cap number 2, scopeId: a tag is addressed as key=value",
        ),
        (("globex", "--month", MONTH, "--cap", "tenant:TOTAL=1"), "--cap number 1, period: a budget of scope TENANT"),
        (("globex", "--month", MONTH, "--plan", "gold"), "plan 'gold' in region india"),
        (("globex", "--month", MONTH, "--rate-card", "9"), "--rate-card: there is no such version"),
        (("nobody", "--month", MONTH), "There is no tenant 'nobody': there are globex"),
    ):
        monkeypatch.setattr("sys.argv", ["purser", "back-test", *arguments])
        with pytest.raises(SystemExit, match="2"):
            await asyncio.to_thread(command_line)
        assert expected in capsys.readouterr().err


# ---- the demo ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_demos_months_are_what_its_books_say(settings: Settings, database_url: str, run: Run) -> None:
    async with open_application(settings, database_url, clock=Clock(datetime(2026, 11, 21, 3, tzinfo=UTC))) as opened:
        await demo.seed(opened)
    facts = 0
    for tenant in ("acme", "globex", "initech", "vandelay"):
        for month in ("2026-10", MONTH):
            code, said = await run(tenant, "--month", month, "--json")
            found = json.loads(said)
            assert (code, found["differences"]) == (0, []), (tenant, month)
            assert found["asAssumed"] == found["asItWas"]
            facts += found["facts"]
    assert facts > 1_000
