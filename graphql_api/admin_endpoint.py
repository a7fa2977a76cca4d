"""Piccolo Admin at /admin/: operators look at the tables that no page of the console shows, and change nothing.

    GET with the session's cookie -> is it an operator, and on the list -> Piccolo Admin, over `infra.admin_tables`

Piccolo Admin has users, passwords and sessions of its own. None of them are used: what it answers to nobody in particular,
and whatever else is not on the list, cannot be reached. It is loaded when an operator first comes, which takes two seconds
of a thread and nothing of a start.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from graphql_api import errors
from graphql_api.http import HttpError, address_of, authenticated
from infra import admin_tables
from infra.admin_columns import SHOWN
from infra.application import Application
from infra.services.api_keys import Keyring
from infra.services.callers import Role
from infra.transaction import UNANSWERED

CALLER: Final = "purser.caller"
# What its page asks for. Not on the list are what signs in, the documentation of the API, and the names of all rows of a
# table at once (`ids`, which foreign keys would need).
_ANSWERED: Final = re.compile(
    r"/|/assets/[\w.-]+|/public/(?:meta|translations(?:/[\w-]+)?)/"
    r"|/api/(?:user|links|forms|forms/grouped|tables|tables/grouped)/",
    re.ASCII,
)
_OF_TABLE: Final = re.compile(r"/api/tables/(\w+)/(?:([\w-]+)/)?", re.ASCII)
_OF_ANY_TABLE: Final = frozenset({None, "schema", "count", "references", "new"})
_SIGN_IN: Final = "/sign-in?next=/admin/"
_HEADERS: Final = {
    # Its page sets styles from scripts.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class AdminEndpoint:
    """The ASGI application at /admin. `cookie`: the name of the one that holds a session's key."""

    def __init__(self, application: Application, keyring: Keyring, cookie: str) -> None:
        self._keyring = keyring
        self._cookie = cookie
        self._engine = admin_tables.engine_of(application)
        self._opening = asyncio.Lock()
        self._admin: ASGIApp | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers are given within this block."""
        try:
            yield
        finally:
            if self._engine.pool is not None:
                await self._engine.close_connection_pool()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await WebSocketClose()(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer: ASGIApp
        try:
            answer = await self._refusal(Request(scope)) or await self._opened()
            await answer(scope, receive, guarded)
        except asyncpg.QueryCanceledError:
            late = (
                f"nothing was found within {admin_tables.SECONDS} seconds: filter by tenant_id and the rest of the key"
            )
            await _error(503, late)(scope, receive, guarded)
        except (asyncpg.DataError, asyncpg.UndefinedFunctionError) as error:
            await _error(400, f"the database cannot filter or count pages so: {error}")(scope, receive, guarded)
        except UNANSWERED:
            await _error(503, "the database does not answer: try again later")(scope, receive, guarded)
        except Exception as error:  # noqa: BLE001  # masked, and logged in full
            await _error(500, "internal error", errors.internal(error).extensions)(scope, receive, guarded)

    async def _refusal(self, request: Request) -> Response | None:
        """What is answered in the place of Piccolo Admin; None where an operator asks for what it may answer."""
        path = request.scope["path"].removeprefix(request.scope["root_path"])
        if request.method != "GET":
            return _error(405, "nothing can be changed here")
        if not _is_answered(path):
            return _error(404, "there is nothing here")
        token = request.cookies.get(self._cookie, "")
        try:
            caller = await authenticated(self._keyring, f"Bearer {token}", None, address_of(request.scope))
        except HttpError as error:
            if error.status != 401:
                return _error(error.status, str(error))
            return _sign_in(path, 401)
        if caller.role is not Role.OPERATOR:
            return _sign_in(path, 403)
        request.scope[CALLER] = caller
        asked = _of_table(path)
        if asked is None:
            return None
        if "__range_header_name" in request.query_params:
            return _error(400, "__range_header_name: an address does not say what stands in the headers of its answer")
        _order(request, *asked)
        return _unknown_column(request, asked[0])

    async def _opened(self) -> ASGIApp:
        async with self._opening:
            if self._admin is None:
                if self._engine.pool is None:
                    await self._engine.start_connection_pool(min_size=0, max_size=admin_tables.MOST_CONNECTIONS)
                types = await admin_tables.types_of_columns(self._engine)
                self._admin = await asyncio.to_thread(self._built, types)
            return self._admin

    def _built(self, types: dict[str, dict[str, str]]) -> ASGIApp:
        from graphql_api.admin_pages import create_pages

        return create_pages(admin_tables.piccolo_tables(self._engine, types), CALLER)


def _of_table(path: str) -> tuple[str, str | None] | None:
    """The table that a path is about, and what of it: None is its rows, all but a few words one of them."""
    found = _OF_TABLE.fullmatch(path)
    return None if found is None or found[1] not in SHOWN else (found[1], found[2])


def _is_answered(path: str) -> bool:
    asked = _of_table(path)
    if asked is None:
        return _ANSWERED.fullmatch(path) is not None
    table, part = asked
    return part in _OF_ANY_TABLE or (part != "ids" and admin_tables.identity_of(table) is not None)


def _unknown_column(request: Request, table: str) -> Response | None:
    shown = admin_tables.columns_of(table)
    for parameter in ("__order", "__visible_fields"):
        for column in request.query_params.get(parameter, shown[0]).split(","):
            if column.removeprefix("-") not in shown:
                return _error(400, f"{parameter}: {table} shows no column of this name; it shows {', '.join(shown)}")
    return None


def _order(request: Request, table: str, part: str | None) -> None:
    """Rows in the order of an index, backwards, where the page names no order: Piccolo's own would sort the whole table."""
    if part is None and "__order" not in request.query_params:
        order = ",".join(f"-{column}" for column in admin_tables.key_of(table))
        request.scope["query_string"] += f"&__order={order}".encode()


def _sign_in(path: str, status: int) -> Response:
    if path == "/":
        return RedirectResponse(_SIGN_IN, 303)
    return _error(status, "sign in as an operator at /sign-in")


def _error(status: int, message: str, more: Mapping[str, object] | None = None) -> Response:
    return JSONResponse({"detail": message, **(more or {})}, status)
