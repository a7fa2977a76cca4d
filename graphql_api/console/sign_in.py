"""Signing in to the console: a key, or a person's token of an identity provider, becomes the session cookie of a browser.

    POST /sign-in          {"key": "psk_..."}, or in a demo {"demo": "admin"} -> 204 and the cookie
    POST /sign-out         204, and the cookie is gone
    GET  /sign-in/options  {"demo": [{"label": "admin", "description": "..."}]}: whom a demo signs in without a key

The server keeps no sessions: the cookie holds the credential itself, so a session ends when its key is revoked. Both posts
are for our own pages alone, or another site could sign its visitors in as somebody else.
"""

import re
from collections.abc import Mapping
from typing import Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from graphql_api import errors
from graphql_api.console.identity_provider_sign_in import identity_provider_routes
from graphql_api.errors import ErrorCode
from graphql_api.http import HttpError, address_of, authenticated, check_json, whole_body
from graphql_api.session_cookie import LONGEST_CREDENTIAL, SessionCookie
from infra.application import Application
from infra.demo_keys import demo_tokens
from infra.services.api_keys import Keyring
from infra.settings import Settings

MOST_BYTES: Final = 16_384
# Whom a demo signs in, by the labels of their keys; the first without being asked.
DEMO: Final = {"admin": "Acme, administrator", "member": "Acme, member", "operator": "Operator of this installation"}

_THIS_MACHINE: Final = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
_OWN_ADDRESSES: Final = ("127.0.0.1", "::1")
# What proxies add: who comes through one is somewhere else.
_PASSED_ON: Final = re.compile(rb"forwarded|via|x-forwarded-[a-z-]+|x-real-ip")
# What proxies speak that add nothing, and ask for this machine by its own name (nginx as it comes); no browser does.
_OF_PROXIES: Final = "1.0"
_NO_STORE: Final = {"cache-control": "no-store"}


class DemoSignIn:
    """A demo signs in whoever sits at its own machine: at one of its addresses, by one of its own names. A page that has
    made its name point there (DNS rebinding) asks for that name, and nobody is signed in; nor is who comes through a proxy,
    or where the server is known by a public name."""

    def __init__(self, settings: Settings, session: SessionCookie) -> None:
        self._session = session
        self._tokens = demo_tokens(settings)
        self._is_local = _is_this_machine((settings.public_url or "http://localhost").partition("://")[2].encode())

    def cookie(self, request: Request) -> str | None:
        """The Set-Cookie of a page that is fetched without a session: the administrator of the demo's first tenant; None
        where there is a session, or none is to be given."""
        headers: dict[bytes, bytes] = dict(request.scope["headers"])
        if self._session.value_in(headers, self._session.name) or not self.is_offered(request.scope):
            return None
        return self._session.given(self._tokens[next(iter(DEMO))])

    def is_offered(self, scope: Scope) -> bool:
        """Whether a request comes from this machine, to one of its own names."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        sender, _port = scope.get("client") or ("", 0)
        here = self._is_local and sender in _OWN_ADDRESSES and _is_this_machine(headers.get(b"host", b""))
        passed_on = scope.get("http_version") == _OF_PROXIES or any(_PASSED_ON.fullmatch(name) for name in headers)
        return here and not passed_on

    def token(self, label: object, scope: Scope) -> str | None:
        """The key of a label; None where it is not given to this request."""
        known = isinstance(label, str) and label in DEMO
        return self._tokens[str(label)] if known and self.is_offered(scope) else None


def sign_in_routes(
    application: Application, keyring: Keyring, session: SessionCookie, demo: DemoSignIn | None
) -> list[Route]:
    """What answers about signing in and out. `demo` None: this is none."""

    async def sign_in(request: Request) -> Response:
        headers: dict[bytes, bytes] = dict(request.scope["headers"])
        try:
            _check_page(session, headers)
            check_json(headers)
            body = await whole_body(headers, request.receive, MOST_BYTES)
            credential = _credential(body, request.scope, demo)
            await authenticated(keyring, f"Bearer {credential}", None, address_of(request.scope))
        except HttpError as error:
            return _refused(error)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001  # masked, and logged in full
            return JSONResponse({"message": str(errors.internal(error))}, 500, _NO_STORE)
        return Response(status_code=204, headers={**_NO_STORE, "set-cookie": session.given(credential)})

    async def sign_out(request: Request) -> Response:
        try:
            _check_page(session, dict(request.scope["headers"]))
        except HttpError as error:
            return _refused(error)
        return Response(status_code=204, headers={**_NO_STORE, "set-cookie": session.taken_back()})

    async def options(request: Request) -> Response:
        offered = demo is not None and demo.is_offered(request.scope)
        people = [{"label": label, "description": text} for label, text in DEMO.items() if offered]
        return JSONResponse({"demo": people}, headers=_NO_STORE)

    return [
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
        Route("/sign-in/options", options),
        *identity_provider_routes(application, keyring, session),
    ]


def _check_page(session: SessionCookie, headers: Mapping[bytes, bytes]) -> None:
    if not session.comes_from_our_page(headers):
        message = "pages of this installation sign in here; programs send their key in the header Authorization"
        raise HttpError(403, ErrorCode.FORBIDDEN, message)


def _credential(body: bytes, scope: Scope, demo: DemoSignIn | None) -> str:
    """What the body names, not yet known to be good. Raises HttpError."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _malformed(f"the body is no valid JSON: {error}") from error
    match given:
        case {"key": str(key), **rest} if not rest:
            key = key.strip()
            if len(key) > LONGEST_CREDENTIAL:
                raise _malformed(f"key has at most {LONGEST_CREDENTIAL} characters: browsers keep no more")
            return key
        case {"demo": label, **rest} if not rest:
            token = None if demo is None else demo.token(label, scope)
            if token is None:
                message = "there is no such person of a demo here; a demo signs in at its own machine, at localhost"
                raise HttpError(404, ErrorCode.BAD_USER_INPUT, message)
            return token
    raise _malformed('the body is {"key": "psk_..."}')


def _refused(error: HttpError) -> Response:
    response = JSONResponse({"message": str(error)}, error.status, _NO_STORE)
    response.raw_headers.extend(error.headers)
    return response


def _malformed(message: str) -> HttpError:
    return HttpError(400, ErrorCode.BAD_USER_INPUT, message)


def _is_this_machine(place: bytes) -> bool:
    return _THIS_MACHINE.fullmatch(place) is not None
