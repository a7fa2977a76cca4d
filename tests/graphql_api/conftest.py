"""A server on a free port, two tenants, and a client for each role."""

from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import httpx
import pytest

from graphql_api.app import create_app
from graphql_api.serving import configuration
from infra.application import Application, open_application
from infra.services.callers import Caller, Role
from infra.settings import Settings
from tests.graphql_api.client import SCHEMA, Client
from tests.graphql_api.websockets_client import Watcher, watching
from tests.in_process import Listener
from tests.infra.builders import new_key, open_tenant
from tests.infra.stand_in import RunningStandIn, running_stand_in


@dataclass(frozen=True, slots=True)
class Clients:
    """Clients of tenant acme by role, and one of another tenant."""

    operator: Client
    admin: Client
    member: Client
    service: Client
    stranger: Client

    def of(self, role: Role) -> Client:
        client: Client = getattr(self, role.lower())
        return client


@pytest.fixture(scope="session", autouse=True)
def _collected_once() -> Iterator[None]:
    """The test run is seldom collected as it is: its servers need not start with a collection."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graphql_api.app.seldom_collected", nullcontext)
        yield


@pytest.fixture
async def stand_in() -> AsyncIterator[RunningStandIn]:
    """Stripe's stand-in. Its messages are kept until a test has them delivered."""
    async with running_stand_in() as running:
        yield running


@pytest.fixture
async def paid_application(
    settings: Settings, database_url: str, stand_in: RunningStandIn
) -> AsyncIterator[Application]:
    """The application with a payment rail: for tests that are about money, in the place of `application`."""
    gateway = stand_in.gateway()
    async with open_application(settings, database_url, gateway=gateway) as opened:
        yield opened
    await gateway.close()


@pytest.fixture
async def acme(application: Application) -> Caller:
    """A tenant with 300 credits, 50 dollars and some buckets."""
    return await open_tenant(application, credits="300", metered="50", email_sends="100", lead_storage="3")


@pytest.fixture
async def globex(application: Application) -> Caller:
    """Another tenant, without a metered wallet."""
    return await open_tenant(application, "globex", credits="100")


@pytest.fixture
async def api_url(application: Application) -> AsyncIterator[str]:
    """The address of a real server that is configured as the product's."""
    listener = Listener()
    app = create_app(application, SCHEMA)
    async with listener.serving(app, configuration(app)):
        yield listener.origin


@pytest.fixture
async def watcher(api_url: str, clients: Clients) -> AsyncIterator[Watcher]:
    """A member of acme, connected."""
    async with watching(api_url) as connected:
        await connected.initialise(clients.member.token)
        yield connected


@pytest.fixture
async def http(api_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks HTTP to the server, without a key."""
    async with httpx.AsyncClient(base_url=api_url, timeout=30) as opened:
        yield opened


@pytest.fixture
async def clients(application: Application, http: httpx.AsyncClient, acme: Caller, globex: Caller) -> Clients:
    """A client for each role."""

    async def client(role: Role, caller: Caller | None, tenant: str | None = None) -> Client:
        tenant_id = None if caller is None else caller.tenant_id
        key = await new_key(application, tenant_id, role, f"{role.lower()} of {tenant_id}")
        return Client(http, key.token, tenant)

    return Clients(
        operator=await client(Role.OPERATOR, None, "acme"),
        admin=await client(Role.ADMIN, acme),
        member=await client(Role.MEMBER, acme),
        service=await client(Role.SERVICE, acme),
        stranger=await client(Role.ADMIN, globex),
    )
