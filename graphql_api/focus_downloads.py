"""GET /costs/focus.csv: a tenant's costs in the columns of FOCUS, for the tools of its finance team.

    curl "http://127.0.0.1:8000/costs/focus.csv?month=2026-11" -H "Authorization: Bearer $KEY" > focus.csv

`month` is one of the tenant's time zone; `year` in its place is all twelve of one. Each month is read on a snapshot of its
own into a file on disk, and sent before the next is read: neither memory nor the database waits for who takes it slowly.
A page of ours sends POST, because browsers say where a request comes from with that alone.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import IO, Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from graphql_api.downloads import Download, caller_of, endpoint, headers_of_file, pieces_of, place, spooled
from graphql_api.errors import bad_input
from graphql_api.focus_file import PARAMETERS, header, months_of, write_month
from graphql_api.session_cookie import SessionCookie
from infra.application import Application
from infra.services.api_keys import Keyring
from infra.services.callers import Caller

PATH: Final = "/costs/focus.csv"


def focus_downloads(
    application: Application, keyring: Keyring, session: SessionCookie
) -> Callable[[Request], Awaitable[Response]]:
    """What answers at /costs/focus.csv."""
    takers: Counter[UUID] = Counter()

    async def make(request: Request, kept: ExitStack) -> Response:
        caller = await caller_of(request, keyring, session, "Query.usageBreakdown")
        months = _months(request)
        kept.enter_context(place(takers, caller.tenant_id))
        first = kept.enter_context(spooled())
        first.write(header())
        await write_month(application, caller.tenant_id, months[0], first)
        headers = headers_of_file(f"focus-{months[0] if len(months) == 1 else months[0][:4]}.csv")
        if len(months) == 1:
            # With its length, what breaks off shows over HTTP/1.0 as well, which some proxies speak.
            headers["content-length"] = str(first.tell())
        pieces = _pieces(application, caller, first, months[1:])
        return Download(pieces, kept.pop_all(), "text/csv", headers=headers)

    return endpoint(make)


async def _pieces(
    application: Application, caller: Caller, first: IO[bytes], others: Sequence[str]
) -> AsyncIterator[bytes]:
    async for piece in pieces_of(first):
        yield piece
    first.close()
    for month in others:
        with spooled() as file:
            await write_month(application, caller.tenant_id, month, file)
            async for piece in pieces_of(file):
                yield piece


def _months(request: Request) -> tuple[str, ...]:
    unknown = [name for name in request.query_params if name not in PARAMETERS]
    if unknown:
        raise bad_input(f"there is no parameter {unknown[0][:80]!r}: there are {' and '.join(PARAMETERS)}")
    return months_of(request.query_params.multi_items())
