"""Signing in at an identity provider: the authorization code flow of OpenID Connect with PKCE (RFC 7636), spoken by Authlib.

    begin     where to send a browser, and what to keep of it meanwhile
    complete  the token for which the provider gives the code with which the browser came back

Where to ask is found below the issuer (OpenID Connect Discovery). We are a public client: the code is of no use to anybody
who has not kept the verifier.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Any, Final

import orjson

from domain import identity, urls
from domain.identity import LONGEST_URL
from infra.guarded_requests import NoAnswerError, whole_answer
from infra.queries.identity_providers import IdentityProviderView

SECONDS_TO_ANSWER: Final = 5.0
MOST_BYTES: Final = 200_000
SECONDS_FRESH: Final = 600.0
MOST_PROVIDERS: Final = 1_000
LONGEST_CODE: Final = 4_096


class Failure(StrEnum):
    """Why nobody was signed in, as the page of the console is told."""

    NO_PROVIDER = "no-provider"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNTRUSTED = "untrusted"
    TOO_LONG = "too-long"
    TOO_MANY = "too-many"


class SignInFailedError(Exception):
    """Nobody was signed in. `reason`: what the operators' log says, nothing secret; None: nothing that concerns them."""

    def __init__(self, failure: Failure, reason: str | None = None) -> None:
        super().__init__(reason or failure.value)
        self.failure = failure
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Begun:
    """What is kept in the browser until it comes back. `next`: the page to go on to."""

    tenant: str
    next: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class _Endpoints:
    authorization: str
    token: str


class AuthorizationCode:
    """Speaks with all identity providers; remembers for ten minutes where to. `local_allowed`: they may be on our own
    network, over plain http."""

    def __init__(self, *, local_allowed: bool) -> None:
        self._local_allowed = local_allowed
        self._known: dict[str, tuple[float, _Endpoints]] = {}

    async def begin(
        self, provider: IdentityProviderView, callback: str, tenant: str, next_page: str
    ) -> tuple[str, Begun]:
        """The address at the provider to send the browser to. Raises SignInFailedError."""
        endpoints = await self._endpoints(provider)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        asked = {"nonce": nonce, "state": state, "code_verifier": verifier}
        if not _signs_in_by_id_token(provider):
            # Providers that issue tokens for several services (Auth0) are told for which; the others pass it over.
            asked["audience"] = provider.audience
        url, _ = self._client(provider, callback).create_authorization_url(endpoints.authorization, **asked)
        return url, Begun(tenant, next_page, state, nonce, verifier)

    async def complete(self, provider: IdentityProviderView, callback: str, begun: Begun, code: str) -> str:
        """The token of whoever signed in, which is for us and of this attempt; that it is to be trusted is not known yet.
        Raises SignInFailedError."""
        if len(code) > LONGEST_CODE:
            raise SignInFailedError(Failure.REFUSED, "the code is too long")
        answer = await self._exchanged(provider, callback, begun, code)
        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str) or not _is_of_this_attempt(id_token, provider, begun.nonce):
            raise SignInFailedError(Failure.UNTRUSTED, "the ID token is missing, or is not of this attempt")
        token = id_token if _signs_in_by_id_token(provider) else access_token
        if not isinstance(token, str):
            raise SignInFailedError(Failure.UNTRUSTED, "there is no access token")
        return token

    async def _exchanged(
        self, provider: IdentityProviderView, callback: str, begun: Begun, code: str
    ) -> Mapping[str, Any]:
        import httpx2
        from authlib.integrations.base_client import OAuthError

        endpoints = await self._endpoints(provider)
        async with self._client(provider, callback) as client:
            try:
                answer: Mapping[str, Any] = await client.fetch_token(
                    endpoints.token, grant_type="authorization_code", code=code, code_verifier=begun.verifier
                )
            except OAuthError as error:
                raise SignInFailedError(Failure.REFUSED, f"it says {str(error.error)[:80]!r} to the code") from error
            except NoAnswerError as error:
                raise SignInFailedError(Failure.UNAVAILABLE, str(error)) from error
            except (httpx2.HTTPError, ValueError, TypeError, OverflowError, RecursionError) as error:
                raise SignInFailedError(Failure.UNAVAILABLE, "its answer to the code is none") from error
        return answer

    async def _endpoints(self, provider: IdentityProviderView) -> _Endpoints:
        fetched_at, found = self._known.get(provider.issuer, (0.0, None))
        if found is not None and monotonic() - fetched_at < SECONDS_FRESH:
            return found
        try:
            status, body = await whole_answer(
                "GET",
                f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
                {"Accept": "application/json"},
                seconds=SECONDS_TO_ANSWER,
                most_bytes=MOST_BYTES,
                local_allowed=self._local_allowed,
            )
        except NoAnswerError as error:
            raise SignInFailedError(Failure.UNAVAILABLE, str(error)) from error
        found = self._published(body, provider.issuer) if status == 200 else None
        if found is None:
            raise SignInFailedError(Failure.UNAVAILABLE, "it does not say how to sign in there (openid-configuration)")
        if len(self._known) >= MOST_PROVIDERS:
            self._known.clear()
        self._known[provider.issuer] = monotonic(), found
        return found

    def _published(self, body: bytes, issuer: str) -> _Endpoints | None:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            return None
        authorization, token = document.get("authorization_endpoint"), document.get("token_endpoint")
        if not self._can_be_asked(authorization) or not self._can_be_asked(token):
            return None
        return _Endpoints(str(authorization), str(token))

    def _can_be_asked(self, url: object) -> bool:
        form = urls.form(local_allowed=self._local_allowed)
        return isinstance(url, str) and len(url) <= LONGEST_URL and form.fullmatch(url) is not None

    def _client(self, provider: IdentityProviderView, callback: str) -> Any:
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        from infra.guarded_transport import GuardedTransport

        assert provider.client is not None, "people sign in there"
        return AsyncOAuth2Client(
            provider.client.client_id,
            token_endpoint_auth_method="none",  # noqa: S106  # a public client has no secret
            scope=f"openid {provider.client.scope or ''}".strip(),
            redirect_uri=callback,
            code_challenge_method="S256",
            transport=GuardedTransport(local_allowed=self._local_allowed),
        )


def _signs_in_by_id_token(provider: IdentityProviderView) -> bool:
    """ID tokens are for the client; where tokens are to be for somebody else, that is the access token."""
    return provider.client is not None and provider.audience == provider.client.client_id


def _is_of_this_attempt(id_token: str, provider: IdentityProviderView, nonce: str) -> bool:
    """Whether the provider made an ID token for us and for this attempt. It comes from the provider itself, so its signature
    is not needed for that (OpenID Connect Core 3.1.3.7)."""
    import jwt

    try:
        claims = jwt.decode(id_token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return False
    assert provider.client is not None, "people sign in there"
    for_us = provider.client.client_id in identity.names_in(claims.get("aud"))
    return for_us and claims.get("iss") == provider.issuer and claims.get("nonce") == nonce
