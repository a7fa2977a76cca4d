"""`receipt` explains reservations, calls, ledger entries and refusals from what was kept when they were decided."""

from decimal import Decimal
from typing import Any

import pytest

from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients

pytestmark = pytest.mark.anyio

RECEIPT = """query ($id: ID!) { receipt(id: $id) {
    lines { label quantity unitPrice per priceEffectiveFrom amount unit }
    lots { amount lot { id source } }
    budgets { scope scopeId period measure before after cap }
    total unit rule charges { amount wallet { key } } entries { id type amount } reservation { id state }
} }"""
WRITER = {"campaign": "spring", "agentRole": "blog-writer"}
GPT = {"provider": "openai", "model": "gpt-4o"}


async def receipt(client: Client, identifier: str) -> Any:
    return (await client.ask(RECEIPT, id=identifier))["receipt"]


async def settled(client: Client, key: str, feature: str = "llm_call") -> Any:
    """A call of 1,000 tokens in and 100 out, reserved for more."""
    held = await client.reserve(
        key, feature, model=GPT, estimate={"inputTokens": 2_000, "outputTokens": 1_000}, attribution=WRITER
    )
    usage = [{"inputTokens": 1_000, "outputTokens": 100}]
    return held, await client.do("consume", idempotencyKey=f"{key} done", reservationId=held["id"], usage=usage)


def step(found: Any, measure: str, scope: str, period: str) -> tuple[str, str, str | None]:
    (one,) = [
        one for one in found["budgets"] if (one["measure"], one["scope"], one["period"]) == (measure, scope, period)
    ]
    return one["before"], one["after"], one["cap"]


async def month(client: Client) -> str:
    budgets = (await client.ask("{ budgets { scope period periodKey } }"))["budgets"]
    return next(str(budget["periodKey"]) for budget in budgets if budget["scope"] == "TENANT")


async def test_a_settled_reservation_from_tokens_to_lots_and_budgets(clients: Clients) -> None:
    cap = {"idempotencyKey": "cap", "scope": "CAMPAIGN", "scopeId": "spring", "period": "TOTAL", "cap": "10"}
    await clients.admin.do("setBudget", **cap)
    await settled(clients.service, "first")
    held, done = await settled(clients.service, "second")
    found = await receipt(clients.member, held["id"])
    lines = {line["label"]: line for line in found["lines"]}
    assert lines["openai gpt-4o: input tokens"] | {"priceEffectiveFrom": None} == {
        "label": "openai gpt-4o: input tokens",
        "quantity": "1000",
        "unitPrice": "2.5",
        "per": "1000000",
        "priceEffectiveFrom": None,
        "amount": "0.0025",
        "unit": "USD",
    }
    assert lines["openai gpt-4o: output tokens"]["amount"] == "0.001"
    (charge,) = done["charges"]
    assert (found["total"], found["unit"]) == (charge["amount"], "USD")
    assert lines["charged to metered"]["amount"] == charge["amount"]
    assert [(lot["amount"], lot["lot"]["source"]) for lot in found["lots"]] == [(charge["amount"], "TOP_UP")]
    assert [(entry["type"], entry["amount"]) for entry in found["entries"]] == [("CONSUMED", charge["amount"])]
    assert found["reservation"] == {"id": held["id"], "state": "CONSUMED"}
    assert step(found, "SPENT", "CAMPAIGN", "TOTAL") == ("0.0035", "0.007", "10")
    after_hold = str(Decimal("0.0035") + Decimal(held["heldUsd"]))
    assert step(found, "HELD", "CAMPAIGN", "TOTAL") == ("0.0035", after_hold, "10")
    assert step(found, "SPENT", "AGENT", await month(clients.member)) == ("0.0035", "0.007", None)
    (event,) = done["usageEvents"]
    of_event = await receipt(clients.member, event["id"])
    assert (of_event["total"], of_event["lots"]) == (found["total"], found["lots"])
    assert step(of_event, "SPENT", "CAMPAIGN", "TOTAL") == ("0.0035", "0.007", "10")
    of_entry = await receipt(clients.member, found["entries"][0]["id"])
    assert of_entry["total"] == charge["amount"]
    assert {"openai gpt-4o: input tokens", "charged to metered"} <= {line["label"] for line in of_entry["lines"]}


async def test_only_an_operator_reads_markup_value_and_margin(clients: Clients) -> None:
    held, done = await settled(clients.service, "priced")
    cost, charged = Decimal(done["costUsd"]), Decimal(done["charges"][0]["amount"])
    seen = {role: await receipt(getattr(clients, role), held["id"]) for role in ("operator", "admin", "service")}
    for_operators = {
        line["label"]: (line["quantity"], Decimal(line["amount"]))
        for line in seen["operator"]["lines"]
        if line["label"].startswith("for operators")
    }
    assert for_operators == {
        "for operators: cost x markup": ("1.3", cost * Decimal("1.3")),
        "for operators: gross margin": ("1", charged - cost),
    }
    for role in ("admin", "service"):
        assert not [line for line in seen[role]["lines"] if "operator" in line["label"]]
    entry = seen["operator"]["entries"][0]["id"]
    assert not [line for line in (await receipt(clients.admin, entry))["lines"] if "operator" in line["label"]]
    blog, _ = await settled(clients.service, "fixed", "blog_post")
    lines = {line["label"]: line for line in (await receipt(clients.operator, blog["id"]))["lines"]}
    assert lines["for operators: credits at their value"]["unitPrice"] == "0.5"
    assert lines["charged to credits: SEO Blog Post, 2 each"]["quantity"] == "1"


async def test_recorded_usage_alone_under_a_reservation_and_in_a_large_batch(clients: Clients) -> None:
    held = await clients.service.reserve("open", "llm_call", model=GPT, estimate={"costUsd": "1"}, attribution=WRITER)
    called = {"provider": "openai", "model": "gpt-4o", "inputTokens": 1_000}

    def event(number: int, **more: Any) -> dict[str, Any]:
        return {"source": "worker", "eventId": f"e-{number}", "kind": "LLM", "usage": called} | more

    few = [
        event(1, reservationId=held["id"]),
        event(2, feature="llm_call", attribution=WRITER),
    ]
    many = [event(number, feature="llm_call", attribution=WRITER) for number in range(3, 153)]
    assert (await clients.service.do("recordUsage", events=few))["accepted"] == 2
    assert (await clients.service.do("recordUsage", events=many))["accepted"] == 150
    log = await clients.member.ask(
        "query ($f: UsageFilter!) { usageEvents(filter: $f, first: 100) { edges { node { id } } } }",
        f={"from": "2026-01-01T00:00:00Z", "to": "2035-01-01T00:00:00Z"},
    )
    newest = log["usageEvents"]["edges"][0]["node"]["id"]
    of_batch = await receipt(clients.member, newest)
    assert step(of_batch, "SPENT", "CAMPAIGN", "TOTAL") == ("0.005", "0.38", None)
    assert "large batch" in of_batch["rule"]
    assert (of_batch["total"], of_batch["entries"], of_batch["lots"]) == ("0.00325", [], [])
    usage = [{"outputTokens": 100}]
    done = await clients.service.do("consume", idempotencyKey="c", reservationId=held["id"], usage=usage)
    found = await receipt(clients.member, held["id"])
    calls = [line for line in found["lines"] if line["unitPrice"] is not None]
    assert sum(Decimal(line["amount"]) for line in calls) == Decimal(done["costUsd"]) == Decimal("0.0035")
    assert step(found, "SPENT", "CAMPAIGN", "TOTAL") == ("0.38", "0.381", None)
    entries = await clients.member.ask(
        '{ wallet(key: "metered") { entries(first: 20, types: [CONSUMED]) { edges { node { id amount } } } } }'
    )
    nodes = [edge["node"] for edge in entries["wallet"]["entries"]["edges"]]
    (batch_entry,) = [node for node in nodes if node["amount"] == "0.4875"]
    of_entry = await receipt(clients.member, batch_entry["id"])
    assert step(of_entry, "SPENT", "CAMPAIGN", "TOTAL") == ("0.005", "0.38", None)
    (single,) = [node for node in nodes if node["amount"] == "0.00325"]
    assert (await receipt(clients.member, single["id"]))["total"] == "0.00325"


async def test_what_is_held_released_and_granted(clients: Clients) -> None:
    held = await clients.service.reserve("h", "blog_post", attribution=WRITER)
    found = await receipt(clients.service, held["id"])
    assert (found["total"], found["charges"], found["entries"]) == (None, [], [])
    assert [lot["amount"] for lot in found["lots"]] == ["2"]
    assert found["rule"].startswith("Held for work that has not ended")
    await clients.service.do("release", idempotencyKey="r", reservationId=held["id"])
    found = await receipt(clients.service, held["id"])
    assert (found["lots"], found["reservation"]["state"]) == ([], "RELEASED")
    edges = (await clients.admin.ask('{ wallet(key: "credits") { entries { edges { node { id type } } } } }'))["wallet"]
    by_type = {edge["node"]["type"]: edge["node"]["id"] for edge in edges["entries"]["edges"]}
    assert set(by_type) >= {"TOPPED_UP", "RESERVED", "RELEASED"}
    for kind, identifier in by_type.items():
        (line, *_) = (await receipt(clients.admin, identifier))["lines"]
        assert Decimal(line["amount"]) > 0, kind
    assert step(await receipt(clients.admin, by_type["RESERVED"]), "HELD", "CAMPAIGN", "TOTAL")[0] == "0"


async def test_refusals_are_explained_as_soon_as_they_are_told(clients: Clients) -> None:
    cap = {"idempotencyKey": "cap", "scope": "CAMPAIGN", "scopeId": "spring", "period": "TOTAL", "cap": "0.5"}
    await clients.admin.do("setBudget", **cap)
    over = await clients.service.reserve("over", "llm_call", estimate={"costUsd": "0.6"}, attribution=WRITER)
    found = await receipt(clients.member, over["refusalId"])
    (only,) = found["budgets"]
    assert (only["scope"], only["scopeId"], only["before"], only["after"], only["cap"]) == (
        "CAMPAIGN",
        "spring",
        "0",
        "0",
        "0.5",
    )
    assert "BUDGET_EXCEEDED" in found["rule"]
    assert "1 x llm_call, campaign spring, agent role blog-writer" in found["rule"]
    poor = await clients.service.reserve("poor", "blog_post", quantity="1000")
    found = await receipt(clients.member, poor["refusalId"])
    assert [line["amount"] for line in found["lines"]] == [poor["requested"], poor["available"], poor["shortBy"]]
    assert found["unit"] is None
    unknown = await clients.service.reserve("none", "no_such_feature")
    assert "no_such_feature" in (await receipt(clients.member, unknown["refusalId"]))["rule"]
    ended = await clients.service.do("release", idempotencyKey="x", reservationId="rsv_" + "0" * 32)
    assert "NOT_FOUND" in (await receipt(clients.member, ended["refusalId"]))["rule"]


async def test_another_tenants_things_and_nonsense_have_no_receipt(clients: Clients) -> None:
    held, done = await settled(clients.service, "mine")
    entries = (await receipt(clients.member, held["id"]))["entries"]
    refused = await clients.service.reserve("no", "no_such_feature")
    mine = [held["id"], done["usageEvents"][0]["id"], entries[0]["id"], refused["refusalId"]]
    for identifier in mine:
        assert await receipt(clients.member, identifier) is not None
        assert await receipt(clients.stranger, identifier) is None
    nobodys = [f"{kind}_{'0' * 32}" for kind in ("rsv", "use", "ref", "wal", "top")]
    for identifier in (*nobodys, "led_x", "led_" + "0" * 32 + "_1", "", "rsv_", "x"):
        assert await receipt(clients.member, identifier) is None


async def test_a_corrected_price_corrects_the_receipt(clients: Clients) -> None:
    held = await clients.service.reserve("u", "llm_call", model=GPT, estimate={"costUsd": "1"}, attribution=WRITER)
    usage = [{"provider": "openai", "model": "gpt-99", "inputTokens": 1_000_000}]
    await clients.service.do("consume", idempotencyKey="c", reservationId=held["id"], usage=usage)
    before = await receipt(clients.member, held["id"])
    assert any("has no price yet" in line["label"] for line in before["lines"])
    model = {"provider": "openai", "model": "gpt-99"}
    price = model | {"inputPer1M": "0.25", "effectiveFrom": "2026-01-01T00:00:00Z"}
    published = await clients.operator.ask(
        "mutation ($input: PublishPriceInput!) { publishPrice(input: $input) { __typename ... on Refusal { message } } }",
        input={"idempotencyKey": "p"} | price,
    )
    assert published["publishPrice"]["__typename"] != "InvalidInput", published
    rerated = await clients.operator.ask(
        "mutation ($input: RerateUsageInput!) { rerateUsage(input: $input) { __typename } }",
        input=model | {"from": "2026-01-01T00:00:00Z", "to": "2035-01-01T00:00:00Z", "dryRun": False},
    )
    assert rerated["rerateUsage"]
    found = await receipt(clients.member, held["id"])
    (line,) = [line for line in found["lines"] if line["label"] == "openai gpt-99: input tokens"]
    assert (line["amount"], line["unitPrice"]) == ("0.25", "0.25")
    assert Decimal(found["total"]) == Decimal("0.325")
    assert {entry["type"] for entry in found["entries"]} == {"CONSUMED", "ADJUSTED"}
    assert sum(Decimal(lot["amount"]) for lot in found["lots"]) == Decimal("0.325")
