"""Signing keys of identity providers: fetched from where a provider publishes them (JWKS, RFC 7517), bounded and cached.

A key that is not known is asked for at once, but each address only so often: forged key ids cannot make us hammer a
provider. While it does not answer, the keys that it had go on being used, up to a bound.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import orjson

from infra.guarded_requests import NoAnswerError, whole_answer

if TYPE_CHECKING:
    from jwt import PyJWK

SECONDS_TO_ANSWER: Final = 5.0
SECONDS_BETWEEN_FETCHES: Final = 30.0
SECONDS_FRESH: Final = 600.0
SECONDS_STALE: Final = 86_400.0
MOST_BYTES: Final = 200_000
MOST_KEYS: Final = 100
MOST_PROVIDERS: Final = 1_000

# What each algorithm signs with: asymmetric ones alone, so that no published key can ever be a shared secret.
ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
SMALLEST_RSA: Final = 2_048
LARGEST_RSA: Final = 8_192
# Members of keys that must not be published: of private ones, and of symmetric ones.
_SECRET: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")

_log: Final = logging.getLogger(__name__)


class ProviderUnavailableError(Exception):
    """The keys of an identity provider cannot be had at this moment, and none are kept that would do."""

    def __init__(self) -> None:
        super().__init__("the identity provider does not give its keys: try again later")


class UnusableKeysError(Exception):
    """What a provider published is no set of keys to be trusted; the message says why."""


@dataclass(slots=True)
class _KeySet:
    keys: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    parsed: dict[tuple[str, str], "PyJWK | None"] = field(default_factory=dict)
    fetched_at: float | None = None
    tried_at: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def age(self) -> float:
        """Seconds since the keys were fetched."""
        return float("inf") if self.fetched_at is None else monotonic() - self.fetched_at

    def may_try(self) -> bool:
        return self.tried_at is None or monotonic() - self.tried_at >= SECONDS_BETWEEN_FETCHES


class KeySets:
    """The keys of all providers that were asked for."""

    def __init__(self, *, local_allowed: bool) -> None:
        self._local_allowed = local_allowed
        self._sets: dict[str, _KeySet] = {}

    async def find(self, url: str, key_id: str | None, algorithm: str) -> "PyJWK | None":
        """The key that a token says it was signed with; None: the provider has no such key for this algorithm. Without an
        id, the provider must have one key only. Raises ProviderUnavailableError."""
        known = self._sets.get(url)
        if known is None:
            if len(self._sets) >= MOST_PROVIDERS:
                self._sets.clear()
            known = self._sets[url] = _KeySet()
        if (key_id in known.keys or key_id is None) and known.age() < SECONDS_FRESH:
            return _parsed(known, key_id, algorithm)
        # Who has a key that will do does not wait for one who fetches.
        if known.may_try() or (known.lock.locked() and key_id not in known.keys):
            async with known.lock:
                if known.may_try():
                    await self._fetch(url, known)
        if known.age() >= SECONDS_STALE:
            raise ProviderUnavailableError
        return _parsed(known, key_id, algorithm)

    async def _fetch(self, url: str, known: _KeySet) -> None:
        known.tried_at = monotonic()
        try:
            known.keys = usable_keys(await self._read(url))
        except (NoAnswerError, UnusableKeysError) as error:
            _log.warning("an identity provider's keys were not fetched: %s", error)
        else:
            known.fetched_at = monotonic()
            known.parsed.clear()

    async def _read(self, url: str) -> bytes:
        status, body = await whole_answer(
            "GET",
            url,
            {"Accept": "application/json"},
            seconds=SECONDS_TO_ANSWER,
            most_bytes=MOST_BYTES,
            local_allowed=self._local_allowed,
        )
        if status != 200:
            raise UnusableKeysError(f"it answered {status}")
        return body


def usable_keys(body: bytes) -> dict[str, Mapping[str, Any]]:
    """The keys of a set that verify signatures, by their ids (without one, by its number). Raises UnusableKeysError for
    what is no set, and for one with secrets in it: who publishes those is not to be trusted at all."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnusableKeysError("they are no JSON") from error
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys) or len(keys) > MOST_KEYS:
        raise UnusableKeysError(f"they are no set of at most {MOST_KEYS} keys")
    if any(name in key for key in keys for name in _SECRET):
        raise UnusableKeysError("there are private or symmetric keys among them")
    found: dict[str, Mapping[str, Any]] = {}
    for number, key in enumerate(keys):
        operations = key.get("key_ops", ["verify"])
        if key.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
            continue
        if any(key.get("kty") == kind for kind, _ in ALGORITHMS.values()):
            key_id = key.get("kid")
            found[key_id if isinstance(key_id, str) else f"#{number}"] = key
    if not found:
        raise UnusableKeysError("none of them verifies signatures")
    return found


def _parsed(known: _KeySet, key_id: str | None, algorithm: str) -> "PyJWK | None":
    if key_id is None:
        if len(known.keys) != 1:
            return None
        (key_id,) = known.keys
    if key_id not in known.keys:
        return None
    place = (key_id, algorithm)
    if place not in known.parsed:
        known.parsed[place] = _key(known.keys[key_id], algorithm)
    return known.parsed[place]


def _key(published: Mapping[str, Any], algorithm: str) -> "PyJWK | None":
    """A key for one algorithm; None where it is for another one, or too weak or too large to be worked with."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    kind, curve = ALGORITHMS[algorithm]
    if published.get("kty") != kind or published.get("alg", algorithm) != algorithm:
        return None
    if curve is not None and published.get("crv") != curve:
        return None
    if kind == "RSA" and len(str(published.get("n"))) > LARGEST_RSA // 4:
        return None
    try:
        found = jwt.PyJWK(dict(published), algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        _log.warning("a key of an identity provider cannot be read: it is passed over")
        return None
    if isinstance(found.key, RSAPublicKey) and found.key.key_size < SMALLEST_RSA:
        return None
    return found
