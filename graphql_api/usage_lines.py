"""POST /usage: calls that happened, a line of JSON each, in far larger numbers than one GraphQL request may carry.

    curl http://127.0.0.1:8000/usage?dryRun=true -H "Authorization: Bearer $KEY"
         -H "Content-Type: application/x-ndjson" --data-binary @events.jsonl

Each line is what recordUsage takes as one of its events, by the same rules. Lines are read and recorded as they arrive,
a batch at a time: a sender that is faster is held back, and requests beside it are answered in between. What was
recorded stays, even if the connection breaks: sending all lines again is harmless.

A sender holds little memory: about MOST_WAITING bytes of lines wait for their batch, only some senders are listened to at
once, and one that says nothing for a while is let go.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from graphql_api import errors, uploads
from graphql_api.errors import ErrorCode, RequestError, bad_input
from graphql_api.http import HttpError, address_of, authenticated, credentials_in
from graphql_api.permissions import ALLOWED, check
from graphql_api.usage_report import as_document
from infra.application import Application
from infra.group_commit import Overloaded
from infra.services.api_keys import Keyring
from infra.services.usage_intake import IntakeReport, UsageIntake
from infra.usage_lines import LONGEST_LINE, read_line

MOST_BYTES: Final = 16_000_000
MOST_LINES: Final = 100_000
# Lines that wait longer than this together are recorded, however few they are.
MOST_WAITING: Final = 1_000_000
MOST_AT_ONCE: Final = 16
# No tenant may keep the others waiting.
MOST_OF_A_TENANT: Final = 8
SECONDS_OF_SILENCE: Final = 30.0
CONTENT_TYPES: Final = (b"application/x-ndjson", b"application/jsonl")
# Lines that are read without letting others have their turn: less than a millisecond's worth.
LINES_AT_ONCE: Final = 20


def usage_lines(application: Application, keyring: Keyring) -> Callable[[Request], Awaitable[Response]]:
    """What answers at /usage."""
    senders: Counter[UUID] = Counter()

    async def receive(request: Request) -> Response:
        report = IntakeReport()
        try:
            intake = await _intake(application, keyring, request)
        except HttpError as error:
            return uploads.failed(
                error.status, RequestError(error.code, str(error)), *error.headers, **as_document(report)
            )
        except RequestError as error:
            return uploads.refused(error, **as_document(report))
        try:
            limits = {"most": MOST_AT_ONCE, "most_of_a_tenant": MOST_OF_A_TENANT}
            with uploads.place(senders, intake.tenant_id, "usage", **limits):
                await _take(intake, request)
        except ClientDisconnect:
            return Response(status_code=400)
        except RequestError as error:
            return uploads.refused(error, **as_document(intake.report))
        except Overloaded:
            return uploads.refused(
                RequestError(
                    ErrorCode.OVERLOADED,
                    "The server is overloaded: send all lines again later; what was taken is known then.",
                ),
                **as_document(intake.report),
            )
        except Exception as error:  # noqa: BLE001  # masked, and logged in full
            return uploads.refused(errors.internal(error), **as_document(intake.report))
        return uploads.answer(200, as_document(intake.report))

    return receive


async def _intake(application: Application, keyring: Keyring, request: Request) -> UsageIntake:
    """What the request's lines are for. Nothing of its body is looked at before the key is known."""
    headers: dict[bytes, bytes] = dict(request.scope["headers"])
    caller = await authenticated(keyring, *credentials_in(headers), address_of(request.scope))
    check(caller, ALLOWED["Mutation.recordUsage"], "POST /usage", needs_tenant=True)
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() not in CONTENT_TYPES:
        message = "send one JSON object a line, with the header Content-Type: application/x-ndjson"
        raise HttpError(415, ErrorCode.BAD_USER_INPUT, message)
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise HttpError(415, ErrorCode.BAD_USER_INPUT, "send the lines as they are, without Content-Encoding")
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared[:20]) > MOST_BYTES:
        raise _too_large()
    return UsageIntake(application, caller, dry_run=_dry_run(request))


def _dry_run(request: Request) -> bool:
    unknown = [name for name in request.query_params if name != "dryRun"]
    if unknown:
        raise bad_input(f"there is no parameter {unknown[0][:80]!r}: there is dryRun")
    given = request.query_params.getlist("dryRun")
    if given not in ([], ["true"], ["false"]):
        raise bad_input("dryRun is true or false")
    return given == ["true"]


async def _take(intake: UsageIntake, request: Request) -> None:
    number = waiting = 0
    async for line in _lines(request):
        number += 1
        waiting += len(line)
        if number > MOST_LINES:
            raise _too_large()
        if line and not line.isspace():
            await intake.take(number, read_line(line))
            if waiting > MOST_WAITING:
                await intake.flush()
                waiting = 0
        if number % LINES_AT_ONCE == 0:
            await asyncio.sleep(0)
    await intake.flush()


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """The lines of the body as it arrives; of one that is too long its beginning, which is too long as well."""
    size, rest = 0, b""
    async for chunk in _chunks(request):
        size += len(chunk)
        if size > MOST_BYTES:
            raise _too_large()
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        rest = rest[: LONGEST_LINE + 1]
    yield rest


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    remedy = "send all lines again; those that were taken are known then"
    async for chunk in uploads.chunks(request, SECONDS_OF_SILENCE, remedy):
        yield chunk


def _too_large() -> RequestError:
    return RequestError(
        ErrorCode.TOO_COMPLEX,
        f"a request has at most {MOST_BYTES} bytes and {MOST_LINES} lines: send the lines in several requests; those "
        "that were taken may be sent again",
    )
