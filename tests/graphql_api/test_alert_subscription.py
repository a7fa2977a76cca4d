"""Alerts over a websocket: who is told what, who is not, and how a connection ends."""

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import date
from typing import Any

import orjson
import pytest

from domain import ids
from domain.alerts import Alert, AlertKind
from domain.refusals import BudgetScope
from graphql_api import alerts as alert_types
from graphql_api import limits, websocket
from graphql_api.app import create_app
from graphql_api.serving import configuration
from infra import topics
from infra.application import Application
from infra.identifiers import new_id
from infra.queries import alerts as alert_query
from infra.services import alerts, api_keys
from infra.services.callers import Caller, Role
from tests.graphql_api.client import SCHEMA
from tests.graphql_api.conftest import Clients
from tests.graphql_api.websockets_client import Watcher, watching
from tests.in_process import Listener
from tests.infra.builders import new_key, revoke_key

pytestmark = pytest.mark.anyio

WATCH = "subscription { alertRaised { message } }"
ALERT = "subscription { alertRaised { id kind action scope scopeId threshold message raisedAt } }"


async def raised(application: Application, caller: Caller, message: str = "told") -> None:
    """An alert that nobody has raised before."""
    alert = Alert(AlertKind.BUDGET, BudgetScope.AGENT, new_id().hex, 8_000, date(2026, 11, 21), "None.", message)
    assert await alerts.raise_alert(application, caller.tenant_id, alert)


async def test_an_alert_is_told_as_it_is_raised(watcher: Watcher, application: Application, acme: Caller) -> None:
    await raised(application, acme, "before")
    await watcher.watch(ALERT)
    alert = Alert(AlertKind.BUDGET, BudgetScope.AGENT, "writer", 8_000, date(2026, 11, 21), "People are told.", "80 %")
    assert await alerts.raise_alert(application, acme.tenant_id, alert)
    told = (await watcher.told())["alertRaised"]
    (kept,) = (await alert_query.page(application, acme.tenant_id, 1, None)).alerts
    assert told == {
        "id": ids.public("alert", kept.id),
        "kind": "budget",
        "action": "People are told.",
        "scope": "AGENT",
        "scopeId": "writer",
        "threshold": 80.0,
        "message": "80 %",
        "raisedAt": kept.raised_at.isoformat().replace("+00:00", "Z"),
    }
    assert not await alerts.raise_alert(application, acme.tenant_id, alert), "once a day"
    await raised(application, acme, "after")
    assert (await watcher.told())["alertRaised"]["message"] == "after"


async def test_each_is_told_what_is_its_tenants_and_what_it_asked_for(
    api_url: str, clients: Clients, application: Application, acme: Caller, globex: Caller
) -> None:
    async with watching(api_url) as member, watching(api_url) as stranger, watching(api_url) as operator:
        await member.initialise(clients.member.token)
        await stranger.initialise(clients.stranger.token)
        await operator.initialise(clients.operator.token, purserTenant="globex")
        await member.watch(WATCH, "one")
        await member.watch(
            "subscription Named($no: Boolean!) { a: alertRaised { kind id @skip(if: $no) } }", "2", no=True
        )
        await stranger.watch(WATCH)
        await operator.watch(WATCH)
        await raised(application, acme, "acme's")
        await raised(application, globex, "globex's")
        both = sorted([await member.receive(), await member.receive()], key=lambda message: str(message["id"]))
        assert [message["payload"]["data"] for message in both] == [
            {"a": {"kind": "budget"}},
            {"alertRaised": {"message": "acme's"}},
        ]
        for other in (stranger, operator):
            assert await other.told() == {"alertRaised": {"message": "globex's"}}


async def test_every_key_may_watch_its_tenant_and_headers_do_as_well_as_a_payload(
    api_url: str, clients: Clients, application: Application, acme: Caller
) -> None:
    for role in Role:
        credentials = {"Authorization": f"Bearer {clients.of(role).token}", "Purser-Tenant": "acme"}
        async with watching(api_url, additional_headers=credentials) as by_headers:
            await by_headers.initialise(None)
            await by_headers.watch(WATCH)
            await raised(application, acme)
            assert await by_headers.told() == {"alertRaised": {"message": "told"}}, role


async def test_the_case_of_the_payloads_names_does_not_matter(
    api_url: str, clients: Clients, application: Application, acme: Caller
) -> None:
    operator = {"Authorization": f"Bearer {clients.operator.token}", "PurserTenant": "acme"}
    async with watching(api_url) as watcher:
        await watcher.send("connection_init", payload=operator)
        assert (await watcher.receive())["type"] == "connection_ack"
        await watcher.watch(WATCH)
        await raised(application, acme)
        assert await watcher.told() == {"alertRaised": {"message": "told"}}


async def test_nobody_watches_without_credentials(api_url: str, clients: Clients) -> None:
    operator = {"authorization": f"Bearer {clients.operator.token}"}
    for payload, reason in (
        (None, websocket.NO_KEY),
        ({}, websocket.NO_KEY),
        ({"authorization": clients.member.token}, "send a key in the header Authorization: Bearer psk_..."),
        ({"authorization": "Bearer psk_" + "x" * 43}, "the key is unknown, expired or revoked"),
        (
            {**operator, "purserTenant": "nobody"},
            "there is no tenant 'nobody': the header Purser-Tenant takes a slug or an id",
        ),
    ):
        async with watching(api_url) as refused:
            await refused.send("connection_init", payload=payload)
            assert await refused.closed() == (websocket.FORBIDDEN, reason)
    async with watching(api_url) as refused:
        await refused.send("connection_init", payload={**operator, "purserTenant": "é" * 500})
        code, reason = await refused.closed()
        assert (code, len(reason.encode())) == (websocket.FORBIDDEN, 122), "no frame takes more"
    async with watching(api_url) as nowhere:
        await nowhere.initialise(clients.operator.token)
        await nowhere.send("subscribe", "1", {"query": WATCH})
        assert (await nowhere.refused())[0] == "TENANT_REQUIRED"


async def test_what_is_malformed_closes_the_connection(api_url: str, clients: Clients) -> None:
    messages: list[tuple[str | bytes, int]] = [
        ("{", websocket.MALFORMED),
        ("[]", websocket.MALFORMED),
        ("{}", websocket.MALFORMED),
        (b'{"type": "ping"}' + b"\xff", websocket.MALFORMED),
        ('{"type": "what"}', websocket.MALFORMED),
        ('{"type": 1}', websocket.MALFORMED),
        ('{"type": "subscribe"}', websocket.MALFORMED),
        ('{"type": "subscribe", "id": "", "payload": {}}', websocket.MALFORMED),
        ('{"type": "subscribe", "id": 1, "payload": {}}', websocket.MALFORMED),
        ('{"type": "subscribe", "id": "1"}', websocket.MALFORMED),
        ('{"type": "subscribe", "id": "%s", "payload": {}}' % ("x" * 129), websocket.MALFORMED),
        ('{"type": "complete"}', websocket.MALFORMED),
        ('{"type": "connection_init"}', websocket.TOO_MANY),
        ("[" * 10_000, websocket.MALFORMED),
        (" " * (limits.MOST_BYTES_OF_MESSAGE + 1), 1009),
    ]
    for message, code in messages:
        async with watching(api_url) as connected:
            await connected.initialise(clients.member.token)
            await connected.connection.send(message)
            assert (await connected.closed())[0] == code, message[:80]


async def test_a_connection_starts_with_connection_init(api_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[tuple[dict[str, Any], int]] = [
        ({"type": "subscribe", "id": "1", "payload": {"query": WATCH}}, websocket.UNAUTHORIZED),
        ({"type": "ping"}, websocket.MALFORMED),
        ({"type": "connection_init", "payload": []}, websocket.FORBIDDEN),
        ({"type": "connection_init", "payload": [1]}, websocket.MALFORMED),
        ({"type": "connection_init", "payload": {"authorization": 1}}, websocket.MALFORMED),
    ]
    for message, code in messages:
        async with watching(api_url) as connected:
            await connected.connection.send(orjson.dumps(message).decode())
            assert (await connected.closed())[0] == code, message
    monkeypatch.setattr(websocket, "SECONDS_TO_INITIALISE", 0.01)
    async with watching(api_url) as silent:
        assert await silent.closed() == (websocket.NOT_INITIALISED, "send connection_init first")


async def test_another_subprotocol_is_not_spoken(api_url: str) -> None:
    async with watching(api_url, "graphql-ws") as connected:
        assert await connected.closed() == (websocket.OTHER_PROTOCOL, "speak the subprotocol graphql-transport-ws")


async def test_only_sound_subscriptions_are_begun_and_the_others_say_why(watcher: Watcher) -> None:
    refusals: list[tuple[dict[str, Any], str, str]] = [
        ({"query": "{ wallets { key } }"}, "BAD_USER_INPUT", "send queries and mutations by POST"),
        ({"query": "mutation { __typename }"}, "BAD_USER_INPUT", "send queries and mutations by POST"),
        ({"query": "subscription {"}, "BAD_USER_INPUT", "Syntax Error"),
        ({"query": "subscription { nothing }"}, "BAD_USER_INPUT", "Cannot query field"),
        ({"query": "subscription { __typename }"}, "BAD_USER_INPUT", "introspection"),
        ({"query": "subscription { a: alertRaised { id } b: alertRaised { id } }"}, "BAD_USER_INPUT", "only one"),
        (
            {"query": "subscription { alertRaised { id @skip(if: true) } }", "operationName": "X"},
            "BAD_USER_INPUT",
            "operationName",
        ),
        ({"query": "subscription ($n: Boolean!) { alertRaised @skip(if: $n) { id } }"}, "BAD_USER_INPUT", ""),
        (
            {"query": "subscription ($n: Boolean!) { alertRaised @skip(if: $n) { id } }", "variables": {"n": True}},
            "BAD_USER_INPUT",
            "",
        ),
        ({"query": "subscription { %s }" % ("alertRaised { id } " * 600)}, "TOO_COMPLEX", "at most 500 fields"),
        ({"query": " "}, "BAD_USER_INPUT", "query must be the text"),
        ({"query": WATCH, "variables": []}, "BAD_USER_INPUT", "variables must be"),
        ({"query": WATCH, "variables": {"a": "\0"}}, "BAD_USER_INPUT", "NUL"),
        ({}, "BAD_USER_INPUT", "query must be the text"),
    ]
    for payload, code, message in refusals:
        await watcher.send("subscribe", "1", payload)
        told = await watcher.refused()
        assert told[0] == code, payload
        assert message in told[1], payload
    await watcher.watch(WATCH)


async def test_a_payload_that_nests_too_deeply_is_refused_and_the_connection_stays(
    watcher: Watcher, application: Application, acme: Caller
) -> None:
    await watcher.watch(WATCH, "before")
    deep = "[" * 400 + "]" * 400
    await watcher.connection.send(
        f'{{"type": "subscribe", "id": "1", "payload": {{"query": "{WATCH}", "variables": {{"a": {deep}}}}}}}'
    )
    assert await watcher.refused() == ("BAD_USER_INPUT", "the payload of subscribe nests too many levels")
    await raised(application, acme)
    assert await watcher.told("before") == {"alertRaised": {"message": "told"}}


async def test_subscriptions_over_http_are_sent_to_the_websocket(clients: Clients) -> None:
    answer = await clients.member.send(WATCH)
    assert [error["message"] for error in answer["errors"]] == [
        "subscriptions need a websocket (protocol graphql-transport-ws) at this address"
    ]


async def test_what_is_completed_is_told_no_more_and_its_id_is_free_again(
    watcher: Watcher, application: Application, acme: Caller
) -> None:
    await watcher.watch(WATCH, "1")
    await watcher.watch(WATCH, "2")
    await watcher.send("complete", "1")
    await watcher.send("complete", "unknown")
    await watcher.send("pong")
    await raised(application, acme, "one")
    assert await watcher.told("2") == {"alertRaised": {"message": "one"}}
    await watcher.watch(WATCH, "1")
    await raised(application, acme, "two")
    assert {(await watcher.receive())["id"] for _ in range(2)} == {"1", "2"}
    await watcher.send("subscribe", "2", {"query": WATCH})
    assert await watcher.closed() == (websocket.USED_TWICE, "the id 2 is in use")
    while any(topic.followers for topic in application.feed.topics):  # noqa: ASYNC110  # nobody is told
        await asyncio.sleep(0.001)


async def test_a_connection_has_a_bounded_number_of_subscriptions(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MOST_SUBSCRIPTIONS", 2)
    await watcher.watch(WATCH, "1")
    await watcher.watch(WATCH, "2")
    await watcher.send("subscribe", "3", {"query": WATCH})
    full = "a connection has at most 2 subscriptions: complete one, or connect once more"
    assert await watcher.refused("3") == ("TOO_COMPLEX", full)
    await watcher.send("complete", "1")
    await watcher.watch(WATCH, "3")


async def test_a_key_and_a_server_have_a_bounded_number_of_connections(
    api_url: str, watcher: Watcher, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MOST_CONNECTIONS_OF_A_KEY", 2)
    async with watching(api_url) as second:
        await second.initialise(clients.member.token)
        async with watching(api_url) as third:
            authorization = f"bearer   {clients.member.token}"
            await third.send("connection_init", payload={"authorization": authorization})
            assert await third.closed() == (websocket.TOO_MANY, "a key has at most 2 connections")
        async with watching(api_url) as other:
            await other.initialise(clients.admin.token)
    async with watching(api_url) as third:
        await third.initialise(clients.member.token)
        monkeypatch.setattr(websocket, "MOST_CONNECTIONS", 2)
        async with watching(api_url) as fourth:
            assert (await fourth.closed())[0] == websocket.FULL


async def test_a_key_that_is_revoked_ends_its_connections(
    api_url: str, application: Application, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SECONDS_BETWEEN_CHECKS", 0.01)
    monkeypatch.setattr(api_keys, "SECONDS_REMEMBERED", 0.0)
    key = await new_key(application, acme.tenant_id, Role.SERVICE, "revoked")
    async with watching(api_url) as connected:
        await connected.initialise(key.token)
        await connected.watch(WATCH)
        await raised(application, acme)
        await connected.told()
        await revoke_key(application, key.id)
        assert await connected.closed() == (websocket.FORBIDDEN, "the key is unknown, expired or revoked")


async def test_who_falls_behind_is_told_so(
    watcher: Watcher, application: Application, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watcher.watch(WATCH)
    monkeypatch.setattr(topics, "MOST_KEPT", 0)
    await raised(application, acme)
    assert (await watcher.refused())[0] == "FELL_BEHIND"
    monkeypatch.undo()
    await watcher.watch(WATCH)
    await raised(application, acme, "again")
    assert await watcher.told() == {"alertRaised": {"message": "again"}}


async def test_a_client_that_takes_nothing_is_dropped_and_holds_nobody_up(
    api_url: str,
    watcher: Watcher,
    clients: Clients,
    application: Application,
    acme: Caller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "SECONDS_TO_SEND", 0.05)
    await watcher.watch("subscription { alertRaised { kind } }")
    async with watching(api_url, max_queue=1) as asleep:
        await asleep.initialise(clients.member.token)
        await asleep.watch(WATCH)
        (topic,) = application.feed.topics
        number = 0
        while len(topic.followers) == 2:
            await raised(application, acme, "x" * 500_000)
            await watcher.told()
            number += 1
            assert number < 100
        asleep.connection.transport.abort()
    await raised(application, acme)
    await watcher.told()


async def test_a_mistake_of_ours_ends_one_subscription_and_is_masked(
    watcher: Watcher,
    application: Application,
    acme: Caller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await watcher.watch(WATCH)
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(alert_types.Alert, "of", lambda _: 1 / 0)
        await raised(application, acme)
        assert await watcher.refused() == ("INTERNAL", "Internal error")
    assert "ZeroDivisionError" in caplog.text
    await watcher.watch(WATCH)


async def test_a_mistake_of_ours_in_the_connection_closes_it_and_is_masked(
    api_url: str, clients: Clients, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def authenticate(*_: object) -> None:
        raise ValueError("a secret of the database")

    monkeypatch.setattr(api_keys.Keyring, "authenticate", authenticate)
    async with watching(api_url) as connected:
        await connected.send("connection_init", payload={"authorization": f"Bearer {clients.member.token}"})
        assert await connected.closed() == (websocket.INTERNAL, "Internal error")
    assert "a secret of the database" in caplog.text


async def test_a_server_that_stops_says_that_it_restarts(application: Application, clients: Clients) -> None:
    listener = Listener()
    app = create_app(application, SCHEMA)
    async with AsyncExitStack() as stack:
        async with listener.serving(app, configuration(app)):
            connected = await stack.enter_async_context(watching(listener.origin))
            await connected.initialise(clients.member.token)
            await connected.watch(WATCH)
        assert (await connected.closed())[0] == 1012


async def test_many_watchers_are_told_everything_while_alerts_are_raised_at_once(
    api_url: str, clients: Clients, application: Application, acme: Caller
) -> None:
    async with AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(watching(api_url)) for _ in range(20)]
        for watcher in watchers:
            await watcher.initialise(clients.service.token)
            for identifier in ("a", "b", "c"):
                await watcher.watch(WATCH, identifier)
        await asyncio.gather(*[raised(application, acme, str(number)) for number in range(30)])
        everything = {(identifier, str(number)) for identifier in "abc" for number in range(30)}
        for watcher in watchers:
            received = [await watcher.receive() for _ in range(len(everything))]
            told = {(message["id"], message["payload"]["data"]["alertRaised"]["message"]) for message in received}
            assert told == everything, "each once"
