"""API keys over GraphQL: made, listed, replaced and revoked; a token is shown once, and stands in no row, log or error."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import ids
from domain.identity import GrantedRole
from infra.application import Application
from infra.audit import audit
from infra.database import connect_to_books
from infra.services import api_keys
from infra.services.api_keys import Keyring, create_key
from infra.services.callers import Caller, Refused, Role
from infra.services.key_changes import KeyMade, create_api_key
from tests.graphql_api.client import API_KEY, Client, mutation
from tests.graphql_api.conftest import Clients
from tests.infra.builders import new_key

pytestmark = pytest.mark.anyio

LIST = f"query ($after: String) {{ apiKeys(first: 2, after: $after) {{ edges {{ node {{ {API_KEY} }} }} pageInfo {{ hasNextPage endCursor }} }} }}"
SEATS = "{ tenant { seatsUsed } }"


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found out about a key two seconds ago."""
    monkeypatch.setattr(api_keys, "SECONDS_REMEMBERED", 0.0)


async def made(client: Client, key: str, name: str, role: str = "SERVICE", **given: Any) -> Any:
    return await client.do("createApiKey", idempotencyKey=key, name=name, role=role, **given)


async def works(client: Client, token: str) -> bool:
    return "data" in await replace(client, token=token).send("{ wallets { key } }")


async def listed(client: Client) -> list[Any]:
    """All keys, in pages of two."""
    found: list[Any] = []
    after = None
    while True:
        page = (await client.ask(LIST, after=after))["apiKeys"]
        found += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def test_a_key_is_made_shown_once_listed_and_used(
    clients: Clients, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ends = "2027-01-01T00:00:00.000000Z"
    answer = await made(clients.admin, "k", "worker", expiresAt=ends, requestsPerMinute=600)
    key, token = answer["apiKey"], answer["token"]
    assert (key["name"], key["role"], key["hint"]) == ("worker", "SERVICE", token[:7] + "...")
    assert (key["expiresAt"], key["requestsPerMinute"], key["lastUsedAt"]) == (ends, 600, None)
    assert key["createdBy"].startswith("key:admin of ")
    again = await made(clients.admin, "k", "worker", expiresAt=ends, requestsPerMinute=600)
    assert again == {**answer, "token": None}, "whoever lost it rotates it"
    assert (await made(clients.admin, "k", "another"))["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert await works(clients.admin, token)
    await application.key_uses.close()
    (newest, *others) = await listed(clients.admin)
    assert newest["lastUsedAt"] is not None
    assert {**newest, "lastUsedAt": None} == key
    assert [other["role"] for other in others] == ["SERVICE", "MEMBER", "ADMIN"]
    assert len(await listed(clients.operator)) == 4
    assert len(await listed(clients.stranger)) == 1
    rows = await application.across_tenants.fetch("SELECT t::text FROM api_key t UNION SELECT t::text FROM refusal t")
    secret = token[7:]
    assert all(secret not in row[0] for row in rows)
    assert secret not in caplog.text
    connection = await connect_to_books(application.url)
    assert (await audit(connection)).hold
    await connection.close()


async def test_when_a_key_was_used_is_noted_once_a_minute_and_never_waited_for(
    clients: Clients, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[Any] = []
    monkeypatch.setattr(application.key_uses, "note", noted.append)
    for _ in range(3):
        await clients.member.ask("{ wallets { key } }")
    monkeypatch.undo()
    uses = application.key_uses
    uses.note(noted[0])
    await uses.close()
    first = await application.across_tenants.fetchval("SELECT last_used_at FROM api_key WHERE id = $1", noted[0])
    assert datetime.now(UTC) - first < timedelta(minutes=1)
    uses.note(noted[0])
    assert uses._kept == {}
    uses._noted.clear()
    uses.note(noted[0])
    await uses.close()
    assert first == await application.across_tenants.fetchval(
        "SELECT last_used_at FROM api_key WHERE id = $1", noted[0]
    )
    uses._noted.clear()
    await application.writers.execute(
        "UPDATE api_key SET last_used_at = $2 WHERE id = $1", noted[0], first - timedelta(minutes=2)
    )
    uses.note(noted[0])
    await uses.close()
    assert first <= await application.across_tenants.fetchval(
        "SELECT last_used_at FROM api_key WHERE id = $1", noted[0]
    )


async def test_a_key_is_rotated_with_an_overlap_on_the_same_seat(clients: Clients, application: Application) -> None:
    old = await made(clients.admin, "k", "anna", "MEMBER", expiresAt="2027-01-01T00:00:00Z")
    seats = await clients.admin.ask(SEATS)
    asked = {"idempotencyKey": "r", "id": old["apiKey"]["id"], "overlapSeconds": 3600}
    answer = await clients.admin.do("rotateApiKey", **asked)
    new, replaced = answer["apiKey"], answer["replaced"]
    assert (new["name"], new["role"], new["requestsPerMinute"]) == ("anna", "MEMBER", None)
    assert new["expiresAt"] > "2027-01-01", "it lives as long as the old one was to live"
    assert (replaced["id"], replaced["replacedBy"], replaced["revokedAt"]) == (old["apiKey"]["id"], new["id"], None)
    hour = timedelta(hours=1)
    assert timedelta() < datetime.fromisoformat(replaced["expiresAt"]) - datetime.now(UTC) <= hour
    assert await works(clients.admin, old["token"])
    assert await works(clients.admin, answer["token"])
    assert await clients.admin.ask(SEATS) == seats
    assert (again := await clients.admin.do("rotateApiKey", **asked))["token"] is None
    assert again["apiKey"]["id"] == new["id"]
    second = await clients.admin.do("rotateApiKey", **{**asked, "idempotencyKey": "r2"})
    assert (second["code"], second["message"]) == (
        "CONFLICT",
        "The key was replaced before: rotate the one that took its place.",
    )
    at_once = await clients.admin.do("rotateApiKey", idempotencyKey="r3", id=new["id"], overlapSeconds=0)
    assert at_once["replaced"]["revokedAt"] is not None
    assert not await works(clients.admin, answer["token"])
    assert await works(clients.admin, at_once["token"])
    ended = await clients.admin.do("rotateApiKey", idempotencyKey="r4", id=new["id"], overlapSeconds=0)
    assert ended["code"] == "CONFLICT"
    wrong = await clients.admin.do(
        "rotateApiKey", idempotencyKey="r5", id=at_once["apiKey"]["id"], overlapSeconds=604_801
    )
    assert [field["path"] for field in wrong["fields"]] == ["overlapSeconds"]


async def test_a_seat_lets_two_keys_in_and_not_a_chain_of_them(clients: Clients) -> None:
    old = await made(clients.admin, "k", "anna", "MEMBER")
    seats = await clients.admin.ask(SEATS)
    asked = {"idempotencyKey": "r", "id": old["apiKey"]["id"], "overlapSeconds": 3600}
    new = await clients.admin.do("rotateApiKey", **asked)
    again = {"id": new["apiKey"]["id"], "idempotencyKey": "r2"}
    refused = await clients.admin.do("rotateApiKey", **again, overlapSeconds=3600)
    assert (refused["code"], refused["message"]) == (
        "CONFLICT",
        "A key that was replaced under this name still works: revoke it first, or rotate at once (0).",
    )
    third = await clients.admin.do("rotateApiKey", **again, overlapSeconds=0)
    assert await works(clients.admin, old["token"])
    assert await clients.admin.ask(SEATS) == seats
    await clients.admin.do("revokeApiKey", idempotencyKey="e", id=third["apiKey"]["id"])
    assert await clients.admin.ask(SEATS) == seats, "who still gets in by the old key has the seat"
    await clients.admin.do("revokeApiKey", idempotencyKey="e2", id=old["apiKey"]["id"])
    assert (await clients.admin.ask(SEATS))["tenant"]["seatsUsed"] == seats["tenant"]["seatsUsed"] - 1


async def test_a_key_is_revoked_but_not_the_last_of_an_admin_nor_ones_own_unasked(
    clients: Clients, application: Application
) -> None:
    worker = await made(clients.admin, "k", "worker")
    revoked = await clients.admin.do("revokeApiKey", idempotencyKey="r", id=worker["apiKey"]["id"])
    assert revoked["revokedAt"] is not None
    assert not await works(clients.admin, worker["token"])
    assert await clients.admin.do("revokeApiKey", idempotencyKey="r2", id=worker["apiKey"]["id"]) == revoked
    own = (await listed(clients.admin))[-1]
    last = await clients.operator.do("revokeApiKey", idempotencyKey="r3", id=own["id"])
    assert (last["code"], last["message"]) == (
        "CONFLICT",
        "This is the last key of its role: make another first, or ask for it with force.",
    )
    other = await made(clients.admin, "k2", "second", "ADMIN")
    using = await clients.admin.do("revokeApiKey", idempotencyKey="r4", id=own["id"])
    assert using["message"].startswith("This is the key that you use")
    assert await works(clients.admin, clients.admin.token)
    second = replace(clients.admin, token=other["token"])
    assert (await second.do("revokeApiKey", idempotencyKey="r5", id=own["id"]))["revokedAt"] is not None
    forced = await second.do("revokeApiKey", idempotencyKey="r6", id=other["apiKey"]["id"], force=True)
    assert forced["revokedAt"] is not None
    assert not await works(clients.admin, other["token"])


async def test_of_requests_that_come_at_once_one_makes_the_key(clients: Clients) -> None:
    answers = await asyncio.gather(*[made(clients.admin, "k", "worker") for _ in range(4)])
    (key_id,) = {answer["apiKey"]["id"] for answer in answers}
    assert len([answer for answer in answers if answer["token"] is not None]) == 1
    given = {"id": key_id, "overlapSeconds": 60}
    both = await asyncio.gather(
        *[clients.admin.do("rotateApiKey", idempotencyKey=f"r{number}", **given) for number in range(2)]
    )
    assert sorted(answer["__typename"] for answer in both) == ["ApiKeyRotated", "Conflict"]


async def test_what_does_not_go_is_refused(clients: Clients, application: Application) -> None:
    wrong = await made(clients.admin, "k", " x", expiresAt="2020-01-01T00:00:00Z", requestsPerMinute=0)
    assert [field["path"] for field in wrong["fields"]] == ["name", "expiresAt", "requestsPerMinute"]
    await made(clients.admin, "k1", "worker")
    taken = await made(clients.admin, "k2", "worker")
    assert taken["code"] == (await made(clients.admin, "k3", "demo-admin"))["code"] == "CONFLICT"
    answers = [await made(clients.admin, f"s{n}", f"s{n}", "MEMBER") for n in range(20)]
    full = answers[-1]
    assert (full["__typename"], full["limit"], full["used"]) == ("PlanLimit", full["limit"], full["limit"])
    error = await clients.admin.refused("createApiKey", idempotencyKey="o", name="o", role="OPERATOR")
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    await clients.operator.do("suspendTenant", idempotencyKey="s")
    assert (await made(clients.admin, "k4", "late"))["reason"] == "tenant_suspended"
    assert (await clients.admin.send('{ apiKeys(after: "x") { edges { cursor } } }'))["errors"][0]["message"] == (
        "after must be a cursor of this list"
    )


async def test_another_tenants_or_an_operators_key_is_as_one_that_is_not_there(
    clients: Clients, application: Application
) -> None:
    theirs = await made(clients.admin, "k", "worker")
    operators = await new_key(application, None, Role.OPERATOR, "op")
    places = (theirs["apiKey"]["id"], ids.public("api_key", operators.id), "key_" + "0" * 32, "nonsense")
    for operation, given in (("rotateApiKey", {"overlapSeconds": 0}), ("revokeApiKey", {"force": True})):
        answers = [
            await clients.stranger.do(operation, idempotencyKey=f"k{place}"[:60], id=place, **given) for place in places
        ]
        assert {answer["message"] for answer in answers} == {"There is no such API key."}, operation
    assert await works(clients.admin, theirs["token"])


async def test_a_key_is_not_named_as_an_operators(clients: Clients, application: Application) -> None:
    await create_key(application, None, Role.OPERATOR, "ops")
    taken = await made(clients.admin, "k", "ops")
    assert taken["message"] == "The name ops is taken, and the ledger names keys: choose another, or rotate that key."


async def test_members_and_workers_have_nothing_to_do_with_keys(clients: Clients) -> None:
    for client in (clients.member, clients.service):
        for query, given in (
            (LIST, {}),
            (mutation("createApiKey"), {"input": {"idempotencyKey": "k", "name": "n", "role": "ADMIN"}}),
        ):
            (error,) = (await client.send(query, given))["errors"]
            assert error["extensions"] == {"code": "FORBIDDEN"}


async def test_only_operators_allow_a_key_more_than_the_installation_does(
    application: Application, acme: Caller
) -> None:
    object.__setattr__(application, "settings", replace(application.settings, requests_per_minute=60))
    answer = await create_api_key(application, acme, "k", "big", GrantedRole.SERVICE, None, 61)
    assert isinstance(answer, Refused)
    operator = Caller(acme.tenant_id, Role.OPERATOR, "key:op")
    big = await create_api_key(application, operator, "k", "big", GrantedRole.SERVICE, None, 61)
    usual = await create_api_key(application, acme, "k2", "usual", GrantedRole.SERVICE)
    assert isinstance(big, KeyMade)
    assert isinstance(usual, KeyMade)
    keyring = Keyring(application)
    limits = []
    for each in (big, usual):
        assert each.token is not None
        found = await keyring.authenticate(each.token, None)
        assert found is not None
        assert found.credential is not None
        limits.append(found.credential.requests_per_minute)
    assert limits == [61, 60]
