"""The console's pages and files. Every page is one document, whose script draws what the address names.

Nothing here needs a key: the pages hold no figures, they ask the GraphQL API for them.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphql_api.console.sign_in import DemoSignIn

PAGES: Final = Path(__file__).parent / "pages"
SIGN_IN: Final = "/sign-in"
# `pages/routes.js` says which script draws each of these; a test compares the two.
ADDRESSES: Final = (
    "/",
    "/costs",
    "/campaigns",
    "/campaigns/{campaign}",
    "/accounts",
    "/accounts/{account}",
    "/plan",
    "/alerts",
    "/settings",
    "/audit-log",
    SIGN_IN,
    "/operator/tenants",
    "/operator/tenants/{slug}",
    "/operator/rate-cards",
    "/operator/prices",
    "/operator/margins",
    "/operator/jobs",
)

_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


def console_routes(demo: DemoSignIn | None) -> list[BaseRoute]:
    """The pages at their addresses, and below /console what they are made of. `demo`: signs in who comes without a session."""

    def page(request: Request) -> Response:
        response = FileResponse(PAGES / "index.html", headers=_HEADERS)
        cookie = None if demo is None or request.url.path == SIGN_IN else demo.cookie(request)
        if cookie is not None:
            response.headers["set-cookie"] = cookie
            response.headers["cache-control"] = "no-store"
        return response

    files = StaticFiles(directory=PAGES)
    charts = StaticFiles(directory=_folder_of_charts())
    return [
        # Ids are the customer's own, and a slash in one is no new segment for the page's script.
        *(Route(address.replace("}", ":path}"), page) for address in ADDRESSES),
        # Five megabytes: a higher level takes several times as long and saves a twentieth.
        Mount("/console/charts", _WithHeaders(GZipMiddleware(charts, compresslevel=4))),
        Mount("/console", _WithHeaders(GZipMiddleware(files))),
    ]


def _folder_of_charts() -> Path:
    """Where Plotly's Python package keeps its bundle; the package itself is not loaded."""
    found = find_spec("plotly")
    assert found is not None, "plotly is among the dependencies"
    assert found.origin is not None, "plotly is a package with files"
    return Path(found.origin).parent / "package_data"


class _WithHeaders:
    """Puts the headers of the console on whatever is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
