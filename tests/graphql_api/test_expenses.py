"""Expenses over GraphQL: what people enter and change, and what campaigns have cost beside what was tracked."""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import asyncpg
import pytest

from infra.application import Application
from infra.services import api_keys, rollups
from infra.services.callers import Caller
from tests.graphql_api.client import COSTS, EXPENSE, FACTS, Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import nothing_moves

pytestmark = pytest.mark.anyio

AGENCY = {"campaign": "spring", "kind": "AGENCY", "amount": "1500", "currency": "EUR", "incurredOn": "2026-11-03"}
LABOR = {"campaign": "spring", "kind": "LABOR", "hours": "7.5", "hourlyRate": "33.33", "currency": "EUR"} | {
    "incurredOn": "2026-11-04"
}
COSTS_OF = f"query ($campaign: String!, $from: Date, $to: Date) {{ campaignCosts(campaign: $campaign, from: $from, to: $to) {{ {COSTS} expenses {{ id }} }} }}"
NODE = f"query ($id: ID!) {{ node(id: $id) {{ ... on Expense {{ {EXPENSE} history {{ version change {FACTS} actor changedAt }} }} }} }}"
LIST = """
query ($first: Int, $after: String, $campaign: String, $kinds: [ExpenseKind!], $from: Date, $to: Date, $deleted: Boolean) {
  expenses(first: $first, after: $after, campaign: $campaign, kinds: $kinds, from: $from, to: $to, deleted: $deleted) {
    edges { node { description } } pageInfo { hasNextPage hasPreviousPage endCursor }
  }
}"""
CAMPAIGNS = f"""
query ($first: Int, $after: String, $from: Date, $to: Date) {{
  campaignCostsList(first: $first, after: $after, from: $from, to: $to) {{
    edges {{ node {{ {COSTS} expenses(first: 2) {{ description history {{ version }} }} }} }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}"""

KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
DECISION = "{ auditLog(first: 1) { edges { node { operation details { name value } } } } }"


async def add(client: Client, key: str, **given: Any) -> Any:
    return await client.do("addExpense", idempotencyKey=key, **({**AGENCY} | given))


async def costs(client: Client, campaign: str = "spring", **days: str) -> Any:
    return (await client.ask(COSTS_OF, campaign=campaign, **days))["campaignCosts"]


async def won(client: Client, key: str, count: int, on: str = "2026-11-05", campaign: str = "spring") -> Any:
    return await client.do("recordCustomersWon", idempotencyKey=key, campaign=campaign, count=count, on=on)


async def described(client: Client, **filters: Any) -> list[str]:
    return [edge["node"]["description"] for edge in (await client.ask(LIST, **filters))["expenses"]["edges"]]


async def test_an_expense_is_entered_changed_and_deleted_and_keeps_its_trace(clients: Clients) -> None:
    added = await add(clients.admin, "a", description="=cmd|'/c calc'!A0")
    assert await add(clients.admin, "a", description="=cmd|'/c calc'!A0") == added, "once per key"
    assert (await add(clients.admin, "a"))["code"] == KEY_REUSED
    assert (added["money"], added["version"], added["deletedAt"]) == ({"amount": "1500", "currency": "EUR"}, 1, None)
    labor = await clients.operator.do("changeExpense", idempotencyKey="c", id=added["id"], **LABOR)
    assert labor["money"] == {"amount": "249.98", "currency": "EUR"}
    assert (labor["hours"], labor["hourlyRate"], labor["description"], labor["version"]) == ("7.5", "33.33", None, 2)
    assert (await costs(clients.member))["expenseTotals"] == [{"amount": "249.98", "currency": "EUR"}]
    too_long = await clients.admin.do("deleteExpense", idempotencyKey="d", id=added["id"], reason="x" * 1001)
    assert [field["path"] for field in too_long["fields"]] == ["reason"]
    deleted = await clients.admin.do("deleteExpense", idempotencyKey="d", id=added["id"], reason="twice")
    assert deleted == await clients.admin.do("deleteExpense", idempotencyKey="d", id=added["id"], reason="twice")
    assert (await clients.admin.do("deleteExpense", idempotencyKey="d", id=added["id"]))["code"] == KEY_REUSED
    newest = (await clients.admin.ask(DECISION))["auditLog"]["edges"][0]["node"]
    assert newest == {"operation": "deleteExpense", "details": [{"name": "reason", "value": "twice"}]}
    assert (await costs(clients.member))["expenseTotals"] == []
    node = (await clients.member.ask(NODE, id=added["id"]))["node"]
    history = node.pop("history")
    assert node == {name: value for name, value in deleted.items() if name in node}
    assert [(each["version"], each["change"], each["money"]["amount"]) for each in history] == [
        (1, "ADDED", "1500"),
        (2, "CHANGED", "249.98"),
        (3, "DELETED", "249.98"),
    ]
    assert [each["actor"] for each in history] == [added["actor"], history[1]["actor"], added["actor"]]
    assert history[1]["actor"] != added["actor"], "the operator changed it"
    assert history[0]["description"] == "=cmd|'/c calc'!A0"
    for operation, given in (("changeExpense", LABOR), ("deleteExpense", {})):
        again = await clients.admin.do(operation, idempotencyKey="late", id=added["id"], **given)
        assert again["code"] == "NOT_FOUND", "what is deleted stays deleted"


async def test_wrong_fields_are_named_and_nothing_is_written(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        answer = await add(clients.admin, "a", campaign=" ", amount="0.001", currency="EUR", description="x" * 1001)
        assert [field["path"] for field in answer["fields"]] == ["campaign", "amount", "description"]
        answer = await add(clients.admin, "", currency="EURO", incurredOn="2099-01-01")
        assert [field["path"] for field in answer["fields"]] == ["idempotencyKey", "currency", "incurredOn"]
        answer = await won(clients.admin, "w", 0, "1999-12-31", "")
        assert [field["path"] for field in answer["fields"]] == ["campaign", "count", "on"]
        for query in (
            'expenses(from: "2026-11-02", to: "2026-11-01") { edges { cursor } }',
            'expenses(after: "2026-13-01_exp_' + "0" * 32 + '") { edges { cursor } }',
            'expenses(campaign: "") { edges { cursor } }',
            "expenses(kinds: []) { edges { cursor } }",
            'campaignCosts(campaign: "") { cacStatus }',
            'accountCosts(account: " ") { unpriced }',
            'campaignCosts(campaign: "c", from: "1999-01-01") { cacStatus }',
            'campaignCosts(campaign: "c") { models(top: 101) { calls } }',
            'campaignCostsList(after: "") { edges { cursor } }',
        ):
            (error,) = (await clients.member.send(f"{{ {query} }}"))["errors"]
            assert error["extensions"]["code"] == "BAD_USER_INPUT", query


async def test_the_list_turns_pages_and_takes_filters(clients: Clients) -> None:
    added: Any = None
    for number, (campaign, kind, day) in enumerate(
        [("spring", "AGENCY", 1), ("spring", "ADWORDS", 2), ("autumn", "AGENCY", 2), ("spring", "EVENT", 3)]
    ):
        given = {"campaign": campaign, "kind": kind, "incurredOn": f"2026-11-0{day}", "description": str(number)}
        added = await add(clients.admin, f"k{number}", **given)
    assert await described(clients.member) == ["3", "2", "1", "0"]
    assert await described(clients.member, campaign="spring", kinds=["AGENCY", "EVENT"]) == ["3", "0"]
    assert await described(clients.member, **{"from": "2026-11-02", "to": "2026-11-02"}) == ["2", "1"]
    found, after = [], None
    while True:
        page = (await clients.member.ask(LIST, first=1, after=after))["expenses"]
        found += [edge["node"]["description"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == ["3", "2", "1", "0"]
    await clients.admin.do("deleteExpense", idempotencyKey="d", id=added["id"])
    assert await described(clients.member, deleted=True) == ["3"]
    assert await described(clients.member) == ["2", "1", "0"]


async def test_the_cost_of_a_customer_is_told_or_why_not(clients: Clients) -> None:
    def told(found: Any) -> tuple[str, Any, int]:
        return found["cacStatus"], found["cac"], found["customersWon"]

    admin = clients.admin
    assert told(await costs(admin)) == ("NO_EXPENSES", None, 0)
    assert told(await won(admin, "w", 3)) == ("NO_EXPENSES", None, 3)
    await add(admin, "a", amount="1000")
    assert told(await costs(admin)) == ("OK", {"amount": "333.34", "currency": "EUR"}, 3)
    assert told(await costs(admin, to="2026-11-04")) == ("NO_CUSTOMERS", None, 0)
    assert told(await costs(admin, **{"from": "2026-11-03", "to": "2026-11-05"}))[0] == "OK", "both days are in it"
    taken = await won(admin, "x", -4)
    assert taken["fields"] == [
        {"path": "count", "message": "the campaign has 3 customers recorded on this day: it may be -3 at the least"}
    ]
    assert told(await won(admin, "y", -1)) == ("OK", {"amount": "500", "currency": "EUR"}, 2)
    assert told(await won(admin, "y", -1))[2] == 2, "once per key"
    assert (await won(admin, "z", -1, "2026-11-06"))["code"] == "INVALID_INPUT", "another day has none to take back"
    usd = await add(admin, "b", currency="USD", amount="10")
    mixed = await costs(admin)
    assert told(mixed) == ("MIXED_CURRENCIES", None, 2)
    assert mixed["expenseTotals"] == [{"amount": "1000", "currency": "EUR"}, {"amount": "10", "currency": "USD"}]
    await admin.do("deleteExpense", idempotencyKey="d", id=usd["id"])
    assert told(await costs(admin)) == ("OK", {"amount": "500", "currency": "EUR"}, 2)


async def test_tracked_usage_stands_beside_and_is_in_no_cost_of_acquisition(
    clients: Clients, application: Application, acme: Caller
) -> None:
    def event(number: int, usage: dict[str, Any], kind: str = "LLM", **attribution: str) -> dict[str, Any]:
        usage = {"provider": "openai", "occurredAt": "2026-11-20T10:00:00Z", **usage}
        return {"source": "w", "eventId": str(number), "kind": kind, "usage": usage} | {
            "attribution": {"campaign": "spring", "account": "shop", **attribution}
        }

    events = [
        event(1, {"model": "gpt-4o", "costUsd": "0.3"}),
        event(2, {"model": "gpt-4o-mini", "costUsd": "0.1"}),
        event(3, {"model": "gpt-4o-mini", "costUsd": "0.1"}, account="kiosk"),
        event(4, {"provider": "tavily", "costUsd": "0.05"}, "API"),
        event(5, {"model": "gpt-4o", "costUsd": "9", "occurredAt": "2026-11-19T23:59:59Z"}, campaign="other"),
    ]
    await clients.service.do("recordUsage", events=events)
    alone = await costs(clients.member)
    assert (alone["autoTrackedUsd"], alone["cac"], alone["cacStatus"]) == ("0.55", None, "NO_EXPENSES")
    await add(clients.admin, "a", amount="100")
    await won(clients.admin, "w", 2)
    raw = await costs(clients.member)
    await rollups.roll_up(application, application.clock())
    found = await costs(clients.member, **{"from": "2026-11-03", "to": "2026-11-20"})
    assert {**raw, "expenses": None} == {**found, "expenses": None}
    assert (found["autoTrackedUsd"], found["autoTrackedLlmUsd"], found["unpriced"]) == ("0.55", "0.5", "0")
    assert found["models"] == [
        {"provider": "openai", "model": "gpt-4o", "costUsd": "0.3", "calls": "1"},
        {"provider": "openai", "model": "gpt-4o-mini", "costUsd": "0.2", "calls": "2"},
    ]
    assert (found["cac"], found["cacStatus"]) == ({"amount": "50", "currency": "EUR"}, "OK")
    assert (await costs(clients.member, **{"from": "2026-11-21"}))["autoTrackedUsd"] == "0"
    query = 'query ($to: Date) { accountCosts(account: "shop", to: $to) { account name autoTrackedUsd autoTrackedLlmUsd unpriced models(top: 1) { model calls } } }'
    await clients.admin.do("nameScope", idempotencyKey="n", kind="ACCOUNT", id="shop", name="The shop")
    assert (await clients.member.ask(query, to=None))["accountCosts"] == {
        "account": "shop",
        "name": "The shop",
        "autoTrackedUsd": "9.45",
        "autoTrackedLlmUsd": "9.4",
        "unpriced": "0",
        "models": [{"model": "gpt-4o", "calls": "2"}],
    }
    assert (await clients.member.ask(query, to="2026-11-18"))["accountCosts"]["autoTrackedUsd"] == "0"
    theirs = (await clients.stranger.ask(query, to=None))["accountCosts"]
    assert (theirs["name"], theirs["autoTrackedUsd"]) == (None, "0")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement that is sent meanwhile."""
    sent: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            original = getattr(asyncpg.Connection, name)

            async def noted(self: Any, query: str, *arguments: Any, _original: Any = original, **options: Any) -> Any:
                sent.append(query)
                return await _original(self, query, *arguments, **options)

            patch.setattr(asyncpg.Connection, name, noted)
        yield sent


async def test_a_list_of_campaigns_takes_as_many_statements_as_one(
    clients: Clients, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def statements(first: int) -> tuple[int, list[Any]]:
        """The fewest of three times: the server may do something of its own meanwhile."""
        asked = []
        for _ in range(3):
            with counted(monkeypatch) as sent:
                answer = await clients.member.ask(CAMPAIGNS, first=first, **{"from": "2026-11-01"})
            asked.append((len(sent), [edge["node"] for edge in answer["campaignCostsList"]["edges"]]))
        return min(asked, key=itemgetter(0))

    for number in range(6):
        campaign = f"c{number}"
        await add(clients.admin, f"a{number}", campaign=campaign, amount=f"{100 + number}", description="older")
        await add(clients.admin, f"b{number}", campaign=campaign, description="newer", incurredOn="2026-11-09")
        await won(clients.admin, f"w{number}", number + 1, campaign=campaign)
        usage = {"provider": "openai", "model": "gpt-4o", "costUsd": f"0.{number + 1}"}
        event = {
            "source": "w",
            "eventId": campaign,
            "kind": "LLM",
            "usage": usage,
            "attribution": {"campaign": campaign},
        }
        await clients.service.do("recordUsage", events=[event])
    await clients.admin.do("nameScope", idempotencyKey="n", kind="CAMPAIGN", id="c1", name="One")
    monkeypatch.setattr(api_keys, "SECONDS_REMEMBERED", 600.0)
    await statements(1)  # by now the key is known, for as long as this takes, and the connections are made
    of_one, (first,) = await statements(1)
    of_six, all_six = await statements(6)
    assert of_one == of_six
    assert of_six < 60  # each read tells its connection the tenant
    assert all_six[0] == first
    assert [each["campaign"] for each in all_six] == [f"c{number}" for number in range(6)]
    assert all_six[1]["name"] == "One"
    for number, each in enumerate(all_six):
        alone = await costs(clients.member, f"c{number}")
        assert {name: each[name] for name in alone if name != "expenses"} | {"expenses": None} == alone | {
            "expenses": None
        }
        assert [expense["description"] for expense in each["expenses"]] == ["newer", "older"]
        assert each["autoTrackedUsd"] == f"0.{number + 1}"
    rest = (await clients.member.ask(CAMPAIGNS, first=5, after="c3"))["campaignCostsList"]
    assert [edge["node"]["campaign"] for edge in rest["edges"]] == ["c4", "c5"]
    assert (await clients.stranger.ask(CAMPAIGNS, first=5))["campaignCostsList"]["edges"] == []


async def test_a_foreign_expense_answers_as_none(clients: Clients, application: Application) -> None:
    added = await add(clients.admin, "a")
    await won(clients.admin, "w", 1)

    async def answers(public_id: str) -> list[Any]:
        stranger = clients.stranger
        found = [
            await stranger.do("changeExpense", idempotencyKey="k", id=public_id, **LABOR),
            await stranger.do("deleteExpense", idempotencyKey="k", id=public_id),
        ]
        return [{**answer, "refusalId": None} for answer in found] + [(await stranger.ask(NODE, id=public_id))["node"]]

    async with nothing_moves(application):
        foreign = await answers(added["id"])
        assert foreign == await answers("exp_" + "0" * 32) == await answers("nonsense")
        assert [answer["code"] for answer in foreign[:2]] == ["NOT_FOUND"] * 2
        theirs = await costs(clients.stranger)
        assert (theirs["expenses"], theirs["customersWon"], theirs["cacStatus"]) == ([], 0, "NO_EXPENSES")
        assert await described(clients.stranger) == []
        assert (await clients.service.refused("addExpense", idempotencyKey="s", **AGENCY))["extensions"] == {
            "code": "FORBIDDEN"
        }
    await clients.operator.do("suspendTenant", idempotencyKey="s")
    assert (await add(clients.admin, "b"))["reason"] == "tenant_suspended"


async def test_what_was_done_to_an_expense_cannot_be_undone_by_the_application(
    clients: Clients, application: Application
) -> None:
    await add(clients.admin, "a")
    if application.separate_roles:
        for table in ("expense_version", "customers_won"):
            for statement in (f"UPDATE {table} SET actor = 'x'", f"DELETE FROM {table}"):
                for pool in (application.writers, application.across_tenants):
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await pool.execute(statement)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await application.writers.execute("DELETE FROM expense")
