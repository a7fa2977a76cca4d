"""Refusals answer with their figures, and move nothing."""

from typing import Any

import pytest

from infra.application import Application
from tests.graphql_api.conftest import Clients
from tests.infra.builders import audit, nothing_moves

pytestmark = pytest.mark.anyio


def without_id(refusal: dict[str, Any]) -> dict[str, Any]:
    assert refusal["refusalId"].startswith("ref_")
    return {name: value for name, value in refusal.items() if name != "refusalId"}


async def test_insufficient_funds_says_how_much_is_missing(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        refusal = await clients.service.reserve("r", quantity="150.5")
    assert without_id(refusal) == {
        "__typename": "InsufficientFunds",
        "code": "INSUFFICIENT_FUNDS",
        "message": "Wallet credits has 300 available, 301 is needed: add 1 or ask for less.",
        "walletKey": "credits",
        "requested": "301",
        "available": "300",
        "shortBy": "1",
    }


async def test_budget_exceeded_names_the_level_and_its_figures(clients: Clients, application: Application) -> None:
    await clients.admin.do("setBudget", idempotencyKey="b", scope="CAMPAIGN", scopeId="spring", period="TOTAL", cap="1")
    await clients.service.reserve("r1", attribution={"campaign": "spring"})
    async with nothing_moves(application):
        refusal = await clients.service.reserve("r2", attribution={"campaign": "spring"})
    assert without_id(refusal) == {
        "__typename": "BudgetExceeded",
        "code": "BUDGET_EXCEEDED",
        "message": "The budget of campaign spring is 1 USD: 0 spent, 0.6 held, 0.6 requested; "
        "send it again when other work has settled.",
        "scope": "CAMPAIGN",
        "scopeId": "spring",
        "cap": "1",
        "spent": "0",
        "held": "0.6",
        "requestedUsd": "0.6",
        "retryable": True,
    }
    await audit(application)


async def test_scope_paused_gives_the_reason(clients: Clients, application: Application) -> None:
    await clients.admin.do("pauseScope", idempotencyKey="p", scope="TENANT", reason="stocktaking")
    async with nothing_moves(application):
        refusal = await clients.service.reserve("r")
    assert without_id(refusal) == {
        "__typename": "ScopePaused",
        "code": "SCOPE_PAUSED",
        "message": "The tenant is paused: stocktaking; resume it (resumeScope).",
        "scope": "TENANT",
        "scopeId": None,
        "reason": "stocktaking",
    }


async def test_unknown_feature_and_unpriced_model_name_what_is_missing(
    clients: Clients, application: Application
) -> None:
    async with nothing_moves(application):
        unknown = await clients.service.reserve("r", "levitation")
        unpriced = await clients.service.reserve("r", "llm_call", model={"provider": "openai", "model": "gpt-99"})
    assert (unknown["__typename"], unknown["code"], unknown["feature"]) == (
        "UnknownFeature",
        "UNKNOWN_FEATURE",
        "levitation",
    )
    assert (unpriced["__typename"], unpriced["provider"], unpriced["model"], unpriced["operation"]) == (
        "UnpricedModel",
        "openai",
        "gpt-99",
        None,
    )


async def test_a_key_makes_one_reservation_and_no_other_request_may_use_it(
    clients: Clients, application: Application
) -> None:
    first = await clients.service.reserve("r")
    async with nothing_moves(application):
        again = await clients.service.reserve("r")
        other = await clients.service.reserve("r", quantity="2")
    assert again["id"] == first["id"]
    assert without_id(other) == {
        "__typename": "IdempotencyKeyReused",
        "code": "IDEMPOTENCY_KEY_REUSED",
        "message": "The idempotency key 'r' belongs to another request: use a new key.",
        "idempotencyKey": "r",
    }


async def test_a_consumed_reservation_has_ended(clients: Clients, application: Application) -> None:
    reservation = (await clients.service.reserve("r"))["id"]
    await clients.service.do("consume", idempotencyKey="c", reservationId=reservation)
    async with nothing_moves(application):
        for operation in ("consume", "release", "extend"):
            refusal = await clients.service.do(
                operation,
                idempotencyKey="other",
                reservationId=reservation,
                **({"ttlSeconds": 60} if operation == "extend" else {}),
            )
            assert (refusal["__typename"], refusal["state"]) == ("ReservationEnded", "CONSUMED")


async def test_what_does_not_exist_is_not_found(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        budget = await clients.admin.do(
            "removeBudget", idempotencyKey="x", scope="CAMPAIGN", scopeId="none", period="TOTAL"
        )
        scope = await clients.admin.do("resumeScope", idempotencyKey="x", scope="CAMPAIGN", scopeId="none")
        wallet = await clients.operator.do(
            "adjustWallet", idempotencyKey="x", walletKey="gold", amount="1", note="a gift"
        )
    assert [answer["code"] for answer in (budget, scope, wallet)] == ["NOT_FOUND"] * 3
    assert wallet["message"] == "There is no such wallet."


async def test_the_next_admission_is_refused_while_there_is_a_debt(clients: Clients) -> None:
    reservation = (await clients.service.reserve("r", "llm_call", estimate={"costUsd": "1"}))["id"]
    consumed = await clients.service.do(
        "consume", idempotencyKey="c", reservationId=reservation, usage=[{"costUsd": "100"}]
    )
    assert consumed["charges"] == [{"amount": "130", "wallet": {"key": "metered"}}]
    assert await clients.service.balance("metered") == ("-80", "0", "130")
    refusal = await clients.service.reserve("r2", "llm_call", estimate={"costUsd": "0.1"})
    assert (refusal["__typename"], refusal["available"]) == ("InsufficientFunds", "-80")
