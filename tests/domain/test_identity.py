"""What the tokens of an identity provider allow."""

from typing import Any

import pytest

from domain import identity
from domain.identity import GrantedRole, RoleMapping, SignInClient

MAPPING = RoleMapping(
    "roles",
    (
        (GrantedRole.ADMIN, ("purser-admin",)),
        (GrantedRole.SERVICE, ("purser-worker", "bot")),
        (GrantedRole.MEMBER, ("staff",)),
    ),
)


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"roles": ["staff"]}, GrantedRole.MEMBER),
        ({"roles": "bot"}, GrantedRole.SERVICE),
        ({"roles": ["staff", "bot", "purser-admin"]}, GrantedRole.ADMIN),
        ({"roles": ["staff", "bot"]}, GrantedRole.SERVICE),
        ({"roles": ["Staff", 1, None, ["purser-admin"]]}, None),
        ({"roles": "not purser-admin"}, None),
        ({"roles": {"purser-admin": True}}, None),
        ({"roles": []}, None),
        ({"roles": True}, None),
        ({"role": "purser-admin"}, None),
        ({}, None),
    ],
)
def test_only_a_mapped_value_is_a_role(claims: dict[str, Any], role: GrantedRole | None) -> None:
    assert identity.role_of(claims, MAPPING) is role


def test_a_claim_may_lie_deeper_or_be_a_list_in_a_text() -> None:
    values = MAPPING.values
    deep = RoleMapping("realm_access.roles", values)
    assert identity.role_of({"realm_access": {"roles": ["staff"]}}, deep) is GrantedRole.MEMBER
    assert identity.role_of({"realm_access": ["staff"]}, deep) is None
    assert (
        identity.role_of({"realm_access.roles": "bot", "realm_access": {"roles": "staff"}}, deep) is GrantedRole.SERVICE
    )
    assert identity.role_of({"scope": "openid staff"}, RoleMapping("scope", values)) is GrantedRole.MEMBER
    assert RoleMapping("scope", ()).of(GrantedRole.ADMIN) == ()


def test_no_claim_makes_an_operator() -> None:
    assert "OPERATOR" not in set(GrantedRole)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        ({"issuer": "", "audience": "x" * 301}, ["issuer", "audience"]),
        ({"issuer": "a\0b"}, ["issuer"]),
        ({"jwks_url": "http://id.example.com/jwks"}, ["jwksUrl"]),
        ({"jwks_url": "https://user:password@id.example.com/jwks"}, ["jwksUrl"]),
        ({"jwks_url": "https://id.example.com/jwks#x"}, ["jwksUrl"]),
        ({"jwks_url": "https://id.example.com:65536/"}, ["jwksUrl"]),
        ({"jwks_url": "https://id.example.com/" + "x" * 1_000}, ["jwksUrl"]),
        ({"mapping": RoleMapping("", ((GrantedRole.ADMIN, ()),))}, ["roleClaim", "roles"]),
        ({"mapping": RoleMapping("r", ((GrantedRole.ADMIN, ("a", "")),))}, ["roles"]),
        ({"mapping": RoleMapping("r", ((GrantedRole.ADMIN, ("a",)), (GrantedRole.MEMBER, ("a",))))}, ["roles"]),
        ({"mapping": RoleMapping("r", ((GrantedRole.ADMIN, tuple("abc" + "d" * n for n in range(51))),))}, ["roles"]),
        ({"client": SignInClient("console")}, []),
        ({"client": SignInClient("console", "email groups api://purser/.default")}, []),
        ({"client": SignInClient("", "email  groups")}, ["clientId", "signInScope"]),
        ({"client": SignInClient("x" * 301, "x" * 301)}, ["clientId", "signInScope"]),
        ({"client": SignInClient("console", "")}, ["signInScope"]),
        ({"client": SignInClient("console", 'e"mail')}, ["signInScope"]),
        ({"client": SignInClient("console"), "issuer": "accounts.example.com"}, ["issuer"]),
        ({"client": SignInClient("console"), "issuer": "http://id.example.com"}, ["issuer"]),
    ],
)
def test_wrong_fields_are_named(change: dict[str, Any], wrong: list[str]) -> None:
    sound: dict[str, Any] = {
        "issuer": "https://id.example.com/",
        "audience": "purser",
        "jwks_url": "https://id.example.com:8443/jwks.json?x=1",
        "mapping": MAPPING,
    }
    assert [each.path for each in identity.problems(**{**sound, **change}, local_allowed=False)] == wrong


def test_plain_http_is_taken_where_it_is_allowed() -> None:
    assert identity.problems("i", "a", "http://127.0.0.1:99/jwks", MAPPING, local_allowed=True) == ()


def test_people_are_named_and_stay_apart_however_they_are_called() -> None:
    assert identity.actor("auth0|42") == "jwt:auth0|42"
    strange = [identity.actor(subject) for subject in ("x" * 101, "x" * 102, "a\nb", "a\tb", " a", "\ud800", "a\0b")]
    assert len(set(strange)) == len(strange)
    assert all(len(name) < 130 and name.isprintable() for name in strange)
    assert strange[2].startswith("jwt:a?b#")
    assert identity.actor(strange[2].removeprefix("jwt:")) != strange[2], "nobody gets a name by asking for it"


def test_issuers_and_audiences_that_nobody_can_have_are_left_out() -> None:
    assert identity.names_in("purser") == ["purser"]
    assert identity.names_in(["a", 1, None, "", "b\0", "\ud800", "x" * 301, "é", "b"]) == ["a", "b"]
    assert identity.names_in({"a": 1}) == []
    assert len(identity.names_in(["a"] * 1_000)) == identity.MOST_VALUES
