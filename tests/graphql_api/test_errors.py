"""Unexpected errors are logged in full and told as an id; expected ones say what to do."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from graphql_api import execution
from graphql_api.execution import Engine
from graphql_api.limits import SECONDS
from graphql_api.schema import create_schema
from infra.group_commit import Overloaded
from infra.services import reservations as service
from infra.services.callers import Caller, Role
from tests.graphql_api.client import mutation

pytestmark = pytest.mark.anyio

SCHEMA = create_schema()
CONTEXT = SimpleNamespace(application=None, caller=Caller(UUID(int=1), Role.SERVICE, "key:x"))
VARIABLES = {"input": {"idempotencyKey": "k", "feature": "blog_post"}}


async def answer_when(monkeypatch: pytest.MonkeyPatch, outcome: Any, seconds: float = SECONDS) -> dict[str, Any]:
    async def reserve(*_: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, float):
            await asyncio.sleep(outcome)
        return outcome

    monkeypatch.setattr(service, "reserve", reserve)
    return await Engine(SCHEMA, seconds).answer(mutation("reserve"), VARIABLES, None, CONTEXT)


@pytest.mark.parametrize("outcome", [ValueError("password of the database"), "not a reservation"])
async def test_mistakes_of_ours_are_masked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, outcome: Any
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await answer_when(monkeypatch, outcome)
    (error,) = answer["errors"]
    error_id = error["extensions"].pop("errorId")
    assert (error["message"], error["extensions"], error["path"]) == (
        "Internal error",
        {"code": "INTERNAL"},
        ["reserve"],
    )
    assert answer["data"] is None
    (record,) = caplog.records
    assert error_id in record.getMessage()
    assert record.exc_info is not None
    if isinstance(outcome, Exception):
        assert "password" in str(record.exc_info[1])


async def test_overload_says_that_nothing_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await answer_when(monkeypatch, Overloaded("20000 commands wait"))
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "OVERLOADED"}
    assert error["message"] == "The server is overloaded. Nothing was done: send it again."


async def test_a_time_limit_says_that_the_outcome_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await answer_when(monkeypatch, 5.0, seconds=0.05)
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "TIMEOUT"}
    assert "send it again with the same idempotency key" in error["message"]


async def test_a_mistake_in_the_engine_is_masked_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(execution, "PlannedExecutor", broken)
    with caplog.at_level(logging.CRITICAL):
        answer = await Engine(SCHEMA).answer("{ __typename }", {}, None, CONTEXT)
    assert "secret" not in str(answer)
    assert answer["errors"][0]["extensions"]["code"] == "INTERNAL"


async def test_requests_that_cannot_be_understood_are_explained() -> None:
    engine = Engine(SCHEMA)
    cases: list[tuple[str, str | None, str]] = [
        ("{ wallets { a ", None, "Syntax Error"),
        ("{ nonsense }", None, "Cannot query field 'nonsense'"),
        ("subscription { alertRaised { id } }", None, "subscriptions need a websocket"),
        ("query a { wallets { id } } query b { wallets { id } }", None, "operationName must name"),
        ("query a { wallets { id } }", "c", "operationName must name"),
        ("fragment a on Wallet { id }", None, ""),
        ("type Wallet { id: ID }", None, ""),
    ]
    for query, operation_name, message in cases:
        answer = await engine.answer(query, {}, operation_name, CONTEXT)
        assert answer["data"] is None
        assert message in answer["errors"][0]["message"], query
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}, query
