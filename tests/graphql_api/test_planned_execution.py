"""Plans and readers are only shortcuts: whatever they do, the engine does as well."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLSchema, graphql
from hypothesis import given
from hypothesis import strategies as st

from domain.attribution import NOBODY
from domain.holds import Hold, Reservation, TaskKey
from domain.refusals import BudgetExceeded, BudgetScope, ReservationState, invalid
from domain.reservations import Granted
from domain.usage import Route
from graphql_api import reading
from graphql_api.execution import Engine
from graphql_api.schema import create_schema
from infra.services import reservations as service
from infra.services.callers import Caller, Refused, Role
from tests.graphql_api.client import mutation

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ONE = UUID(int=1)
GRANTED = Granted(
    Reservation(
        ONE,
        ReservationState.HELD,
        "blog_post",
        TaskKey("blog_post", "task"),
        Route.MANAGED,
        10**9,
        1,
        None,
        NOBODY,
        "2026-11",
        (Hold("credits", 2 * 10**9, ()), Hold("metered", 5, ())),
        600_000_000,
        600_000_000,
        None,
        NOW,
        None,
    )
)
ANSWERS: list[Granted | Refused] = [
    GRANTED,
    Refused(BudgetExceeded(BudgetScope.CAMPAIGN, "spring", 1, 2, 3, 4, retryable=True), ONE),
    Refused(invalid("quantity", "must be more than 0"), None),
]
SCHEMA = create_schema()
ENGINE = Engine(SCHEMA)
CONTEXT = SimpleNamespace(application=None, caller=Caller(ONE, Role.SERVICE, "key:x"))
FRAGMENTS = """mutation ($input: ReserveInput!) { a: reserve(input: $input) { ...r } reserve(input: $input) { code: __typename
    ... on Node { id } ... on Refusal { message } ...r } }
    fragment r on Reservation { state holds { amount } holds { of: amount } route at: createdAt expiresAt }"""
DIRECTIVES = """mutation ($input: ReserveInput!) { reserve(input: $input) { __typename @skip(if: true)
    ... on Reservation { id @include(if: true) state @include(if: false) } ... on Refusal { code } } }"""


async def with_engine(schema: GraphQLSchema, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """What graphql-core alone answers."""
    result = await graphql(schema, query, context_value=CONTEXT, variable_values=variables)
    assert not result.errors, result.errors
    return {"data": result.data}


@pytest.mark.parametrize("answer", ANSWERS, ids=["granted", "budget", "input"])
@pytest.mark.parametrize("query", [mutation("reserve").replace(" wallet { key }", ""), FRAGMENTS, DIRECTIVES])
async def test_a_plan_answers_as_the_engine(
    monkeypatch: pytest.MonkeyPatch, answer: Granted | Refused, query: str
) -> None:
    async def reserve(*_: Any) -> Granted | Refused:
        return answer

    monkeypatch.setattr(service, "reserve", reserve)
    variables = {"input": {"idempotencyKey": "k", "feature": "blog_post"}}
    engine = Engine(SCHEMA)
    expected = await with_engine(SCHEMA, query, variables)
    for _ in range(2):
        assert await engine.answer(query, variables, None, CONTEXT) == expected


@pytest.mark.parametrize("query", ["{ __schema { types { kind name fields { name type { kind name } } } } }"])
async def test_introspection_is_the_engines(query: str) -> None:
    assert await Engine(SCHEMA).answer(query, {}, None, CONTEXT) == await with_engine(SCHEMA, query, {})


texts = st.none() | st.text(max_size=5)
amounts = st.none() | st.sampled_from(["1", "0.5", "-3", "1e5", "", 1, 0.5])
numbers = st.none() | st.integers(-(2**40), 2**40) | st.sampled_from([1.0, 1.5, "1", True])
models = st.none() | st.fixed_dictionaries({"provider": texts}, optional={"model": texts, "extra": texts})
estimates = st.fixed_dictionaries({}, optional={"inputTokens": numbers, "outputTokens": numbers, "costUsd": amounts})
tags = st.none() | st.lists(st.fixed_dictionaries({"key": texts, "value": texts}), max_size=2)
attributions = st.fixed_dictionaries({}, optional={"campaign": texts, "tags": tags | texts})
inputs = st.fixed_dictionaries(
    {"idempotencyKey": st.text(max_size=5)},
    optional={
        "feature": texts,
        "quantity": amounts,
        "taskKey": texts,
        "model": models | texts,
        "estimate": estimates,
        "attribution": attributions,
        "ttlSeconds": numbers,
        "colour": texts,
    },
)


@given(inputs | texts)
def test_a_reader_reads_as_the_engine(given_input: Any) -> None:
    """The same orders reach the service, or the same errors the client, with readers and without."""
    with pytest.MonkeyPatch.context() as patch:
        seen: list[Any] = []

        async def reserve(*arguments: Any) -> Granted:
            seen.append(arguments[2:])
            return GRANTED

        patch.setattr(service, "reserve", reserve)
        query = mutation("reserve").replace(" wallet { key }", "")
        variables = {} if given_input is None else {"input": given_input}
        fast = asyncio.run(ENGINE.answer(query, variables, None, CONTEXT))
        patch.setattr(reading.VariableReader, "read", lambda *_: None)
        slow = asyncio.run(ENGINE.answer(query, variables, None, CONTEXT))
    assert fast == slow
    assert len(seen) in {0, 2}
    assert seen[:1] == seen[1:]
