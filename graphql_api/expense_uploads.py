"""POST /expenses: a CSV file of expenses, and a verdict on each of its rows.

    curl "http://127.0.0.1:8000/expenses?dryRun=false" -H "Authorization: Bearer $KEY"
         -H "Content-Type: text/csv" --data-binary @expenses.csv

Nothing is written unless dryRun=false says so, and nothing at all while a row is rejected, unless onError=skip. The answer
is a line of JSON for the file, then one for each row; it begins when all is decided. 422: it was to be written, and was
not, because rows were rejected. Files are kept on disk while they arrive; they are judged one after the other. A sender
has its place until the answer is taken: of who takes none of it for a while, or is gone before the turn comes, nothing stays.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from enum import StrEnum
from typing import IO, Final, TypeVar
from uuid import UUID

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from graphql_api import downloads, errors, uploads
from graphql_api.downloads import Download, pieces_of, spooled
from graphql_api.errors import ErrorCode, RequestError, bad_input
from graphql_api.expense_verdicts import as_document, report_document
from graphql_api.http import HttpError, address_of, authenticated, credentials_in
from graphql_api.permissions import ALLOWED, check
from graphql_api.session_cookie import SessionCookie
from infra.application import Application
from infra.expense_cells import DecimalSign
from infra.expense_files import Charset
from infra.file_errors import UnreadableFileError
from infra.services.api_keys import Keyring
from infra.services.callers import Caller, Refused
from infra.services.expense_imports import ImportOrder, ImportReport, Verdict, import_expenses

MOST_BYTES: Final = 128 * 1024 * 1024
MOST_AT_ONCE: Final = 8
MOST_OF_A_TENANT: Final = 2
CONTENT_TYPE: Final = b"text/csv"


class _Flag(StrEnum):
    TRUE = "true"
    FALSE = "false"


class _OnError(StrEnum):
    STOP = "stop"
    SKIP = "skip"


Choice = TypeVar("Choice", bound=StrEnum)


def expense_uploads(
    application: Application, keyring: Keyring, session: SessionCookie
) -> Callable[[Request], Awaitable[Response]]:
    """What answers at /expenses. The console's pages send files, too: their `session` will do for a key."""
    senders: Counter[UUID] = Counter()
    turns = asyncio.Semaphore(1)

    async def receive(request: Request) -> Response:
        with ExitStack() as kept:
            try:
                caller, order = await _asked(keyring, session, request)
                limits = {"most": MOST_AT_ONCE, "most_of_a_tenant": MOST_OF_A_TENANT}
                kept.enter_context(uploads.place(senders, caller.tenant_id, "expenses", **limits))
                verdicts = kept.enter_context(spooled())
                with spooled() as file:
                    await _arrived(request, file)
                    async with turns:
                        if await request.is_disconnected():
                            raise ClientDisconnect
                        report = await _judged(application, caller, order, file, verdicts)
                if isinstance(report, Refused):
                    return _refusal(report)
                status = 422 if order.apply and not report.written else 200
                return Download(_pieces(report, verdicts), kept.pop_all(), "application/x-ndjson", status)
            except HttpError as error:
                return uploads.failed(error.status, RequestError(error.code, str(error)), *error.headers)
            except RequestError as error:
                return uploads.refused(error)
            except UnreadableFileError as error:
                return uploads.refused(bad_input(f"the file {error}"))
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as error:  # noqa: BLE001  # masked, and logged in full
                return uploads.refused(errors.internal(error))

    return receive


async def _judged(
    application: Application, caller: Caller, order: ImportOrder, file: IO[bytes], verdicts: IO[bytes]
) -> ImportReport | Refused:
    def take(verdict: Verdict, written: bool) -> None:
        verdicts.write(orjson.dumps(as_document(verdict, written=written), option=orjson.OPT_APPEND_NEWLINE))

    return await import_expenses(application, caller, file, order, take)


def _refusal(refused: Refused) -> Response:
    refusal = refused.refusal
    return uploads.failed(409, RequestError(ErrorCode.BAD_USER_INPUT, refusal.message), refusal=refusal.code.value)


async def _pieces(report: ImportReport, verdicts: IO[bytes]) -> AsyncIterator[bytes]:
    yield orjson.dumps(report_document(report), option=orjson.OPT_APPEND_NEWLINE)
    async for piece in pieces_of(verdicts):
        yield piece


async def _asked(keyring: Keyring, session: SessionCookie, request: Request) -> tuple[Caller, ImportOrder]:
    """Who sends it, and what is to become of it. Nothing of its body is looked at before the key is known."""
    headers: dict[bytes, bytes] = dict(request.scope["headers"])
    caller = await authenticated(keyring, *credentials_in(headers, session), address_of(request.scope))
    check(caller, ALLOWED["Mutation.addExpense"], "POST /expenses", needs_tenant=True)
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != CONTENT_TYPE:
        raise HttpError(415, ErrorCode.BAD_USER_INPUT, "send a CSV file, with the header Content-Type: text/csv")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise HttpError(415, ErrorCode.BAD_USER_INPUT, "send the file as it is, without Content-Encoding")
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared[:20]) > MOST_BYTES:
        raise _too_large()
    return caller, _order(request)


def _order(request: Request) -> ImportOrder:
    known = ("dryRun", "onError", "charset", "decimal")
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise bad_input(f"there is no parameter {unknown[0][:80]!r}: there are {', '.join(known)}")
    return ImportOrder(
        apply=_chosen(request, "dryRun", _Flag.TRUE) is _Flag.FALSE,
        skip_errors=_chosen(request, "onError", _OnError.STOP) is _OnError.SKIP,
        charset=_chosen(request, "charset", Charset.UTF_8),
        decimal_sign=_chosen(request, "decimal", DecimalSign.POINT),
    )


def _chosen(request: Request, name: str, usual: Choice) -> Choice:
    kind = type(usual)
    given = request.query_params.getlist(name)
    if not given:
        return usual
    if len(given) > 1 or given[0] not in set(kind):
        raise bad_input(f"{name} is {' or '.join(kind)}")
    return kind(given[0])


async def _arrived(request: Request, file: IO[bytes]) -> None:
    """Put the whole body on disk."""
    size = 0
    async for chunk in uploads.chunks(request, downloads.SECONDS_OF_SILENCE, "nothing was taken: send the file again"):
        size += len(chunk)
        if size > MOST_BYTES:
            raise _too_large()
        file.write(chunk)
    file.seek(0)


def _too_large() -> RequestError:
    return RequestError(
        ErrorCode.TOO_COMPLEX,
        f"a file has at most {MOST_BYTES} bytes: send it in several, each with the header; nothing was taken",
    )
