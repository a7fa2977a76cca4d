"""A server on a free port, two tenants, and a client for each role."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn

from graphql_api.app import create_app
from infra.application import Application
from infra.services.api_keys import create_key
from infra.services.callers import Caller, Role
from tests.graphql_api.client import Client
from tests.infra.builders import open_tenant


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
    """The address of a real server."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(application), log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


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
        _, token = await create_key(application, tenant_id, role, f"{role.lower()} of {tenant_id}")
        return Client(http, token, tenant)

    return Clients(
        operator=await client(Role.OPERATOR, None, "acme"),
        admin=await client(Role.ADMIN, acme),
        member=await client(Role.MEMBER, acme),
        service=await client(Role.SERVICE, acme),
        stranger=await client(Role.ADMIN, globex),
    )
