"""Tokens of customers' own identity providers: JWTs (RFC 7519), verified by the keys that the provider publishes.

A token leads to one provider, which an operator has registered for one tenant, by its issuer and audience. It must be
signed by an asymmetric algorithm with one of that provider's keys, say when it ends, and hold a role that is mapped.
Whatever is wrong, the answer is the same: nobody.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from domain import identity
from infra.application import Application
from infra.jwks import ALGORITHMS, KeySets
from infra.queries.identity_providers import IdentityProviderView, of_token
from infra.services.callers import Caller, Credential, Role

if TYPE_CHECKING:
    from jwt import PyJWK

LONGEST_TOKEN: Final = 8_192
LONGEST_KEY_ID: Final = 256
# How far the provider's clock may be ahead of ours. A token's end is its end.
LEEWAY: Final = timedelta(seconds=30)

_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_REQUIRED: Final = ["exp", "iss", "aud", "sub"]


class _Said(NamedTuple):
    """What a token says of itself, believed by nobody yet."""

    algorithm: str
    key_id: str | None
    issuer: str
    audiences: list[str]


class Tokens:
    """Tells whom a token stands for."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._keys = KeySets(local_allowed=application.settings.local_identity_providers_allowed)

    @staticmethod
    def may_be(text: str) -> bool:
        """Whether a text has the form of a token, of a length that is looked at."""
        return len(text) <= LONGEST_TOKEN and _FORM.fullmatch(text) is not None

    async def caller(self, token: str) -> Caller | None:
        """The person or program that a token stands for; None for none. Raises ProviderUnavailableError."""
        said = _said(token)
        if said is None:
            return None
        provider = await of_token(self._application, said.issuer, said.audiences)
        if provider is None:
            return None
        key = await self._keys.find(provider.jwks_url, said.key_id, said.algorithm)
        claims = None if key is None else _verified(token, key, provider)
        if claims is None:
            return None
        return _caller(claims, provider, self._application.settings.requests_per_minute)


def _said(token: str) -> _Said | None:
    import jwt

    try:
        decoded = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return None
    header, claims = decoded["header"], decoded["payload"]
    algorithm, key_id = header.get("alg"), header.get("kid")
    issuer, audiences = identity.names_in(claims.get("iss")), identity.names_in(claims.get("aud"))
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or len(issuer) != 1 or not audiences:
        return None
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= LONGEST_KEY_ID):
        return None
    return _Said(algorithm, key_id, issuer[0], audiences)


def _verified(token: str, key: "PyJWK", provider: IdentityProviderView) -> dict[str, Any] | None:
    import jwt

    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=provider.audience,
            issuer=provider.issuer,
            leeway=LEEWAY,
            options={"require": _REQUIRED},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        return None
    return claims


def _caller(claims: dict[str, Any], provider: IdentityProviderView, requests_per_minute: int | None) -> Caller | None:
    subject, role = claims["sub"], identity.role_of(claims, provider.mapping)
    try:
        ends = datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    if role is None or not subject or ends <= datetime.now(UTC):
        return None
    actor = identity.actor(subject)
    # By tenant and name, so that what is counted stays short however long the subject is.
    credential = Credential(f"{provider.id}:{actor}", None, ends, requests_per_minute)
    return Caller(provider.tenant_id, Role(role), actor, credential)
