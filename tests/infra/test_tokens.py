"""Tokens of identity providers: who is let in by one, and all the ways in which nobody is."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.responses import Response

from domain.identity import GrantedRole, RoleMapping
from infra import jwks
from infra.application import Application
from infra.jwks import ProviderUnavailableError, UnusableKeysError, usable_keys
from infra.services import api_keys, tokens
from infra.services.api_keys import Keyring
from infra.services.callers import Caller, Refused, Role
from infra.services.identity_providers import remove_identity_provider, set_identity_provider
from infra.services.tokens import LONGEST_TOKEN
from infra.settings import Settings
from tests.infra.builders import open_tenant, standing_still
from tests.infra.identity_provider import (
    AUDIENCE,
    ISSUER,
    IdentityProvider,
    ec_key,
    forged,
    identity_provider,
    published,
    rsa_key,
)

pytestmark = pytest.mark.anyio

MAPPING = RoleMapping(
    "roles",
    ((GrantedRole.ADMIN, ("boss",)), (GrantedRole.SERVICE, ("bot",)), (GrantedRole.MEMBER, ("staff",))),
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Where keys may come from this machine."""
    return replace(settings, local_identity_providers_allowed=True, requests_per_minute=600)


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "SECONDS_REMEMBERED", 0.0)
    monkeypatch.setattr(api_keys, "WRONG_PER_MINUTE", 10_000)


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with identity_provider() as running:
        yield running


@pytest.fixture
async def keyring(application: Application, caller: Caller, provider: IdentityProvider) -> Keyring:
    """Knows the provider as the caller's tenant's."""
    await register(application, caller, provider.url)
    return Keyring(application)


async def register(application: Application, caller: Caller, url: str, audience: str = AUDIENCE) -> Any:
    key = f"{url} {audience}"
    return await set_identity_provider(application, caller, key, ISSUER, audience, url, MAPPING)


async def test_a_person_is_let_in_with_the_role_that_is_mapped(
    keyring: Keyring, provider: IdentityProvider, caller: Caller
) -> None:
    ed, ps = Ed25519PrivateKey.generate(), rsa_key()
    provider.keys += [published(ed, "ed"), published(ps, "ps", alg="PS256", key_ops=["verify"])]
    for token, role in (
        (provider.token(), Role.MEMBER),
        (provider.token(roles="boss"), Role.ADMIN),
        (provider.token(roles=["staff", "bot", "other"]), Role.SERVICE),
        (provider.token(aud=["other", AUDIENCE]), Role.MEMBER),
        (provider.token(key=rsa_key(), algorithm="RS256", headers={"kid": "rsa"}), Role.MEMBER),
        (provider.token(key=rsa_key(), algorithm="PS512", headers={"kid": "rsa"}), Role.MEMBER),
        (provider.token(key=ps, algorithm="PS256", headers={"kid": "ps"}), Role.MEMBER),
        (provider.token(key=ed, algorithm="EdDSA", headers={"kid": "ed"}), Role.MEMBER),
        (provider.token(nbf=int(time.time()) + 10, iat=int(time.time()) + 10), Role.MEMBER),
    ):
        found = await keyring.authenticate(token, "globex")
        assert found == Caller(caller.tenant_id, role, "jwt:anna"), "whatever tenant is named"
        assert found is not None
        assert found.credential is not None
        assert (found.credential.key_id, found.credential.requests_per_minute) == (None, 600)
        assert found.credential.expires_at is not None
    assert provider.fetches == 1


async def test_nobody_is_let_in_by_anything_else(keyring: Keyring, provider: IdentityProvider) -> None:
    now = int(time.time())
    pem = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "exp": now + 600, "roles": ["boss"]}
    confused = forged({"alg": "HS256", "kid": "rsa"}, claims).rsplit(".", 1)[0]
    signature = hmac.digest(pem, confused.encode(), hashlib.sha256)
    other = ec.generate_private_key(ec.SECP256R1())
    good = provider.token(roles=["boss"])
    head, body, signed = good.split(".")
    altered = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "other"}).encode()).rstrip(b"=").decode()
    provider.keys += [published(rsa_key(1024), "weak"), published(ec_key(), "for-encryption", use="enc")]
    provider.keys += [published(rsa_key(), "only-ps", alg="PS256")]
    for why, token in {
        "signed with the public key as a secret": f"{confused}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}",
        "not signed": forged({"alg": "none", "kid": "ec"}, claims, b""),
        "said to be not signed": forged({"alg": "none", "kid": "ec"}, claims),
        "an algorithm that is none": forged({"alg": ["ES256"], "kid": "ec"}, claims),
        "by another key": provider.token(key=other),
        "by a key that it brings along": provider.token(
            key=other, headers={"kid": "ec", "jwk": published(other, "ec"), "jku": provider.url}
        ),
        "by an unknown key": provider.token(headers={"kid": "unknown"}),
        "by no key of several": provider.token(headers={}),
        "a key id that is none": forged({"alg": "ES256", "kid": 5}, claims),
        "another algorithm's key": provider.token(headers={"kid": "rsa"}),
        "a key for another algorithm": provider.token(key=rsa_key(), algorithm="RS256", headers={"kid": "only-ps"}),
        "a weak key": provider.token(key=rsa_key(1024), algorithm="RS256", headers={"kid": "weak"}),
        "a key for encryption": provider.token(headers={"kid": "for-encryption"}),
        "altered": f"{head}.{altered}.{signed}",
        "cut short": f"{head}.{body}.{signed[:20]}",
        "for somebody else": provider.token(aud="another"),
        "for nobody": provider.token(aud=None),
        "of another issuer": provider.token(iss="https://id.globex.example/"),
        "of no issuer": provider.token(iss=None),
        "of two issuers": forged({"alg": "ES256", "kid": "ec"}, {**claims, "iss": [ISSUER, ISSUER]}),
        "expired": provider.token(exp=now - 1),
        "without an end": provider.token(exp=None),
        "without a sensible end": provider.token(exp=10**18),
        "with an infinite end": provider.token(exp=float("inf")),
        "not yet": provider.token(nbf=now + 120),
        "from the future": provider.token(iat=now + 120),
        "of nobody": provider.token(sub=None),
        "of somebody without a name": provider.token(sub=""),
        "without a role": provider.token(roles=None),
        "with an unknown role": provider.token(roles=["OPERATOR", "Staff"]),
        "too long": provider.token(more="x" * LONGEST_TOKEN),
        "a NUL": provider.token(iss="a\0b"),
        "half a character": forged({"alg": "ES256", "kid": "ec"}, {**claims, "iss": "\ud800"}),
        "deep": f"{head}.{base64.urlsafe_b64encode(b'[' * 3000).decode()}.{signed}",
        "no JSON": "a.b.c",
        "a list": forged([], []),  # type: ignore[arg-type]
        "four parts": f"{good}.x",
        "five parts": "a.b.c.d.e",
    }.items():
        assert await keyring.authenticate(token, None) is None, why
    assert await keyring.authenticate(good, None) is not None
    assert provider.fetches == 1, "whatever keys they name"


async def test_forged_key_ids_do_not_make_us_hammer_the_provider(
    keyring: Keyring, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    storm = [provider.token(headers={"kid": f"forged {n}"}) for n in range(100)]
    assert await asyncio.gather(*[keyring.authenticate(token, None) for token in storm]) == [None] * 100
    assert provider.fetches == 1
    new = ec.generate_private_key(ec.SECP256R1())
    token = provider.token(key=new, headers={"kid": "new"})
    provider.keys.append(published(new, "new"))
    assert await keyring.authenticate(token, None) is None, "not before the next fetch may be"
    monkeypatch.setattr(jwks, "SECONDS_BETWEEN_FETCHES", 0.0)
    assert await keyring.authenticate(token, None) is not None, "a new key is known at once"
    assert provider.fetches == 2
    del provider.keys[0]
    monkeypatch.setattr(jwks, "SECONDS_FRESH", 0.0)
    assert await keyring.authenticate(provider.token(), None) is None, "a key that was withdrawn"


async def test_a_provider_that_fails_is_done_without_for_a_while(
    keyring: Keyring, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token = provider.token()
    provider.answer = Response(status_code=503)
    with pytest.raises(ProviderUnavailableError):
        await keyring.authenticate(token, None)
    provider.answer = None
    monkeypatch.setattr(jwks, "SECONDS_BETWEEN_FETCHES", 0.0)
    assert await keyring.authenticate(token, None) is not None
    monkeypatch.setattr(jwks, "SECONDS_FRESH", 0.0)
    for answer in (
        Response(status_code=500),
        Response("{", media_type="application/json"),
        Response("x" * (jwks.MOST_BYTES + 1)),
        Response('{"keys": []}'),
        Response(status_code=302, headers={"Location": "/jwks"}),
    ):
        provider.answer = answer
        assert await keyring.authenticate(token, None) is not None, "its last keys still do"
    monkeypatch.setattr(jwks, "SECONDS_STALE", 0.0)
    with pytest.raises(ProviderUnavailableError):
        await keyring.authenticate(token, None)
    assert "it answered 302" in caplog.text
    assert token not in caplog.text


async def test_sets_with_secrets_and_redirects_and_private_addresses_are_not_used(
    application: Application, caller: Caller, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    private = json.loads(json.dumps(published(ec_key(), "ec"))) | {"d": "c2VjcmV0"}
    symmetric = {"kty": "oct", "kid": "s", "k": "c2VjcmV0"}
    for keys in ([private], [published(ec_key(), "ec"), symmetric], {"a": 1}, ["x"], [published(ec_key(), "e")] * 101):
        with pytest.raises(UnusableKeysError):
            usable_keys(json.dumps({"keys": keys}).encode())
    await register(application, caller, provider.url.replace("/jwks", "/elsewhere"))
    with pytest.raises(ProviderUnavailableError):
        await Keyring(application).authenticate(provider.token(), None)
    assert (provider.fetches, "it answered 307" in caplog.text) == (1, True)
    object.__setattr__(application, "settings", replace(application.settings, local_identity_providers_allowed=False))
    with pytest.raises(ProviderUnavailableError):
        await Keyring(application).authenticate(provider.token(), None)
    assert provider.fetches == 1
    for url in ("https://localhost/jwks", "https://169.254.169.254/jwks", provider.url):
        refused = await register(application, caller, url)
        assert isinstance(refused, Refused), url
        assert refused.refusal.message.startswith("jwksUrl: ")


async def test_a_key_that_cannot_be_read_is_passed_over(
    keyring: Keyring, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.keys += [
        {"kty": "EC", "crv": "P-256", "x": "!", "y": "?", "kid": "broken"},
        published(ec_key(), "odd", key_ops=5),
        {"kty": "RSA", "n": "A" * 9_000, "e": "AQAB", "kid": "huge"},
    ]
    assert await keyring.authenticate(provider.token(headers={"kid": "broken"}), None) is None
    huge = provider.token(key=rsa_key(), algorithm="RS256", headers={"kid": "huge"})
    assert await keyring.authenticate(huge, None) is None
    assert await keyring.authenticate(provider.token(), None) is not None
    assert "cannot be read" in caplog.text


async def test_an_issuer_and_audience_lead_to_one_tenant(
    application: Application, caller: Caller, keyring: Keyring, provider: IdentityProvider
) -> None:
    globex = await open_tenant(application, "globex", credits="1")
    taken = await register(application, globex, provider.url + "?2")
    assert isinstance(taken, Refused)
    assert taken.refusal.message.startswith("Issuer and audience lead to another tenant")
    assert not isinstance(await register(application, globex, provider.url, "globex's"), Refused)
    theirs = await keyring.authenticate(provider.token(aud="globex's"), None)
    assert theirs is not None
    assert theirs.tenant_id == globex.tenant_id
    both = provider.token(aud=[AUDIENCE, "globex's"])
    assert await keyring.authenticate(both, None) is None, "nobody can say whose it is"


async def test_a_provider_that_is_removed_lets_nobody_in_and_may_be_another_tenants(
    application: Application, caller: Caller, keyring: Keyring, provider: IdentityProvider
) -> None:
    known = await register(application, caller, provider.url)
    changed = await set_identity_provider(
        application, caller, "again", ISSUER, AUDIENCE, provider.url, RoleMapping("groups", MAPPING.values)
    )
    assert not isinstance(changed, Refused)
    assert changed.id == known.id
    assert await keyring.authenticate(provider.token(), None) is None
    assert await keyring.authenticate(provider.token(groups=["bot"]), None) is not None
    removed = await remove_identity_provider(application, caller, "r", known.id)
    assert await remove_identity_provider(application, caller, "r", known.id) == removed
    assert await keyring.authenticate(provider.token(groups=["bot"]), None) is None
    globex = await open_tenant(application, "globex", credits="1")
    assert not isinstance(await register(application, globex, provider.url), Refused)


async def test_the_only_key_of_a_provider_needs_no_id(keyring: Keyring, provider: IdentityProvider) -> None:
    provider.keys = [published(ec_key(), "ec")]
    del provider.keys[0]["kid"]
    assert await keyring.authenticate(provider.token(headers={}), None) is not None


async def test_a_token_is_remembered_for_a_moment_and_never_beyond_its_end(
    keyring: Keyring, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(api_keys, "SECONDS_REMEMBERED", 60.0)
    token = provider.token()
    found = await keyring.authenticate(token, None)
    assert found is not None
    with monkeypatch.context() as patch:
        patch.setattr(keyring._tokens, "caller", None)
        assert await keyring.authenticate(token, None) is found
    assert found.credential is not None
    assert found.credential.expires_at is not None
    for module in (api_keys, tokens):
        monkeypatch.setattr(module, "datetime", standing_still(found.credential.expires_at))
    assert await keyring.authenticate(token, None) is None
    assert token not in caplog.text
