"""HTTP: what a GraphQL request must look like on the wire, and how it is answered.

`POST` with a JSON object and a key. The key is checked before the body is looked at. Answers are GraphQL-shaped
whatever goes wrong; their status is 200 as soon as there was a request to execute.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Network
from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from graphql_api import errors, limits
from graphql_api.errors import ErrorCode, RequestError
from graphql_api.execution import Engine
from graphql_api.session_cookie import SessionCookie
from infra.jwks import ProviderUnavailableError
from infra.rate_limits import RateLimitedError
from infra.services.api_keys import Keyring, NoSuchTenantError
from infra.services.callers import Caller

# Answers are a tenant's figures and keys: nothing between here and who asked keeps them, or takes them for something else.
_HEADERS: Final = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
UNTRUSTED: Final = (
    "the token is not trusted here, or has expired: issuer, audience, signature, role and end must be right"
)

Header = tuple[bytes, bytes]
ContextOf = Callable[[Caller], object]


class HttpError(Exception):
    """A request that is answered without being executed."""

    def __init__(self, status: int, code: ErrorCode, message: str, *headers: Header) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


class GraphQLEndpoint:
    """The ASGI application for requests at /graphql."""

    def __init__(self, engine: Engine, keyring: Keyring, context_of: ContextOf, session: SessionCookie) -> None:
        self._engine = engine
        self._keyring = keyring
        self._context_of = context_of
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status: int = 200
        extra: Sequence[Header] = ()
        try:
            headers: dict[bytes, bytes] = dict(scope["headers"])
            caller = await self._caller(scope, headers)
            query, variables, operation_name = _read(await whole_body(headers, receive))
            answer = await self._engine.answer(query, variables, operation_name, self._context_of(caller))
        except HttpError as error:
            answer = {"errors": errors.formatted([RequestError(error.code, str(error))])}
            status, extra = error.status, error.headers
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001  # masked, and logged in full
            answer = {"errors": errors.formatted([errors.internal(error)])}
            status = 500
        body = orjson.dumps(answer)
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [*_HEADERS, length, *extra]})
        await send({"type": "http.response.body", "body": body})

    async def _caller(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Caller:
        if scope["method"] != "POST":
            raise HttpError(
                405, ErrorCode.BAD_USER_INPUT, 'send POST with a JSON body: {"query": "..."}', (b"allow", b"POST")
            )
        check_json(headers)
        authorization, tenant = credentials_in(headers, self._session)
        return await authenticated(self._keyring, authorization, tenant, address_of(scope))


def check_json(headers: Mapping[bytes, bytes]) -> None:
    """Raises HttpError where a body is not said to be JSON: pages of other sites may not send that unasked."""
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise HttpError(415, ErrorCode.BAD_USER_INPUT, "send the header Content-Type: application/json")


def credentials_in(headers: Mapping[bytes, bytes], session: SessionCookie | None = None) -> tuple[str, str | None]:
    """The key and the tenant that a request's headers name. `session`: where no header names a key, the cookie of a page of
    ours may."""
    authorization, tenant = headers.get(b"authorization", b"").decode("latin-1"), headers.get(b"purser-tenant")
    if not authorization and session is not None:
        credential = session.credential_in(headers)
        authorization = f"Bearer {credential}" if credential else ""
    return authorization, tenant.decode("latin-1") if tenant else None


def address_of(scope: Scope) -> str:
    """Where a request comes from: an IPv4 address, or the network of an IPv6 one, since who has one has all of it."""
    host = (scope.get("client") or ("", 0))[0]
    if ":" not in host:
        return host
    try:
        return str(IPv6Network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return host


async def authenticated(keyring: Keyring, authorization: str, tenant: str | None, address: str = "") -> Caller:
    """Who asks with these credentials, for one request that counts. Raises HttpError where nobody does, or too often."""
    caller = await identified(keyring, authorization, tenant, address)
    count(keyring, caller)
    return caller


def count(keyring: Keyring, caller: Caller) -> None:
    """One more request of a caller. Raises HttpError where there were too many."""
    try:
        keyring.count(caller)
    except RateLimitedError as error:
        raise _rate_limited(error) from error


async def identified(keyring: Keyring, authorization: str, tenant: str | None, address: str | None = "") -> Caller:
    """Who has these credentials. `address` None: who was let in with them before. Raises HttpError where nobody does."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthenticated("send a key in the header Authorization: Bearer psk_...")
    try:
        caller = await keyring.authenticate(token.strip(), tenant, address)
    except RateLimitedError as error:
        raise _rate_limited(error) from error
    except ProviderUnavailableError as error:
        raise HttpError(503, ErrorCode.IDENTITY_PROVIDER_UNAVAILABLE, str(error)) from error
    except NoSuchTenantError as error:
        raise HttpError(400, ErrorCode.TENANT_REQUIRED, str(error)) from error
    if caller is None:
        raise _unauthenticated(UNTRUSTED if token.count(".") == 2 else "the key is unknown, expired or revoked")
    return caller


def _rate_limited(error: RateLimitedError) -> HttpError:
    return HttpError(429, ErrorCode.RATE_LIMITED, str(error), (b"retry-after", b"%d" % error.seconds))


def _unauthenticated(message: str) -> HttpError:
    return HttpError(401, ErrorCode.UNAUTHENTICATED, message, (b"www-authenticate", b"Bearer"))


async def whole_body(headers: Mapping[bytes, bytes], receive: Receive, most: int = limits.MOST_BYTES) -> bytes:
    """The whole body. Raises HttpError where it has more bytes than `most` or is too slow, ClientDisconnect where it does
    not come."""
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared[:20]) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(limits.SECONDS_FOR_BODY):
            return await _arrived(receive, most)
    except TimeoutError as error:
        late = f"nothing was done: the body of a request has to come within {limits.SECONDS_FOR_BODY:g} seconds"
        raise HttpError(408, ErrorCode.TIMEOUT, late) from error


async def _arrived(receive: Receive, most: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(most: int) -> HttpError:
    return HttpError(413, ErrorCode.TOO_COMPLEX, f"a request has at most {most} bytes: send fewer at once")


def _read(body: bytes) -> tuple[str, dict[str, Any], str | None]:
    """Query, variables and operation name of a request."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _malformed(f"the body is no valid JSON: {error}") from error
    if isinstance(request, list):
        raise _malformed("send one request at a time; reserveMany, releaseMany and recordUsage take many at once")
    if not isinstance(request, dict):
        raise _malformed('the body is a JSON object: {"query": "..."}')
    return read_request(request, body)


def read_request(request: Mapping[str, object], body: bytes) -> tuple[str, dict[str, Any], str | None]:
    """Query, variables and operation name of a request, which is `body` or a part of it. Raises HttpError."""
    query, variables, operation_name = request.get("query"), request.get("variables"), request.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise _malformed("query must be the text of a GraphQL document")
    if variables is not None and not isinstance(variables, dict):
        raise _malformed("variables must be a JSON object")
    if operation_name is not None and not isinstance(operation_name, str):
        raise _malformed("operationName must be a string")
    if b"\\u0000" in body:
        _refuse_nul(variables, "variables")
    return query, variables or {}, operation_name


def _refuse_nul(variables: object, name: str) -> None:
    """PostgreSQL stores no NUL, so say where it is. Without recursion: JSON may nest deeper than Python may call."""
    waiting: list[tuple[object, str]] = [(variables, name)]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, str) and "\0" in value:
            raise _malformed(f"{path} holds the character NUL (U+0000), which cannot be stored")
        if isinstance(value, dict):
            if any("\0" in key for key in value):
                raise _malformed(f"a name in {path} holds the character NUL (U+0000), which cannot be stored")
            waiting += [(part, f"{path}.{key}") for key, part in value.items()]
        elif isinstance(value, list):
            waiting += [(part, f"{path}.{index}") for index, part in enumerate(value)]


def _malformed(message: str) -> HttpError:
    return HttpError(400, ErrorCode.BAD_USER_INPUT, message)
