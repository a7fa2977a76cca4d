"""Every operation over a real server, as a worker, an admin and an operator use them."""

from typing import Any

import pytest

from tests.graphql_api.client import Client, mutation
from tests.graphql_api.conftest import Clients

pytestmark = pytest.mark.anyio

MINI = {"provider": "openai", "model": "gpt-4o-mini"}


async def held(client: Client, key: str = "r", feature: str = "llm_call", **given: Any) -> str:
    reservation = await client.reserve(key, feature, **given)
    assert reservation["__typename"] == "Reservation", reservation
    identifier: str = reservation["id"]
    return identifier


async def test_reserve_holds_in_wallets_and_budgets(clients: Clients) -> None:
    reservation = await clients.service.reserve("r", "blog_post", quantity="2", taskKey="post-1")
    assert reservation.pop("id").startswith("rsv_")
    created, expires = reservation.pop("createdAt"), reservation.pop("expiresAt")
    assert created < expires
    assert reservation == {
        "__typename": "Reservation",
        "state": "HELD",
        "feature": "blog_post",
        "taskKey": "post-1",
        "route": "MANAGED",
        "holds": [{"amount": "4", "wallet": {"key": "credits"}}],
        "heldUsd": "1.2",
        "maxCostUsd": None,
        "warnings": [],
        "promptNotice": None,
    }
    assert await clients.service.balance() == ("296", "4", "0")


async def test_consume_charges_what_it_cost_and_answers_the_same_again(clients: Clients) -> None:
    worker = clients.service
    reservation = await held(worker, model=MINI, estimate={"inputTokens": 1000, "outputTokens": 500})
    usage = [{"inputTokens": 900, "outputTokens": 300, "success": True}]
    consumed = await worker.do("consume", idempotencyKey="c", reservationId=reservation, usage=usage)
    (event,) = consumed["usageEvents"]
    assert event.pop("id").startswith("use_")
    assert event == {
        "kind": "LLM",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "inputTokens": 900,
        "outputTokens": 300,
        "costUsd": "0.000315",
        "unpriced": False,
        "charges": [{"amount": "0.0004095"}],
    }
    assert consumed["costUsd"] == "0.000315"
    assert consumed["charges"] == [{"amount": "0.0004095", "wallet": {"key": "metered"}}]
    assert consumed["reservation"] == {"id": reservation, "state": "CONSUMED"}
    again = await worker.do("consume", idempotencyKey="c", reservationId=reservation, usage=usage)
    assert again["charges"] == consumed["charges"]
    assert [found["id"] for found in again["usageEvents"]] == [found["id"] for found in (await _events(worker, again))]
    assert await worker.balance("metered") == ("49.9995905", "0", "0.0004095")


async def _events(client: Client, consumed: dict[str, Any]) -> list[dict[str, Any]]:
    query = "query ($id: ID!) { node(id: $id) { id ... on UsageEvent { costUsd } } }"
    return [(await client.ask(query, id=event["id"]))["node"] for event in consumed["usageEvents"]]


async def test_release_gives_everything_back(clients: Clients) -> None:
    reservation = await held(clients.service, feature="blog_post")
    released = await clients.service.do("release", idempotencyKey="x", reservationId=reservation, reason="not needed")
    assert released["reservation"]["state"] == "RELEASED"
    assert await clients.service.balance() == ("300", "0", "0")
    ended = await clients.service.do("release", idempotencyKey="y", reservationId=reservation)
    assert (ended["__typename"], ended["state"]) == ("ReservationEnded", "RELEASED")


async def test_extend_adds_time_and_room(clients: Clients) -> None:
    reservation = await held(clients.service, model=MINI, estimate={"costUsd": "1"})
    extended = await clients.service.do(
        "extend", idempotencyKey="x", reservationId=reservation, ttlSeconds=3600, estimate={"costUsd": "0.5"}
    )
    assert extended["heldUsd"] == "1.5"
    assert extended["holds"] == [{"amount": "1.95", "wallet": {"key": "metered"}}]


async def test_reserve_many_decides_each_in_order(clients: Clients) -> None:
    inputs = [
        {"idempotencyKey": "1", "feature": "blog_post"},
        {"idempotencyKey": "2", "feature": "nonsense"},
        {"idempotencyKey": "3", "feature": "store_lead", "taskKey": "lead-1"},
        {"idempotencyKey": "4", "feature": "store_lead", "taskKey": "lead-1"},
    ]
    answers = (await clients.service.ask(mutation("reserveMany"), inputs=inputs))["reserveMany"]
    assert [answer["__typename"] for answer in answers] == [
        "Reservation",
        "UnknownFeature",
        "Reservation",
        "Reservation",
    ]
    assert answers[2]["id"] == answers[3]["id"]
    assert answers[2]["expiresAt"] is None
    releases = [{"idempotencyKey": answer["id"], "reservationId": answer["id"]} for answer in (answers[0], answers[2])]
    released = (await clients.service.ask(mutation("releaseMany"), inputs=releases))["releaseMany"]
    assert [answer["reservation"]["state"] for answer in released] == ["RELEASED", "RELEASED"]


async def test_record_usage_tells_new_known_and_rejected_apart(clients: Clients) -> None:
    reservation = await held(clients.service, model=MINI)
    facts = {"provider": "openai", "model": "gpt-4o-mini", "inputTokens": 1_000_000}
    events = [
        {"source": "w", "eventId": "1", "kind": "LLM", "reservationId": reservation, "usage": facts},
        {"source": "w", "eventId": "1", "kind": "LLM", "reservationId": reservation, "usage": facts},
        {"source": "w", "eventId": "2", "kind": "LLM", "usage": {"inputTokens": -1}},
        {"source": "w", "eventId": "3", "kind": "LLM", "reservationId": "rsv_of_nobody", "usage": facts},
    ]
    dry = await clients.service.do("recordUsage", events=events, dryRun=True)
    recorded = await clients.service.do("recordUsage", events=events)
    assert dry == recorded
    assert (recorded["accepted"], recorded["duplicates"], recorded["costUsd"]) == (1, 1, "0.15")
    assert [(event["index"], event["eventId"], event["problems"][0]["path"]) for event in recorded["rejected"]] == [
        (2, "2", "usage.inputTokens"),
        (3, "3", "reservationId"),
    ]
    again = await clients.service.do("recordUsage", events=events)
    assert (again["accepted"], again["duplicates"], again["costUsd"]) == (0, 2, "0")


async def test_preview_answers_as_reserve_and_holds_nothing(clients: Clients) -> None:
    query = """query ($input: PreviewInput!) { previewReservation(input: $input) { __typename
        ... on ReservationPreview { route holds { amount wallet { key available } } estimatedCostUsd }
        ... on Refusal { code refusalId } } }"""
    preview = (await clients.member.ask(query, input={"feature": "blog_post"}))["previewReservation"]
    assert preview == {
        "__typename": "ReservationPreview",
        "route": "MANAGED",
        "holds": [{"amount": "2", "wallet": {"key": "credits", "available": "300"}}],
        "estimatedCostUsd": "0.6",
    }
    refused = (await clients.member.ask(query, input={"feature": "blog_post", "quantity": "151"}))["previewReservation"]
    assert refused == {"__typename": "InsufficientFunds", "code": "INSUFFICIENT_FUNDS", "refusalId": None}
    assert await clients.service.balance() == ("300", "0", "0")


async def test_check_task_continues_until_the_cap(clients: Clients) -> None:
    await clients.admin.do("setBudget", idempotencyKey="b", scope="AGENT", scopeId="writer", period="TASK", cap="1")
    reservation = await held(clients.service, attribution={"agentRole": "writer"}, estimate={"costUsd": "0.5"})
    query = "query ($id: ID!, $cost: UsdAmount) { checkTask(reservationId: $id, runningCostUsd: $cost) }"
    assert await clients.service.ask(query, id=reservation, cost="1") == {"checkTask": "CONTINUE"}
    assert await clients.service.ask(query, id=reservation, cost="1.01") == {"checkTask": "ABORT"}
    assert await clients.service.ask(query, id="rsv_0") == {"checkTask": None}


async def test_budgets_show_caps_counters_and_pauses(clients: Clients) -> None:
    attribution = {"campaign": "spring", "agentRole": "writer", "tags": [{"key": "team", "value": "blue"}]}
    await held(clients.service, attribution=attribution, estimate={"costUsd": "2"})
    budget = await clients.admin.do(
        "setBudget", idempotencyKey="b", scope="CAMPAIGN", scopeId="spring", period="TOTAL", cap="8", thresholds=[50.5]
    )
    assert {**budget, "id": ""} == {
        "__typename": "Budget",
        "id": "",
        "scope": "CAMPAIGN",
        "scopeId": "spring",
        "period": "TOTAL",
        "periodKey": "TOTAL",
        "cap": "8",
        "thresholds": [50.5],
        "spent": "0",
        "held": "2",
        "usedPercent": 0.0,
        "paused": False,
    }
    query = "query ($p: Float) { budgets(atOrAbovePercent: $p) { id scope scopeId period cap held usedPercent } }"
    listed = (await clients.member.ask(query))["budgets"]
    assert listed[0]["id"] == budget["id"]
    assert {(found["scope"], found["scopeId"], found["period"]) for found in listed[1:]} == {
        ("TENANT", None, "MONTH"),
        ("AGENT", "writer", "MONTH"),
        ("CAMPAIGN", "spring", "MONTH"),
        ("TAG", "team=blue", "MONTH"),
        ("TAG", "team=blue", "TOTAL"),
    }
    assert (await clients.member.ask(query, p=80))["budgets"] == []
    await clients.operator.do("setDefaultBudget", agentRole="writer", period="MONTH", cap="0")
    capped = (await clients.member.ask(query, p=0))["budgets"]
    assert [(found["scopeId"], found["usedPercent"]) for found in capped] == [("writer", 100.0), ("spring", 0.0)]
    assert (await clients.member.ask(query, p=80))["budgets"] == capped[:1]
    removed = await clients.admin.do(
        "removeBudget", idempotencyKey="x", scope="CAMPAIGN", scopeId="spring", period="TOTAL"
    )
    assert (removed["cap"], removed["thresholds"], removed["usedPercent"]) == (None, [], None)


async def test_default_budget_counts_for_every_tenant_without_one(clients: Clients) -> None:
    answer = await clients.operator.do("setDefaultBudget", agentRole="writer", period="MONTH", cap="1")
    assert answer == {"__typename": "DefaultBudget", "agentRole": "writer", "period": "MONTH", "cap": "1"}
    refused = await clients.service.reserve("r", estimate={"costUsd": "2"}, attribution={"agentRole": "writer"})
    assert (refused["__typename"], refused["scope"], refused["cap"]) == ("BudgetExceeded", "AGENT", "1")
    await clients.service.reserve("small", estimate={"costUsd": "0.5"}, attribution={"agentRole": "writer"})
    shown = "{ budgets(atOrAbovePercent: 0) { scopeId cap isDefault } }"
    assert (await clients.member.ask(shown))["budgets"] == [{"scopeId": "writer", "cap": "1", "isDefault": True}]
    await clients.operator.do("setDefaultBudget", period="TASK", cap="5")
    defaults = "{ defaultBudgets { agentRole period cap } }"
    assert (await clients.operator.ask(defaults))["defaultBudgets"] == [
        {"agentRole": None, "period": "TASK", "cap": "5"},
        {"agentRole": "writer", "period": "MONTH", "cap": "1"},
    ]
    own = {"scope": "AGENT", "scopeId": "writer", "period": "MONTH"}
    await clients.admin.do("setBudget", idempotencyKey="own", cap="3", **own)
    assert (await clients.member.ask(shown))["budgets"] == [{"scopeId": "writer", "cap": "3", "isDefault": False}]
    await clients.admin.do("removeBudget", idempotencyKey="away", **own)
    removed = await clients.operator.do("setDefaultBudget", agentRole="writer", period="MONTH")
    assert removed["cap"] is None
    assert (await clients.service.reserve("r", attribution={"agentRole": "writer"}))["__typename"] == "Reservation"


async def test_a_pause_stops_work_until_it_is_resumed(clients: Clients) -> None:
    paused = await clients.admin.do("pauseScope", idempotencyKey="p", scope="AGENT", scopeId="writer", reason="holiday")
    assert (paused["status"], paused["pauseReason"]) == ("PAUSED", "holiday")
    refused = await clients.service.reserve("r", attribution={"agentRole": "writer"})
    assert (refused["__typename"], refused["scopeId"], refused["reason"]) == ("ScopePaused", "writer", "holiday")
    resumed = await clients.admin.do("resumeScope", idempotencyKey="p", scope="AGENT", scopeId="writer")
    assert (resumed["status"], resumed["pauseReason"]) == ("ACTIVE", None)
    node = await clients.member.ask("query ($id: ID!) { node(id: $id) { ... on Scope { status } } }", id=paused["id"])
    assert node == {"node": {"status": "ACTIVE"}}


async def test_adjust_wallet_grants_and_takes_back(clients: Clients) -> None:
    granted = await clients.operator.do(
        "adjustWallet", idempotencyKey="a", walletKey="credits", amount="10.5", note="a gift"
    )
    assert (granted["available"], granted["granted"]) == ("310.5", "310.5")
    taken = await clients.operator.do(
        "adjustWallet", idempotencyKey="b", walletKey="credits", amount="-400", note="ours"
    )
    assert (taken["available"], taken["debt"], taken["status"]) == ("-89.5", "89.5", "EXHAUSTED")


async def test_the_ledger_can_be_read_page_by_page(clients: Clients) -> None:
    for number in range(3):
        await held(clients.service, f"r{number}", "blog_post")
    query = """query ($first: Int, $after: String, $types: [LedgerEntryType!]) { wallet(key: "credits") { version
        entries(first: $first, after: $after, types: $types) {
            edges { cursor node { id sequence type amount availableAfter reservedAfter hash previousHash actor
                lots { amount lot { id source } } reservation { id } } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
    first = (await clients.member.ask(query, first=2))["wallet"]["entries"]
    assert [edge["node"]["sequence"] for edge in first["edges"]] == ["4", "3"]
    assert first["pageInfo"]["hasNextPage"] is True
    assert first["pageInfo"]["hasPreviousPage"] is False
    second = (await clients.member.ask(query, first=2, after=first["pageInfo"]["endCursor"]))["wallet"]["entries"]
    assert [edge["node"]["type"] for edge in second["edges"]] == ["RESERVED", "TOPPED_UP"]
    assert second["pageInfo"]["hasNextPage"] is False
    assert second["pageInfo"]["hasPreviousPage"] is True
    entries = [edge["node"] for edge in (*first["edges"], *second["edges"])]
    assert [entry["previousHash"] for entry in entries[:-1]] == [entry["hash"] for entry in entries[1:]]
    assert entries[0]["reservation"]["id"].startswith("rsv_")
    assert entries[-1]["reservation"] is None
    assert entries[0]["lots"][0]["lot"]["source"] == "TOP_UP"
    top_ups = (await clients.member.ask(query, types=["TOPPED_UP"]))["wallet"]["entries"]
    assert [edge["node"]["sequence"] for edge in top_ups["edges"]] == ["1"]


async def test_the_catalog_answers_at_any_date(clients: Clients) -> None:
    query = """query ($at: DateTime) {
        rateCard(at: $at) { id version rates { feature chargeType walletKey credits floor } }
        prices(provider: "openai", at: $at) { model inputPer1M outputPer1M }
        providers { id slug products { name } } }"""
    data = await clients.member.ask(query, at="2026-11-01T00:00:00Z")
    rates = {rate["feature"]: rate for rate in data["rateCard"]["rates"]}
    assert rates["blog_post"] == {
        "feature": "blog_post",
        "chargeType": "FIXED",
        "walletKey": "credits",
        "credits": "2",
        "floor": None,
    }
    assert rates["llm_call"]["walletKey"] == "metered"
    assert rates["llm_call"]["credits"] is None
    assert {"model": "gpt-4o-mini", "inputPer1M": "0.15", "outputPer1M": "0.6"} in data["prices"]
    assert "ollama" in {provider["slug"] for provider in data["providers"]}
    for public_id in (data["rateCard"]["id"], data["providers"][0]["id"]):
        assert await clients.member.ask("query ($id: ID!) { node(id: $id) { id } }", id=public_id) == {
            "node": {"id": public_id}
        }


async def test_a_floor_in_dollars_is_shown_only_for_the_wallet_in_dollars(clients: Clients) -> None:
    rates = (await clients.member.ask("{ rateCard { rates { walletKey chargeType floor } } }"))["rateCard"]["rates"]
    shown = {rate["walletKey"] for rate in rates if rate["floor"] is not None}
    assert shown == {"metered"}
    assert any(rate["chargeType"] == "COST_PLUS" and rate["walletKey"] != "metered" for rate in rates)


async def test_lots_are_listed_in_burn_down_order(clients: Clients) -> None:
    await clients.operator.do("adjustWallet", idempotencyKey="a", walletKey="credits", amount="10", note="a gift")
    query = '{ wallet(key: "credits") { lots { id source granted available expiresAt } } }'
    lots = (await clients.member.ask(query))["wallet"]["lots"]
    assert [(lot["source"], lot["available"]) for lot in lots] == [("TOP_UP", "300"), ("ADJUSTMENT", "10")]
    node = await clients.member.ask("query ($id: ID!) { node(id: $id) { ... on Lot { available } } }", id=lots[1]["id"])
    assert node == {"node": {"available": "10"}}


async def test_each_mutation_of_a_request_shows_what_it_left(clients: Clients) -> None:
    query = """mutation ($a: AdjustWalletInput!, $b: AdjustWalletInput!) {
        a: adjustWallet(input: $a) { ... on Wallet { available } }
        b: adjustWallet(input: $b) { ... on Wallet { available } } }"""
    given = {"walletKey": "credits", "amount": "1", "note": "a gift"}
    answer = await clients.operator.ask(query, a={**given, "idempotencyKey": "a"}, b={**given, "idempotencyKey": "b"})
    assert answer == {"a": {"available": "301"}, "b": {"available": "302"}}


async def test_thousands_of_wallets_in_an_answer_are_read_together(clients: Clients) -> None:
    inputs = [{"idempotencyKey": str(number), "feature": "in_editor_action"} for number in range(500)]
    query = """mutation ($inputs: [ReserveInput!]!) { reserveMany(inputs: $inputs) {
        ... on Reservation { holds { wallet { key reserved } } } } }"""
    answers = (await clients.service.ask(query, inputs=inputs))["reserveMany"]
    assert answers == [{"holds": [{"wallet": {"key": "credits", "reserved": "50"}}]}] * 500
