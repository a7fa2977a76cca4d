"""An identity provider on a real server: it signs tokens, publishes its keys, and counts who asks for them."""

import base64
import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tests.in_process import Listener

ISSUER: Final = "https://id.acme.example/"
AUDIENCE: Final = "purser"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Made once: it takes a while."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def published(key: PrivateKey, key_id: str, **members: Any) -> dict[str, Any]:
    """A key as it stands in a set."""
    if isinstance(key, rsa.RSAPrivateKey):
        written = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())
    elif isinstance(key, Ed25519PrivateKey):
        written = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key())
    else:
        written = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())
    return {**json.loads(written), "kid": key_id, "use": "sig"} | members


class IdentityProvider:
    """`keys`: what it publishes at the moment. `answer`: what it answers instead."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[dict[str, Any]] = [published(ec_key(), "ec"), published(rsa_key(), "rsa")]
        self.answer: Response | None = None
        self.fetches = 0

    async def publish(self, request: Request) -> Response:
        self.fetches += 1
        if request.url.path == "/elsewhere":
            return RedirectResponse("/jwks")
        return self.answer or Response(json.dumps({"keys": self.keys}), media_type="application/json")

    def token(
        self, *, key: Any = None, algorithm: str = "ES256", headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token of a member; what is None is left out."""
        now = int(datetime.now(UTC).timestamp())
        said = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "anna",
            "iat": now,
            "exp": now + 600,
            "roles": ["staff"],
        } | claims
        claimed = {name: claim for name, claim in said.items() if claim is not None}
        with warnings.catch_warnings():
            # Some keys are weak on purpose.
            warnings.simplefilter("ignore", jwt.warnings.InsecureKeyLengthWarning)
            return jwt.encode(
                claimed,
                ec_key() if key is None else key,
                algorithm,
                {"kid": "ec"} if headers is None else headers,
            )


@asynccontextmanager
async def identity_provider() -> AsyncIterator[IdentityProvider]:
    """Answer until the end of the block."""
    listener = Listener()
    provider = IdentityProvider(f"{listener.origin}/jwks")
    async with listener.serving(Starlette(routes=[Route("/{rest:path}", provider.publish)])):
        yield provider


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"x") -> str:
    """A token as no library would write it."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
