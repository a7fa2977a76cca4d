"""What tests of the services share."""

from collections.abc import AsyncIterator

import pytest

from infra.application import Application, open_application
from infra.services.callers import Caller
from infra.settings import Settings
from tests.infra.builders import Clock, open_tenant


@pytest.fixture
async def second_application(
    settings: Settings, database_url: str, application: Application
) -> AsyncIterator[Application]:
    """Another process on the same database."""
    async with open_application(settings, database_url) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    """The clock of `timed`."""
    return Clock()


@pytest.fixture
async def timed(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Application]:
    """The application under a clock that the test sets."""
    async with open_application(settings, database_url, clock=clock) as opened:
        yield opened


@pytest.fixture
async def caller(application: Application) -> Caller:
    """A tenant with 300 credits and 50 dollars."""
    return await open_tenant(application, credits="300", metered="50")
