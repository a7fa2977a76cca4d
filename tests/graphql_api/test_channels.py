"""Channels over GraphQL: admins add, try and remove them; nobody reads an address or a secret."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from standardwebhooks import Webhook

from infra.settings import Settings
from tests.graphql_api.client import CHANNEL, mutation
from tests.graphql_api.conftest import Clients
from tests.infra.receiver import Receiver, receiving

pytestmark = pytest.mark.anyio

ALL = f"{{ channels {{ {CHANNEL} }} }}"
SLACK = "https://hooks.slack.com/services/T00000000/B00000000/abcDEF123456ghiJKL789mno"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Where tenants are trusted: webhooks go to this machine."""
    return replace(settings, local_webhooks_allowed=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def test_a_webhook_is_added_tried_and_removed(clients: Clients, receiver: Receiver) -> None:
    asked = {"kind": "WEBHOOK", "name": "Ops", "target": receiver.url, "eventTypes": ["alert.raised"]}
    added = await clients.admin.do("addChannel", idempotencyKey="k", **asked)
    channel, secret = added["channel"], added["signingSecret"]
    assert secret.startswith("whsec_")
    assert {**channel, "id": None, "createdAt": None} == {
        "id": None,
        "kind": "WEBHOOK",
        "name": "Ops",
        "hint": receiver.url.split("/")[2],
        "eventTypes": ["alert.raised"],
        "actor": channel["actor"],
        "createdAt": None,
    }
    assert await clients.admin.do("addChannel", idempotencyKey="k", **asked) == added
    for client in (clients.operator, clients.admin):
        assert (await client.ask(ALL))["channels"] == [channel]
    assert (await clients.stranger.ask(ALL))["channels"] == []
    tested = await clients.admin.do("testChannel", idempotencyKey="t", id=channel["id"])
    assert (tested["delivered"], tested["error"]) == (True, None)
    ((headers, body),) = receiver.taken
    assert Webhook(secret).verify(body, headers)["type"] == "channel.test"
    removed = await clients.admin.do("removeChannel", idempotencyKey="r", id=channel["id"])
    assert {name: removed[name] for name in channel} == channel
    assert (await clients.admin.ask(ALL))["channels"] == []


async def test_a_test_that_does_not_arrive_says_why(clients: Clients, receiver: Receiver) -> None:
    added = await clients.admin.do("addChannel", idempotencyKey="k", kind="WEBHOOK", name="Ops", target=receiver.url)
    receiver.statuses = [500]
    tested = await clients.admin.do("testChannel", idempotencyKey="t", id=added["channel"]["id"])
    assert (tested["delivered"], tested["error"]) == (False, "it answered 500")


async def test_slack_has_no_signing_secret_and_its_address_is_not_shown(clients: Clients) -> None:
    added = await clients.admin.do("addChannel", idempotencyKey="k", kind="SLACK", name="Ops", target=SLACK)
    assert added["signingSecret"] is None
    assert added["channel"]["hint"] == "hooks.slack.com ...9mno"
    assert SLACK.rpartition("/")[2] not in str(await clients.admin.ask(ALL))


async def test_wrong_fields_are_named(clients: Clients) -> None:
    asked = {"kind": "SLACK", "name": " ", "target": "https://example.com", "eventTypes": ["x"]}
    answer = await clients.admin.do("addChannel", idempotencyKey="k", **asked)
    assert answer["code"] == "INVALID_INPUT"
    assert [field["path"] for field in answer["fields"]] == ["name", "target", "eventTypes"]
    mail = await clients.admin.do("addChannel", idempotencyKey="k", kind="EMAIL", name="Ops", target="a@example.com")
    assert [field["path"] for field in mail["fields"]] == ["kind"], "there is no mail server"


async def test_members_and_workers_have_nothing_to_do_with_channels(clients: Clients) -> None:
    for client in (clients.member, clients.service):
        (error,) = (await client.send(ALL))["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}
        for operation, given in (
            ("addChannel", {"idempotencyKey": "k", "kind": "SLACK", "name": "Ops", "target": SLACK}),
            ("testChannel", {"idempotencyKey": "k", "id": "chn_x"}),
            ("removeChannel", {"idempotencyKey": "k", "id": "chn_x"}),
        ):
            (error,) = (await client.send(mutation(operation), {"input": given}))["errors"]
            assert error["extensions"] == {"code": "FORBIDDEN"}


async def test_another_tenants_channel_is_as_one_that_is_not_there(clients: Clients) -> None:
    added = await clients.admin.do("addChannel", idempotencyKey="k", kind="SLACK", name="Ops", target=SLACK)
    for operation in ("testChannel", "removeChannel"):
        foreign, none = [
            await clients.stranger.do(operation, idempotencyKey="k", id=identifier)
            for identifier in (added["channel"]["id"], "chn_nothing")
        ]
        assert (foreign["code"], foreign["message"]) == ("NOT_FOUND", "There is no such channel.")
        assert {**foreign, "refusalId": None} == {**none, "refusalId": None}
