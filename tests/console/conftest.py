"""A browser with a window and a demo's server for each worker; a fresh page for each test, which must make no fault.

    async def test_costs_are_shown(page: Page, signed_in: SignedIn, watch: Watch) -> None:
        await signed_in(page, Role.ADMIN)
        await page.goto("/costs")
        await expect(page.get_by_role("heading", name="Costs")).to_be_visible()
        assert watch.names() == ["Shell", "Costs"]

The server is not emptied between tests: one that changes something does so to a tenant of its own (`site.tenant()`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from infra.services.callers import Role
from infra.settings import DeploymentMode, Settings
from tests import browsers
from tests.console.pages import OpenPage, SignedIn
from tests.console.site import Site, running_site
from tests.console.watching import Watch
from tests.console.window import MILLISECONDS, Window, new_context
from tests.databases import copied, drop


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    """The worker's browser."""
    program = browsers.program()
    expect.set_options(timeout=MILLISECONDS)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=program, args=browsers.options())
        yield launched
        await launched.close()


@pytest.fixture(scope="package")
def _demo_database(postgres_url: str, template: str) -> Iterator[str]:
    url = asyncio.run(copied(postgres_url, template))
    yield url
    drop(postgres_url, url)


@pytest.fixture(scope="package")
async def site(browser: Browser, _demo_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The worker's server. (Not started where there is no browser.)"""
    folder = tmp_path_factory.mktemp("site")
    settings = Settings(
        _demo_database,
        folder,
        "a secret of the tests",
        DeploymentMode.SELF_HOSTED,
        local_identity_providers_allowed=True,
    )
    async with running_site(settings, _demo_database) as running:
        yield running


@pytest.fixture
def watch(site: Site) -> Iterator[Watch]:
    """What the test's pages ask, and their faults: any that was not expected fails the test."""
    watching = Watch(site.origin)
    yield watching
    if faults := watching.verdict():
        pytest.fail("faults of the page:\n" + "\n".join(faults), pytrace=False)


@pytest.fixture(scope="package")
async def window(browser: Browser, site: Site) -> AsyncIterator[Window]:
    """The worker's window."""
    opened = Window(browser, site.origin)
    yield opened
    await opened.close()


@pytest.fixture
async def open_page(browser: Browser, site: Site, window: Window, watch: Watch) -> AsyncIterator[OpenPage]:
    """To be called for a page, in the worker's window, with color_scheme="dark" or viewport=PHONE where they matter; with
    another option of Playwright's new_context, as locale="de-DE", or with alone=True it is in a context of its own."""
    async with AsyncExitStack() as stack:
        watched = False

        async def opened(*, alone: bool = False, **options: Any) -> Page:
            if alone or not options.keys() <= {"color_scheme", "viewport"}:
                context = await new_context(browser, site.origin, **options)
                stack.push_async_callback(context.close)
                watch.attach(context)
                return await context.new_page()
            nonlocal watched
            if not watched:
                watched = True
                stack.callback(watch.attach(await window.context()))
                stack.push_async_callback(window.clear)
            return await window.page(**options)

        yield opened


@pytest.fixture
async def page(open_page: OpenPage) -> Page:
    """A page in English, in UTC, light, 1280 px wide."""
    return await open_page()


@pytest.fixture
def signed_in(site: Site) -> SignedIn:
    """To be awaited, before the page is opened, with the page, a Role and a tenant's slug (acme unless said)."""

    async def signed(page: Page, role: Role, tenant: str = "acme") -> None:
        await site.sign_in(page.context, role, tenant)

    return signed
