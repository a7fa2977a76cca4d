"""What the other tests of this folder rely on: a faulty page is noticed, and a missing browser is told of."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from infra.services.api_keys import Keyring
from infra.services.callers import Role
from tests import browsers
from tests.browsers import MISSING
from tests.console.pages import PHONE, OpenPage, follow_reads, serious_faults, unread
from tests.console.site import COOKIE, Site
from tests.console.watching import Watch
from tests.console.window import Window
from tests.in_process import Listener

PAGE = (
    '<!doctype html><html lang="en"><title>{title}</title><script type="module" src="/page.js"></script>{body}</html>'
)
DATA = {
    "me": {"name": "Ada", "role": "ADMIN"},
    "items": [{"id": "1", "cost": None}, {"id": "2", "cost": "3"}],
    "no": [],
}
ASK = """
const ask = async (query) => (await (await fetch("/graphql", { method: "POST", body: JSON.stringify(query) })).json()).data;
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """A page of the test's own, while it is open."""

    page: Page
    watch: Watch
    origin: str

    async def is_done(self) -> None:
        """Its script has come to its end."""
        await expect(self.page).to_have_title("done")


@asynccontextmanager
async def visited(browser: Browser, script: str, body: str = "", sources: str = "'self'") -> AsyncIterator[Visit]:
    """A page with this module and markup, from a server with a policy as strict as the console's, unless said otherwise."""
    policy = {"content-security-policy": f"default-src {sources}"}

    async def page(_request: Request) -> Response:
        return HTMLResponse(PAGE.format(title="page", body=f'<link rel="icon" href="/icon">{body}'), headers=policy)

    async def module(_request: Request) -> Response:
        return Response(f'{script}\ndocument.title = "done";', media_type="text/javascript")

    async def answer(_request: Request) -> Response:
        return JSONResponse({"data": DATA})

    async def broken(_request: Request) -> Response:
        return Response(status_code=503)

    routes = [Route("/", page), Route("/page.js", module), Route("/broken", broken)]
    routes += [Route("/graphql", answer, methods=["POST"]), Route("/icon", lambda _request: Response())]
    listener = Listener()
    async with listener.serving(Starlette(routes=routes)), await browser.new_context() as context:
        watch = Watch(listener.origin)
        watch.attach(context)
        opened = await context.new_page()
        await follow_reads(opened)
        await opened.goto(listener.origin)
        yield Visit(opened, watch, listener.origin)


async def faults(browser: Browser, script: str, body: str = "") -> list[str]:
    async with visited(browser, script, body) as visit:
        await visit.is_done()
    return visit.watch.verdict()


async def test_a_page_that_does_its_work_has_no_fault(browser: Browser) -> None:
    assert await faults(browser, f"{ASK} await ask({{}}); console.info('fine')") == []


async def test_each_fault_of_a_page_is_noticed(browser: Browser) -> None:
    script = """
        console.error("oh");
        console.warn("hm");
        Promise.reject(new Error("left"));
        setTimeout(() => { throw new Error("lost") });
        await new Promise(setTimeout);
        await fetch("/broken");
        await fetch("/nowhere");
    """
    body = "<p style='color: red'>text</p><img alt='' src='http://purser.invalid/'>"
    found = await faults(browser, script, body)
    for fault in (
        "console error: oh ",
        "console warning: hm ",
        "uncaught: Error: left",
        "uncaught: Error: lost",
        "status 503: GET http://127.0.0.1:",
        "status 404: GET http://127.0.0.1:",
        "console error: Applying inline style violates",
        "console error: Loading the image",
    ):
        assert any(known.startswith(fault) for known in found), (fault, found)


async def test_other_hosts_are_not_reached_even_where_the_policy_lets_a_page_ask_them(browser: Browser) -> None:
    asking = "new WebSocket('ws://purser.invalid/live'); await fetch('http://purser.invalid/').catch(() => {});"
    async with visited(browser, asking, sources="*") as visit:
        await visit.is_done()
    assert {"foreign: ws://purser.invalid/live", "foreign: http://purser.invalid/"} <= {*visit.watch.verdict()}
    assert "failed: GET http://purser.invalid/: net::ERR_NAME_NOT_RESOLVED" in visit.watch.verdict()


async def test_what_was_expected_is_no_fault_and_must_come_about(browser: Browser) -> None:
    async with visited(browser, "console.error('refused: 401')") as visit:
        await visit.is_done()
    visit.watch.expect("refused: 40[13]")
    assert visit.watch.verdict() == []
    visit.watch.expect("another")
    assert visit.watch.verdict() == ["expected, but did not happen: another"]


async def test_what_a_page_asks_is_known_by_name(browser: Browser) -> None:
    asking = (
        "await ask({ query: 'query Shell { me }' }); await ask({ query: 'query A{a} query B{b}', operationName: 'B' })"
    )
    async with visited(browser, f"{ASK} {asking}") as visit:
        await visit.is_done()
    assert visit.watch.names() == ["Shell", "B"]


async def test_what_was_asked_and_never_read_is_found(browser: Browser) -> None:
    reading = "const { me, items } = await ask({}); document.body.append(me.name, items.map((item) => item.id).join())"
    async with visited(browser, f"{ASK} {reading}") as visit:
        await visit.is_done()
        assert await visit.page.inner_text("body") == "Ada1,2"
        assert await unread(visit.page) == ["me.role", "items[].cost", "no"]


async def test_faults_of_accessibility_are_found_under_the_strict_policy(browser: Browser) -> None:
    async with visited(browser, "", "<main><h1>Costs</h1><img src='/icon'></main>") as visit:
        await visit.is_done()
        found = await serious_faults(visit.page)
    assert [fault.split(":")[0] for fault in found] == ["image-alt (critical)"]
    assert visit.watch.verdict() == []


async def test_a_page_is_signed_in_by_a_cookie_that_scripts_cannot_read(browser: Browser, site: Site) -> None:
    async with visited(browser, "document.body.append(document.cookie)") as visit:
        # Cookies know hosts and no ports.
        await site.sign_in(visit.page.context, Role.ADMIN)
        response = await visit.page.reload()
        await visit.is_done()
        assert await visit.page.inner_text("body") == ""
        assert response is not None
        assert await response.request.header_value("cookie") == f"{COOKIE}={await site.token(Role.ADMIN, 'acme')}"


async def test_a_page_is_opened_as_its_reader_has_it(open_page: OpenPage) -> None:
    page = await open_page(color_scheme="dark", locale="de-DE", viewport=PHONE)
    asked = "[innerWidth, navigator.language, matchMedia('(prefers-color-scheme: dark)').matches]"
    assert await page.evaluate(asked) == [360, "de-DE", True]


async def test_a_window_is_cleared_and_one_that_cannot_be_is_replaced(browser: Browser, site: Site) -> None:
    window = Window(browser, site.origin)
    page = await window.page("dark", PHONE)
    assert await page.evaluate("[innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]") == [360, True]
    context = page.context
    await site.sign_in(context, Role.ADMIN)
    await page.goto("/alerts")
    await expect(page.get_by_role("heading", name="Alerts", exact=True)).to_be_visible()
    allowed = "navigator.permissions.query({ name: 'geolocation' }).then(({ state }) => state === 'granted')"
    await context.grant_permissions(["geolocation"])
    assert await page.evaluate(allowed)
    await window.clear()
    assert await context.cookies() == []
    page = await window.page()
    assert page.context is context
    assert len(context.pages) == 2
    await page.goto("/sign-in")
    assert await page.evaluate("innerWidth") == 1280
    assert not await page.evaluate(allowed)
    await page.clock.install()
    await window.clear()
    page = await window.page()
    assert page.context is not context
    context = page.context
    await context.set_offline(True)
    await window.clear()
    assert await window.context() is not context
    await window.close()


async def test_a_test_has_tenants_of_its_own_with_keys_of_every_role(site: Site) -> None:
    slug, admin = await site.tenant(credits="5")
    _, other = await site.tenant()
    assert admin.tenant_id != other.tenant_id
    for role in (Role.ADMIN, Role.MEMBER, Role.SERVICE):
        caller = await Keyring(site.application).authenticate(await site.token(role, slug), None)
        assert caller is not None
        assert (caller.role, caller.tenant_id) == (role, admin.tenant_id)


@pytest.mark.slow
def test_without_a_browser_the_run_passes_and_names_what_it_left_out() -> None:
    name = test_a_page_that_does_its_work_has_no_fault.__name__
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", f"{__file__}::{name}"],
        env={**os.environ, "CI": "", "PURSER_BROWSER": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    told = run.stdout.partition("left out: tests in a browser")[2]
    assert "Tests that did not run: 1, for there is no Chromium here:" in told
    assert "tests/console/test_harness.py: 1" in told
    assert "PURSER_BROWSER" in told


def test_without_a_browser_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PURSER_BROWSER", "/nowhere")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f"{MISSING}: CI leaves no test out"):
        browsers.program()
