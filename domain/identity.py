"""Identity: what the tokens of a customer's own identity provider say about a person, and what that allows here.

Deny first: a person without a role that is mapped has no access, and no token makes an operator.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from domain import urls
from domain.attribution import is_identifier
from domain.refusals import FieldProblem

MOST_VALUES: Final = 50
LONGEST_URL: Final = 1_000
# Of an issuer or audience: both stand in one index.
LONGEST_NAME: Final = 300
LONGEST_SUBJECT: Final = 100

# Claims that hold several values in one text, by their standards (RFC 8693, and what others call it).
_LISTS_IN_TEXT: Final = ("scope", "scp")
_DIGITS_OF_DIGEST: Final = 16
# Names of scopes with a blank between them, as RFC 6749 writes them.
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*", re.ASCII)


class GrantedRole(StrEnum):
    """What a role claim may stand for; where a person has several, the first of these counts."""

    ADMIN = "ADMIN"
    SERVICE = "SERVICE"
    MEMBER = "MEMBER"


@dataclass(frozen=True, slots=True)
class SignInClient:
    """As what people sign in at their provider: a public client, without a secret. `scope`: what it asks for besides
    openid; None: nothing."""

    client_id: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class RoleMapping:
    """The claim that says what a person is, and which of its values stand for which role."""

    claim: str
    values: tuple[tuple[GrantedRole, tuple[str, ...]], ...]

    def of(self, role: GrantedRole) -> tuple[str, ...]:
        """The values that stand for a role."""
        return next((values for mapped, values in self.values if mapped is role), ())


def problems(
    issuer: str,
    audience: str,
    jwks_url: str,
    mapping: RoleMapping,
    client: SignInClient | None = None,
    *,
    local_allowed: bool,
) -> tuple[FieldProblem, ...]:
    """What is wrong with an identity provider. `client` None: nobody signs in there. `local_allowed`: its keys may also come
    over plain http."""
    found: list[FieldProblem] = []
    for path, text in (("issuer", issuer), ("audience", audience)):
        if not _can_be_named(text):
            found.append(FieldProblem(path, f"must be as its tokens say it, 1 to {LONGEST_NAME} characters of ASCII"))
    if len(jwks_url) > LONGEST_URL or urls.form(local_allowed=local_allowed).fullmatch(jwks_url) is None:
        found.append(
            FieldProblem("jwksUrl", "must be a URL such as https://id.example.com/jwks.json, without user and fragment")
        )
    if not is_identifier(mapping.claim):
        found.append(FieldProblem("roleClaim", "must name the claim that holds roles, such as roles or groups"))
    values = [value for _, mapped in mapping.values for value in mapped]
    if not 1 <= len(values) <= MOST_VALUES or not all(map(is_identifier, values)):
        found.append(FieldProblem("roles", f"1 to {MOST_VALUES} values of the claim in all, each 1 to 200 characters"))
    elif len(set(values)) < len(values):
        found.append(FieldProblem("roles", "a value stands for one role: name it once"))
    return (*found, *_client_problems(issuer, client, local_allowed=local_allowed)) if client else tuple(found)


def role_of(claims: Mapping[str, Any], mapping: RoleMapping) -> GrantedRole | None:
    """What verified claims allow; None: nothing."""
    held = frozenset(_values(claims, mapping.claim))
    return next((role for role in GrantedRole if held.intersection(mapping.of(role))), None)


def actor(subject: str) -> str:
    """How the ledger names a person: `jwt:<subject>`. What cannot be shown or is too long is replaced, and the name stays
    that person's own by a digest; also where a `#` could make it look like another's."""
    if is_identifier(subject) and len(subject) <= LONGEST_SUBJECT and "#" not in subject:
        return f"jwt:{subject}"
    digest = sha256(subject.encode(errors="surrogatepass")).hexdigest()[:_DIGITS_OF_DIGEST]
    shown = "".join(character if character.isprintable() else "?" for character in subject[:LONGEST_SUBJECT])
    return f"jwt:{shown.strip()}#{digest}"


def names_in(claim: object) -> list[str]:
    """The issuers or audiences that a claim names: one text, or a list of them. What no provider can be called is left
    out."""
    named = claim if isinstance(claim, list) else [claim]
    return [each for each in named[:MOST_VALUES] if isinstance(each, str) and _can_be_named(each)]


def _client_problems(issuer: str, client: SignInClient, *, local_allowed: bool) -> Iterable[FieldProblem]:
    if urls.form(local_allowed=local_allowed).fullmatch(issuer) is None:
        yield FieldProblem("issuer", "must be the https URL below which the provider says how to sign in there")
    if not _can_be_named(client.client_id):
        yield FieldProblem("clientId", f"must be as the provider says it, 1 to {LONGEST_NAME} characters of ASCII")
    scope = client.scope
    if scope is not None and (len(scope) > LONGEST_NAME or _SCOPE.fullmatch(scope) is None):
        yield FieldProblem("signInScope", f"must be names with a blank between them, {LONGEST_NAME} characters in all")


def _values(claims: Mapping[str, Any], name: str) -> Iterable[str]:
    found = claims.get(name)
    if found is None:
        # Keycloak's roles lie deeper: realm_access.roles.
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return found.split() if name in _LISTS_IN_TEXT else [found]
    return [value for value in found if isinstance(value, str)] if isinstance(found, list) else []


def _can_be_named(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isascii() and text.isprintable()
