"""`viewer`: who asks, told to everybody; and, without a payment rail, that nothing can be paid in."""

from datetime import UTC, datetime

import httpx
import pytest

from infra.application import Application
from infra.services.callers import Caller, Role
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import new_key

pytestmark = pytest.mark.anyio

VIEWER = "{ viewer { role actor expiresAt tenant { slug } } }"


async def test_everybody_learns_who_they_are_and_for_whom_they_ask(clients: Clients, acme: Caller) -> None:
    for role in (Role.ADMIN, Role.MEMBER, Role.SERVICE):
        assert (await clients.of(role).ask(VIEWER))["viewer"] == {
            "role": role.value,
            "actor": f"key:{role.lower()} of {acme.tenant_id}",
            "expiresAt": None,
            "tenant": {"slug": "acme"},
        }
    assert (await clients.stranger.ask(VIEWER))["viewer"]["tenant"] == {"slug": "globex"}


async def test_an_operator_acts_on_the_tenant_that_they_name_or_on_none(
    clients: Clients, http: httpx.AsyncClient
) -> None:
    named = (await clients.operator.ask(VIEWER))["viewer"]
    assert named == {"role": "OPERATOR", "actor": "key:operator of None", "expiresAt": None, "tenant": {"slug": "acme"}}
    of_none = Client(http, clients.operator.token)
    assert (await of_none.ask(VIEWER))["viewer"] == named | {"tenant": None}


async def test_a_key_that_ends_says_when(
    application: Application, clients: Clients, http: httpx.AsyncClient, acme: Caller
) -> None:
    key = await new_key(application, acme.tenant_id, Role.SERVICE, "for a while", datetime(2126, 1, 1, tzinfo=UTC))
    viewer = (await Client(http, key.token).ask(VIEWER))["viewer"]
    assert (viewer["actor"], viewer["expiresAt"]) == ("key:for a while", "2126-01-01T00:00:00.000000Z")


async def test_without_a_payment_rail_nothing_can_be_paid_in(clients: Clients) -> None:
    assert (await clients.member.ask("{ acceptsPayments }"))["acceptsPayments"] is False
