"""Signing in to the console at a tenant's identity provider.

    GET /sign-in/with?tenant=acme&next=/costs      -> the provider, which asks who it is
    GET /sign-in/callback/acme?code=...&state=...  -> /costs, with the session cookie; or /sign-in?error=<why>

What has begun is kept in the browser alone, in a cookie that lasts ten minutes and one attempt: whoever is sent to the
callback by another site has none, or another. Each tenant has a callback of its own, so that no provider can pass off what
another one says as its own answer, and be told that one's code (mix-up: RFC 9700, 4.4). The token becomes the credential of the session, and ends it when it ends.
"""

import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from re import ASCII
from re import compile as pattern
from secrets import compare_digest
from typing import Final
from urllib.parse import quote, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from graphql_api.http import address_of
from graphql_api.session_cookie import LONGEST_CREDENTIAL, SessionCookie
from infra.application import Application
from infra.authorization_code import AuthorizationCode, Begun, Failure, SignInFailedError
from infra.jwks import ProviderUnavailableError
from infra.queries.identity_providers import IdentityProviderView, signing_in
from infra.rate_limits import RateLimitedError, RateLimits
from infra.services.api_keys import Keyring
from infra.transaction import UNANSWERED

CALLBACK: Final = "/sign-in/callback/{tenant}"
SECONDS_TO_SIGN_IN: Final = 600
# From one address, which a whole company may share; both ways are counted, since each may ask the provider something.
ATTEMPTS_PER_MINUTE: Final = 600
LONGEST_NEXT: Final = 1_000

_COOKIE: Final = "purser_sign_in"
# A path of ours, never what a browser reads as another host: //host, /\host.
_OWN_PAGE: Final = pattern(r"/(?!/)[!-\[\]-~]*", ASCII)
# The callback's address holds a code: it is neither kept nor told to anybody.
_HEADERS: Final = {"cache-control": "no-store", "referrer-policy": "no-referrer"}

_log: Final = logging.getLogger(__name__)


def identity_provider_routes(application: Application, keyring: Keyring, session: SessionCookie) -> list[Route]:
    """What answers to people who sign in at a provider."""
    attempts = RateLimits()
    code_flow = AuthorizationCode(local_allowed=application.settings.local_identity_providers_allowed)
    cookie = session.named(_COOKIE)

    async def begin(request: Request) -> Response:
        tenant, next_page = _said(request, "tenant"), own_page(_said(request, "next"))
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            # A site or a mail could sign people in as somebody else, at a provider that asks nothing: so they are asked.
            return _sent_on(f"/sign-in?{urlencode({'organisation': tenant, 'next': next_page})}")
        try:
            provider = await _provider(application, attempts, request, tenant)
            url, begun = await code_flow.begin(provider, _callback(session, request, tenant), tenant, next_page)
        except SignInFailedError as error:
            return _failed(error, tenant)
        return _sent_on(url, session.written(cookie, _packed(begun), SECONDS_TO_SIGN_IN))

    async def complete(request: Request) -> Response:
        forgotten = session.written(cookie, "", 0)
        begun = _unpacked(request.cookies.get(cookie, ""))
        try:
            if begun is None or not _is_of(request, begun):
                raise SignInFailedError(Failure.EXPIRED)
            provider = await _provider(application, attempts, request, begun.tenant)
            code = _code(request, provider)
            token = await code_flow.complete(provider, _callback(session, request, begun.tenant), begun, code)
            await _check(keyring, provider, token, request)
        except SignInFailedError as error:
            return _failed(error, "" if begun is None else begun.tenant, forgotten)
        return _sent_on(own_page(begun.next), forgotten, session.given(token))

    return [Route("/sign-in/with", begin), Route(CALLBACK, complete)]


def own_page(path: str) -> str:
    """A path to go on to after signing in, if it is one of ours; else the first page."""
    return path if len(path) <= LONGEST_NEXT and _OWN_PAGE.fullmatch(path) else "/"


async def _provider(
    application: Application, attempts: RateLimits, request: Request, tenant: str
) -> IdentityProviderView:
    """Where a tenant's people sign in. Raises SignInFailedError."""
    try:
        attempts.admit(address_of(request.scope), ATTEMPTS_PER_MINUTE)
        provider = None if "\0" in tenant else await signing_in(application, tenant)
    except RateLimitedError as error:
        raise SignInFailedError(Failure.TOO_MANY) from error
    except UNANSWERED as error:
        raise SignInFailedError(Failure.UNAVAILABLE, "the database does not answer") from error
    if provider is None:
        raise SignInFailedError(Failure.NO_PROVIDER)
    return provider


def _code(request: Request, provider: IdentityProviderView) -> str:
    """What the provider has sent the browser back with. Raises SignInFailedError."""
    # Where a provider says who it is (RFC 9207), it must be the one that was asked.
    if _said(request, "iss") not in ("", provider.issuer):
        raise SignInFailedError(Failure.UNTRUSTED, "another provider answered")
    code = _said(request, "code")
    if not code:
        raise SignInFailedError(Failure.REFUSED, f"it answered {_said(request, 'error')[:80]!r}")
    return code


async def _check(keyring: Keyring, provider: IdentityProviderView, token: str, request: Request) -> None:
    """See that a token is good for the provider's tenant, and fits. Raises SignInFailedError."""
    try:
        caller = await keyring.authenticate(token, None, address_of(request.scope))
    except RateLimitedError as error:
        raise SignInFailedError(Failure.TOO_MANY) from error
    except ProviderUnavailableError as error:
        raise SignInFailedError(Failure.UNAVAILABLE, str(error)) from error
    except UNANSWERED as error:
        raise SignInFailedError(Failure.UNAVAILABLE, "the database does not answer") from error
    if caller is None or caller.tenant_id != provider.tenant_id:
        raise SignInFailedError(Failure.UNTRUSTED, "issuer, audience, signature, role and end must be right")
    if len(token) > LONGEST_CREDENTIAL:
        raise SignInFailedError(Failure.TOO_LONG, f"its token has {len(token)} characters: let it hold fewer claims")


def _said(request: Request, name: str) -> str:
    return request.query_params.get(name, "")


def _is_of(request: Request, begun: Begun) -> bool:
    """Whether the browser comes back from where it was sent."""
    same_state = compare_digest(begun.state.encode(), _said(request, "state").encode())
    return same_state and begun.tenant == request.path_params["tenant"]


def _callback(session: SessionCookie, request: Request, tenant: str) -> str:
    """Where a tenant's provider sends people back to; it must be registered there."""
    return f"{session.public_url or str(request.base_url).rstrip('/')}{CALLBACK.format(tenant=quote(tenant, safe=''))}"


def _packed(begun: Begun) -> str:
    return urlsafe_b64encode(orjson.dumps(begun)).decode().rstrip("=")


def _unpacked(text: str) -> Begun | None:
    try:
        kept = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        begun = Begun(**kept)
    except (ValueError, TypeError):
        return None
    return begun if all(isinstance(value, str) for value in kept.values()) else None


def _failed(error: SignInFailedError, tenant: str, *cookies: str) -> Response:
    if error.reason is not None:
        _log.warning("nobody of %.80r was signed in at the identity provider: %s", tenant, error.reason)
    return _sent_on(f"/sign-in?{urlencode({'error': error.failure.value})}", *cookies)


def _sent_on(url: str, *cookies: str) -> Response:
    response = RedirectResponse(url, 303, _HEADERS)
    for cookie in cookies:
        response.headers.append("set-cookie", cookie)
    return response
