"""The GraphQL application as a Lambda, under Lambda's own client: the same answers as over HTTP, in one warm process."""

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from typing import Any, Final, cast

import asyncpg
import pytest

from graphql_api import lambda_handler
from infra.application import Application
from infra.services.callers import Caller, Role
from tests.infra.builders import audit, balance, count, new_key
from tests.lambdas.runtime_api import Answered, Function, function

HANDLER: Final = "graphql_api.lambda_handler.handler"
RESERVE: Final = """mutation ($input: ReserveInput!) { reserve(input: $input) {
    __typename ... on Reservation { id } ... on Refusal { code } } }"""
WALLET: Final = '{ wallet(key: "credits") { available reserved } }'


@pytest.fixture
def variables(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The test's own database, and a data folder that is not ours."""
    return {"DATABASE_URL": database_url, "PURSER_DATA_DIR": str(tmp_path)}


def request(
    path: str, body: Any = None, *, method: str = "POST", encoded: bool = False, **headers: str
) -> dict[str, Any]:
    """As API Gateway hands it in (HTTP API, payload version 2)."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "host": "example.execute-api.eu-central-1.amazonaws.com",
            **headers,
        },
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "stage": "$default",
        },
        "body": b64encode(text.encode()).decode() if encoded else text,
        "isBase64Encoded": encoded,
    }


async def invoke(function: Function, event: dict[str, Any], seconds: float = 60) -> Answered:
    return await asyncio.to_thread(function.invoke, event, seconds=seconds)


async def test_queries_and_mutations_are_answered_in_one_warm_process(
    application: Application, acme: Caller, variables: dict[str, str]
) -> None:
    key = await new_key(application, acme.tenant_id, Role.SERVICE, "worker")
    token = f"Bearer {key.token}"

    def ask(query: str, *, encoded: bool = False, **wish: Any) -> dict[str, Any]:
        body = {"query": query, "variables": {"input": wish}} if wish else {"query": query}
        return request("/graphql", body, encoded=encoded, authorization=token)

    with function(HANDLER, **variables) as api:
        answers = []
        for event in (
            ask(WALLET),
            ask(RESERVE, idempotencyKey="r1", feature="blog_post"),
            ask(RESERVE, idempotencyKey="r1", feature="blog_post", encoded=True),
            ask(RESERVE, idempotencyKey="r2", feature="no_such_feature"),
            ask(WALLET),
        ):
            answered = await invoke(api, event)
            assert answered.error is None, api.written()
            assert answered.response["statusCode"] == 200
            assert answered.response["headers"]["content-type"] == "application/json"
            answers.append(json.loads(answered.response["body"])["data"])
        assert answers[0] == {"wallet": {"available": "300", "reserved": "0"}}
        assert answers[1]["reserve"]["__typename"] == "Reservation"
        assert answers[2] == answers[1], "the same key, the same reservation"
        assert answers[3]["reserve"]["code"] == "UNKNOWN_FEATURE"
        assert answers[4] == {"wallet": {"available": "298", "reserved": "2"}}
        assert await count(application, "refusal") == 1, "it was kept before the answer"
        assert await in_transaction(variables["DATABASE_URL"]) == 0, "a frozen process holds no locks"
        backends = await application.across_tenants.fetchval(BACKENDS)
        assert (await invoke(api, ask(WALLET))).response["statusCode"] == 200
        assert await application.across_tenants.fetchval(BACKENDS) == backends, (
            "a warm process has its connections already"
        )
    assert await balance(application, acme, "credits") == ("298", "2", "0")
    await audit(application)


async def test_other_paths_are_answered_too(variables: dict[str, str]) -> None:
    with function(HANDLER, **variables) as api:
        health = await invoke(api, request("/healthz", "", method="GET"))
        assert (health.response["statusCode"], json.loads(health.response["body"])) == (200, {"status": "ok"})
        webhook = await invoke(api, request("/stripe/webhook", "{}", encoded=True))
        assert webhook.response["statusCode"] == 503
        assert json.loads(webhook.response["body"]) == {"message": "payments are not set up here"}
        assert (await invoke(api, request("/no/such/path"))).response["statusCode"] == 404
        assert (await invoke(api, request("/graphql", {"query": WALLET}))).response["statusCode"] == 401
        malformed = await invoke(api, request("/graphql", "{", authorization="Bearer psk_none"))
        assert malformed.response["statusCode"] in {400, 401}


async def test_what_is_no_request_and_a_missing_database_are_errors_without_secrets(
    variables: dict[str, str], tmp_path: Path
) -> None:
    with function(HANDLER, **variables) as api:
        assert (await invoke(api, {"no": "request"})).error is not None
        assert (await invoke(api, request("/healthz", "", method="GET"))).response["statusCode"] == 200
    with function(HANDLER, PURSER_DATA_DIR=str(tmp_path)) as nowhere:
        error = (await invoke(nowhere, request("/healthz", "", method="GET"))).error
        assert error is not None
        assert error["errorType"] == "DatabaseError"
        assert "DATABASE_URL" in error["errorMessage"]


async def test_a_request_that_takes_too_long_is_told_so_before_the_function_is_ended(
    application: Application, acme: Caller, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lambda_handler.SECONDS < 29, "what the function has"
    monkeypatch.setattr(lambda_handler, "SECONDS", 0.0)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    key = await new_key(application, acme.tenant_id, Role.SERVICE, "worker")
    event = request("/graphql", {"query": WALLET}, authorization=f"Bearer {key.token}")
    warm = lambda_handler.Warm()
    try:
        answer = await asyncio.to_thread(warm, event, cast("Any", None))
    finally:
        await asyncio.to_thread(warm.close)
    (error,) = json.loads(answer["body"])["errors"]
    assert error["extensions"] == {"code": "TIMEOUT"}


async def test_a_process_that_lost_its_connections_while_frozen_works_on(variables: dict[str, str]) -> None:
    healthy = request("/healthz", "", method="GET")
    with function(HANDLER, **variables) as api:
        assert (await invoke(api, healthy)).response["statusCode"] == 200
        connection = await asyncpg.connect(variables["DATABASE_URL"])
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()
        assert (await invoke(api, healthy)).response["statusCode"] == 200


BACKENDS: Final = """
SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""


async def in_transaction(url: str) -> int:
    """How many connections hold a transaction open."""
    connection = await asyncpg.connect(url)
    try:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        )
        return found
    finally:
        await connection.close()
