"""A worker's client before a real server, with a way to it that can be cut, and what the books say afterwards."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from graphql_api.app import create_app
from graphql_api.serving import configuration
from infra.application import Application, open_application
from infra.services.callers import Caller, Role
from infra.settings import Settings
from purser_client import Purser
from purser_client.connection import Key
from tests.graphql_api.client import SCHEMA
from tests.in_process import Listener
from tests.infra.builders import Clock, audit, balance, count, new_key, open_tenant
from tests.infra.proxy import Proxy


@dataclass(slots=True)
class Ground:
    """A server, a tenant with 300 credits and 50 dollars, and a worker's place beside them."""

    application: Application
    caller: Caller
    token: str
    proxy: Proxy
    journal: Path
    clock: Clock

    @property
    def url(self) -> str:
        return self.proxy.url.partition("?")[0]

    def worker(self, key: Key | None = None, **options: Any) -> Purser:
        """The client of one worker."""
        return Purser(self.url, key or self.token, journal=self.journal, **options)

    async def proof(self) -> tuple[str, int]:
        """Credits that were charged, and usage events that are known. Nothing is held, the books are sound, and nothing is
        left in the journal."""
        await audit(self.application)
        assert await count(self.application, "reservation", "state = 'HELD'") == 0
        assert list(self.journal.iterdir()) == []
        available, reserved, consumed = await balance(self.application, self.caller, "credits")
        assert reserved == "0"
        assert Decimal(available) + Decimal(consumed) == 300
        return consumed, await count(self.application, "usage_event")


@pytest.fixture
async def ground(settings: Settings, database_url: str, tmp_path: Path) -> AsyncIterator[Ground]:
    clock, listener = Clock(datetime.now(UTC)), Listener()
    async with open_application(settings, database_url, clock=clock) as application:
        caller = await open_tenant(application, credits="300", metered="50")
        key = await new_key(application, caller.tenant_id, Role.SERVICE, "worker")
        app = create_app(application, SCHEMA)
        async with listener.serving(app, configuration(app)), Proxy(listener.origin).listening() as proxy:
            yield Ground(application, caller, key.token, proxy, tmp_path / "purser.journal", clock)
