"""The console's documents and files over HTTP: which addresses there are, and what browsers are told about them."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from graphql_api.app import create_app
from graphql_api.console.serving import ADDRESSES, PAGES
from infra.application import Application
from tests.in_process import Listener

pytestmark = pytest.mark.anyio


@pytest.fixture
async def browser(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    listener = Listener()
    async with (
        listener.serving(create_app(application)),
        httpx.AsyncClient(base_url=listener.origin) as client,
    ):
        yield client


def test_each_address_has_its_page_and_each_page_its_file() -> None:
    routes = (PAGES / "routes.js").read_text()
    assert set(re.findall(r'address: "([^"]+)"', routes)) == set(ADDRESSES)
    files = re.findall(r'import\("/console/([^"]+)"\)', routes)
    assert len(files) == len(ADDRESSES)
    assert [name for name in files if not (PAGES / name).is_file()] == []


def test_nothing_in_the_pages_names_another_host() -> None:
    texts = {path.name: path.read_text() for path in PAGES.iterdir()}
    named = {name: re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", text) for name, text in texts.items()}
    assert {name: hosts for name, hosts in named.items() if hosts} == {
        "icon.svg": ["http://www.w3.org"],  # a name, and no address
        "channels.js": ["https://hooks.slack.com"],  # an example of what is to be typed
    }


async def test_pages_are_strict_about_what_may_run_and_are_asked_for_anew(browser: httpx.AsyncClient) -> None:
    for address in ("/", "/costs", "/campaigns/spring%20sale", "/operator/tenants/acme", "/sign-in"):
        answer = await browser.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["cache-control"] == "no-cache"
        assert "set-cookie" not in answer.headers
        again = await browser.get(address, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code in {200, 304}


async def test_files_are_small_on_the_wire_and_revalidated(browser: httpx.AsyncClient) -> None:
    for file in ("app.js", "console.css", "charts/plotly.min.js"):
        answer = await browser.get(f"/console/{file}")
        assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = await browser.get(f"/console/{file}", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    ["/console/", "/console/../app.py", "/console/%2e%2e/serving.py", "/console/none.js", "/nothing", "/operator"],
)
async def test_what_is_not_there_is_not_found(browser: httpx.AsyncClient, path: str) -> None:
    assert (await browser.get(path)).status_code == 404


async def test_pages_are_read_and_not_written(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/costs")).status_code == 405
    assert (await browser.head("/costs")).status_code == 200
