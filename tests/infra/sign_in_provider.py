"""An identity provider at which people sign in: the authorization code flow with PKCE over HTTP, and it remembers codes."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.in_process import Listener
from tests.infra.identity_provider import IdentityProvider

CLIENT_ID: Final = "console"


class SignInProvider(IdentityProvider):
    """Whoever comes is signed in already, as somebody with `claims`. `spoilt`: what its ID tokens say wrongly. `answer`:
    what its token endpoint answers instead; `document`: what its discovery says instead."""

    def __init__(self, origin: str) -> None:
        super().__init__(f"{origin}/jwks")
        self.issuer = f"{origin}/realm"
        self.origin = origin
        self.claims: dict[str, Any] = {"sub": "anna", "roles": ["staff"]}
        self.access_claims: dict[str, Any] = {}
        self.spoilt: dict[str, Any] = {}
        self.document: dict[str, Any] = {}
        self.token_answer: Response | None = None
        self.asked: dict[str, str] = {}
        self._codes: dict[str, dict[str, str]] = {}

    async def discover(self, _request: Request) -> Response:
        endpoints = {
            "authorization_endpoint": f"{self.origin}/authorize?kept=1",
            "token_endpoint": f"{self.origin}/token",
        }
        return JSONResponse({"issuer": self.issuer, **endpoints, **self.document})

    async def authorize(self, request: Request) -> Response:
        self.asked = dict(request.query_params)
        wanted = {"response_type": "code", "client_id": CLIENT_ID, "code_challenge_method": "S256", "kept": "1"}
        if any(self.asked.get(name) != value for name, value in wanted.items()):
            return Response(status_code=400)
        code = f"code-{len(self._codes)}"
        self._codes[code] = self.asked
        back = urlencode({"code": code, "state": self.asked["state"], "iss": self.issuer})
        return RedirectResponse(f"{self.asked['redirect_uri']}?{back}", 303)

    async def exchange(self, request: Request) -> Response:
        given = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if self.token_answer is not None:
            return self.token_answer
        known = self._codes.pop(given.get("code", ""), None)
        challenge = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        if (
            known is None
            or known["code_challenge"] != base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
            or given.get("client_id") != known["client_id"]
            or given.get("redirect_uri") != known["redirect_uri"]
            or given.get("grant_type") != "authorization_code"
            or "authorization" in request.headers
        ):
            return JSONResponse({"error": "invalid_grant", "error_description": "<script>no</script>"}, 400)
        person = {"iss": self.issuer, **self.claims}
        id_token = self.token(**person | {"aud": CLIENT_ID, "nonce": known["nonce"]} | self.spoilt)
        access_token = self.token(**person | {"aud": known.get("audience")} | self.access_claims)
        return JSONResponse({"token_type": "Bearer", "access_token": access_token, "id_token": id_token})


@asynccontextmanager
async def sign_in_provider() -> AsyncIterator[SignInProvider]:
    """Answer until the end of the block."""
    listener = Listener()
    provider = SignInProvider(listener.origin)
    routes = [
        Route("/jwks", provider.publish),
        Route("/realm/.well-known/openid-configuration", provider.discover),
        Route("/authorize", provider.authorize),
        Route("/token", provider.exchange, methods=["POST"]),
    ]
    async with listener.serving(Starlette(routes=routes)):
        yield provider


def kept(cookie: str) -> dict[str, str]:
    """What a cookie of ours keeps in the browser."""
    found: dict[str, str] = orjson.loads(base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4)))
    return found
