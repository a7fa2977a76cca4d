"""GET /statements/{wallet key}.csv and .jsonl: a wallet's ledger, or a period of it, as a file that verifies itself.

    curl "http://127.0.0.1:8000/statements/credits.csv?month=2026-10" -H "Authorization: Bearer $KEY" > october.csv
    curl -O http://127.0.0.1:8000/statements/verify_statement.py
    python3 -I verify_statement.py october.csv

`month`, or `firstDay` and `lastDay`, are days of the tenant's time zone; without them it is the whole ledger. A page of ours
sends POST, because browsers say where a request comes from with that alone.

A statement is made while it is taken: page by page, in turns with the requests beside it, and never faster than it is read.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Final
from uuid import UUID

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route, request_response

from domain.attribution import is_identifier
from domain.statements import Statement, closing_record, entry_record, opening_record
from graphql_api.downloads import Download, caller_of, endpoint, headers_of_file, place
from graphql_api.errors import ErrorCode, bad_input
from graphql_api.http import HttpError
from graphql_api.periods import span_of_days, span_of_month
from graphql_api.session_cookie import SessionCookie
from graphql_api.statement_lines import BEGINNINGS, MEDIA_TYPES, WRITERS, Form
from infra.application import Application
from infra.queries.statements import entries_of, open_statement
from infra.queries.tenants import zone_of
from infra.services.api_keys import Keyring
from infra.services.callers import Caller

VERIFIER: Final = Path(__file__).with_name("verify_statement.py")
# Pieces of this size are compressed beside the loop.
_PIECE: Final = 128 * 1024
_PARAMETERS: Final = ("month", "firstDay", "lastDay")


def statement_routes(application: Application, keyring: Keyring, session: SessionCookie) -> list[BaseRoute]:
    """What answers below /statements. The program that verifies statements holds no data, so anybody gets it."""

    def verifier(_request: Request) -> Response:
        return FileResponse(VERIFIER, media_type="text/x-python", headers={"x-content-type-options": "nosniff"})

    statements = request_response(_statements(application, keyring, session))
    return [
        Route("/statements/verify_statement.py", verifier),
        Route("/statements/{wallet}.{form}", GZipMiddleware(statements, compresslevel=1), methods=["GET", "POST"]),
    ]


def _statements(
    application: Application, keyring: Keyring, session: SessionCookie
) -> Callable[[Request], Awaitable[Response]]:
    readers: Counter[UUID] = Counter()

    async def make(request: Request, kept: ExitStack) -> Response:
        caller = await caller_of(request, keyring, session, "Query.wallet")
        form, start, end = await _asked(application, caller, request)
        kept.enter_context(place(readers, caller.tenant_id))
        wallet_key: str = request.path_params["wallet"]
        statement = None
        if is_identifier(wallet_key):
            statement = await open_statement(application, caller.tenant_id, wallet_key, start, end)
        if statement is None:
            raise HttpError(404, ErrorCode.BAD_USER_INPUT, f"there is no wallet {wallet_key[:80]!r}")
        return _download(application, statement, form, request, kept)

    return endpoint(make)


def _download(
    application: Application, statement: Statement, form: Form, request: Request, kept: ExitStack
) -> Response:
    period = "".join([f"-{request.query_params[name]}" for name in _PARAMETERS if name in request.query_params])
    headers = headers_of_file(f"statement-{statement.wallet_key}{period}.{form}")
    if request.method == "HEAD":
        return Response(headers=headers, media_type=MEDIA_TYPES[form])
    pieces = statement_pieces(application, statement, form)
    return Download(pieces, kept.pop_all(), MEDIA_TYPES[form], headers=headers)


async def statement_pieces(
    application: Application, statement: Statement, form: Form, show: Callable[[int], object] = int
) -> AsyncIterator[bytes]:
    """The whole statement, in pieces of about _PIECE bytes. `show` hears how many more entries are written."""
    written = WRITERS[form]
    piece = bytearray(BEGINNINGS[form].encode() + written([opening_record(statement)]))
    async for entries in entries_of(application, statement):
        piece += written([entry_record(entry) for entry in entries])
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
        show(len(entries))
        await asyncio.sleep(0)
    yield bytes(piece + written([closing_record(statement)]))


async def _asked(
    application: Application, caller: Caller, request: Request
) -> tuple[Form, datetime | None, datetime | None]:
    """How the statement is to be written, and the period that it is about."""
    form: str = request.path_params["form"]
    if form not in set(Form):
        raise HttpError(404, ErrorCode.BAD_USER_INPUT, f"a statement is a file .{' or .'.join(Form)}")
    given = request.query_params
    unknown = [name for name in given if name not in _PARAMETERS]
    if unknown:
        raise bad_input(f"there is no parameter {unknown[0][:80]!r}: there are {', '.join(_PARAMETERS)}")
    twice = [name for name in _PARAMETERS if len(given.getlist(name)) > 1]
    if twice:
        raise bad_input(f"{twice[0]} is given more than once: name one")
    start, end = period(await zone_of(application, caller.tenant_id), *[given.get(name) for name in _PARAMETERS])
    return Form(form), start, end


def period(
    zone: tzinfo, month: str | None, first_day: str | None, last_day: str | None
) -> tuple[datetime | None, datetime | None]:
    """From when up to when a month, or some days, last in a zone; None, None where neither is named. Raises RequestError."""
    if month is not None:
        if first_day is not None or last_day is not None:
            raise bad_input("name month, or firstDay and lastDay: leave the others out")
        return span_of_month(month, zone)
    if first_day is None and last_day is None:
        return None, None
    return span_of_days(_day("firstDay", first_day), _day("lastDay", last_day), zone)


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise bad_input(f"{name}: write it as 2026-11-25")
    return day
