"""The worker's window: the browser context in which one test after the other opens its pages.

A context of a test's own starts a renderer, fetches every script and compiles it: that is most of what a short test takes.
"""

from typing import Any, Final

from playwright.async_api import Browser, BrowserContext, Page, ViewportSize

# Tests never fail for being slow: a machine may be busy.
MILLISECONDS: Final = 30_000
# A page of the site that runs nothing and asks for nothing, not even for an icon.
STAYS: Final = '<!doctype html><title>stays</title><link rel="icon" href="data:,">'
# A clock and a cut connection stay with a context. Routes and scripts are to be given to pages, with which they go.
UNTOUCHED: Final = "navigator.onLine && globalThis.__pwClock === undefined"


async def new_context(browser: Browser, origin: str, **options: Any) -> BrowserContext:
    """A context of a reader in English and in UTC, unless `options` of Playwright's new_context say otherwise."""
    context = await browser.new_context(**{"base_url": origin, "locale": "en-GB", "timezone_id": "UTC", **options})
    context.set_default_timeout(MILLISECONDS)
    return context


class Window:
    """A context that is cleared after each test, and is then as a fresh one is: no page, no cookie, no permission. It
    keeps its cache. One whose clock was taken or whose connection was cut is replaced."""

    def __init__(self, browser: Browser, origin: str) -> None:
        self._browser = browser
        self._origin = origin
        self._opened: tuple[BrowserContext, Page] | None = None

    async def context(self) -> BrowserContext:
        """The window, for one test."""
        if self._opened is None:
            context = await new_context(self._browser, self._origin)
            # The browser keeps a site's renderer, and what that has compiled, for as long as a page of the site is open.
            stays = await context.new_page()
            await stays.route("**", lambda route: route.fulfill(body=STAYS, content_type="text/html"))
            await stays.goto("/")
            self._opened = context, stays
        return self._opened[0]

    async def page(self, color_scheme: Any = None, viewport: ViewportSize | None = None) -> Page:
        """A new page in it."""
        page = await (await self.context()).new_page()
        if color_scheme is not None:
            await page.emulate_media(color_scheme=color_scheme)
        if viewport is not None:
            await page.set_viewport_size(viewport)
        return page

    async def clear(self) -> None:
        """Make it fit for the next test, or have that one get another."""
        if self._opened is None:
            return
        context, stays = self._opened
        for page in context.pages:
            if page is not stays:
                await page.close()
        await context.clear_cookies()
        await context.clear_permissions()
        if not await stays.evaluate(UNTOUCHED):
            await self.close()

    async def close(self) -> None:
        """At the end of the run."""
        if self._opened is not None:
            context, self._opened = self._opened[0], None
            await context.close()
