"""Piccolo Admin at /admin/, over real HTTP: who gets in, what is shown, and that nothing is changed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import httpx
import pytest

from graphql_api.admin_endpoint import AdminEndpoint
from graphql_api.app import create_app
from infra import admin_tables
from infra.admin_columns import HIDDEN, SHOWN
from infra.application import Application
from infra.services import api_keys
from infra.services.callers import Caller, Role
from infra.transaction import Connection
from tests.graphql_api.client import SCHEMA
from tests.in_process import Listener
from tests.infra.builders import new_key, open_tenant, revoke_key

pytestmark = pytest.mark.anyio

PAGE: Final = "/admin/"
TABLES: Final = "/admin/api/tables/"
SECRET: Final = "not to be seen"
LARGE: Final = 2**53 + 1
# A value of each type, for tables of which nobody checks any more what they hold.
VALUES: Final[dict[str, Any]] = {
    "bigint": LARGE,
    "boolean": True,
    "bytea": SECRET.encode(),
    "character varying": "text",
    "date": datetime.now(UTC).date(),
    "integer": 7,
    "integer[]": [7],
    "json": '{"of": "json"}',
    "jsonb": '{"of": "json"}',
    "numeric": LARGE,
    "smallint": 7,
    "text": "text",
    "text[]": ["text"],
    "timestamp with time zone": datetime.now(UTC),
    "timestamp without time zone": datetime.now(UTC).replace(tzinfo=None),
    "uuid": "01a21381-8b68-7fcd-85f6-57738f19a5f7",
}
UNCHECK: Final = """
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT conname, conrelid::regclass AS of_table FROM pg_constraint
        WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace AND conislocal AND conparentid = 0
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.of_table, found.conname);
    END LOOP;
END $$"""


@asynccontextmanager
async def served(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that shows the tables."""
    listener = Listener()
    async with (
        listener.serving(create_app(application, SCHEMA, admin=AdminEndpoint)),
        httpx.AsyncClient(base_url=listener.origin, timeout=30) as client,
    ):
        yield client


@pytest.fixture
async def http(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    async with served(application) as client:
        yield client


@asynccontextmanager
async def as_owner(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def signed_in(application: Application, client: httpx.AsyncClient, role: Role = Role.OPERATOR) -> None:
    """The client has the session of a new key from now on."""
    tenant = None if role is Role.OPERATOR else (await open_tenant(application, role.lower())).tenant_id
    key = await new_key(application, tenant, role, "looks at tables")
    client.cookies.set("purser_session", key.token)


async def rows(client: httpx.AsyncClient, table: str, **params: str) -> list[dict[str, Any]]:
    response = await client.get(f"{TABLES}{table}/", params=params)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["rows"]
    return found


async def fill(connection: Connection, types: dict[str, dict[str, str]]) -> None:
    """Put one row into each table, whatever it may hold."""
    await connection.execute(UNCHECK)
    for table, columns in types.items():
        values = [
            SECRET if f"{table}.{name}" in HIDDEN and kind == "text" else VALUES[kind] for name, kind in columns.items()
        ]
        places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        await connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE VALUES ({places}) ON CONFLICT DO NOTHING",
            *values,
        )


async def types_of(application: Application) -> dict[str, dict[str, str]]:
    return await admin_tables.types_of_columns(admin_tables.engine_of(application))


async def test_of_every_table_and_column_somebody_has_decided_whether_operators_see_it(
    application: Application,
) -> None:
    there = {f"{table}.{column}" for table, columns in (await types_of(application)).items() for column in columns}
    shown = {f"{table}.{column}" for table in SHOWN for column in admin_tables.columns_of(table)}
    undecided = there - shown - HIDDEN.keys()
    assert not undecided, (
        f"Nobody has decided whether operators see {', '.join(sorted(undecided))} in Piccolo Admin: name each in SHOWN of "
        "infra/admin_columns.py or, where it holds a secret or bytes, in HIDDEN with the reason."
    )
    assert not shown & HIDDEN.keys(), "what is hidden cannot be shown"
    assert shown | HIDDEN.keys() == there, "SHOWN and HIDDEN of infra/admin_columns.py name what there is not"


async def test_bytes_are_never_shown(application: Application) -> None:
    for table, columns in (await types_of(application)).items():
        assert {f"{table}.{column}" for column, kind in columns.items() if kind == "bytea"} <= HIDDEN.keys()


@pytest.mark.own_database
async def test_operators_see_rows_of_every_table_exactly_and_no_secret(
    application: Application, database_url: str, http: httpx.AsyncClient
) -> None:
    await signed_in(application, http)
    types = await types_of(application)
    async with as_owner(database_url) as connection:
        await fill(connection, types)
    assert (await http.get(TABLES)).json() == sorted(SHOWN)
    for table in SHOWN:
        found = await rows(http, table)
        count = (await http.get(f"{TABLES}{table}/count/")).json()["count"]
        schema = await http.get(f"{TABLES}{table}/schema/")
        assert count == len(found) >= 1, table
        names = admin_tables.columns_of(table)
        (row,) = [row for row in found if row[names[0]] in {VALUES["uuid"], str(LARGE), 7}]
        assert set(row) - {"ctid"} == set(names), table
        assert SECRET not in str(found)
        assert not {name for name in types[table] if f"{table}.{name}" in HIDDEN} & schema.json()["properties"].keys()
        assert {row[name] for name in names if types[table][name] == "bigint"} <= {str(LARGE)}, table
        identity = admin_tables.identity_of(table)
        if identity is not None:
            assert (await http.get(f"{TABLES}{table}/{row[identity]}/")).json()[identity] == row[identity]
        assert (await http.get(f"{TABLES}{table}/references/")).json() == {"references": []}


async def test_rows_are_filtered_and_ordered_and_paged_also_in_partitions(
    application: Application, http: httpx.AsyncClient
) -> None:
    await signed_in(application, http)
    acme, globex = [await open_tenant(application, slug, credits="300", metered="50") for slug in ("acme", "globex")]
    async with application.writers.acquire() as connection:
        for day, tenant in ((1, acme), (2, globex), (3, acme)):
            await connection.execute(
                "INSERT INTO usage_event (tenant_id, id, occurred_at, recorded_at, kind, route, calls, input_tokens,"
                " output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, success, credits_charged,"
                " usd_charged, under_reservation)"
                " VALUES ($1, gen_random_uuid(), $2, $2, $3, 'MANAGED', 1, 0, 0, 0, 0, 0, true, 0, 0, false)",
                tenant.tenant_id,
                datetime(2026, 10 + day % 2, day, tzinfo=UTC),
                "LLM" if day < 3 else "TOOL",
            )
    of_acme = {"tenant_id": str(acme.tenant_id)}
    assert [row["kind"] for row in await rows(http, "usage_event", **of_acme)] == ["TOOL", "LLM"]
    assert [row["kind"] for row in await rows(http, "usage_event", __order="occurred_at", **of_acme)] == [
        "LLM",
        "TOOL",
    ]
    assert len(await rows(http, "usage_event", kind="llm")) == 2
    assert len(await rows(http, "usage_event", occurred_at="2026-10-02T00:00:00Z", occurred_at__operator="gt")) == 2
    pages = [await rows(http, "usage_event", __page_size="2", __page=page) for page in ("1", "2")]
    assert [len(page) for page in pages] == [2, 1]
    assert {row["unit"] for row in await rows(http, "wallet", key="metered", **of_acme)} == {"USD"}
    for table in ("wallet", "ledger_entry"):
        of_one, of_all = [
            (await http.get(f"{TABLES}{table}/count/", params=which)).json()["count"] for which in (of_acme, {})
        ]
        assert 0 < of_one < of_all
    for table, parameter, value in (
        ("api_key", "hash", "x"),
        ("api_key", "__order", "-hash"),
        ("api_key", "__visible_fields", "id,hash"),
        ("audit_event", "details", "{}"),
        ("wallet", "__page_size", "-1"),
        ("wallet", "__range_header_name", "x\r\nset-cookie: purser_session"),
    ):
        refused = await http.get(f"{TABLES}{table}/", params={parameter: value, "__range_header": "true"})
        assert refused.status_code == 400, parameter
    assert (await http.get(f"{TABLES}wallet/", params={"tenant_id": "nobody"})).status_code == 422


@pytest.mark.parametrize("role", [None, Role.ADMIN, Role.MEMBER, Role.SERVICE])
async def test_nobody_but_an_operator_gets_in(
    application: Application, http: httpx.AsyncClient, role: Role | None
) -> None:
    if role is not None:
        await signed_in(application, http, role)
    page = await http.get(PAGE)
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/admin/")
    for path in (TABLES, f"{TABLES}tenant/", "/admin/public/meta/", "/admin/assets/any.js", "/admin/api/user/"):
        refused = await http.get(path)
        assert (refused.status_code, refused.json()) == (
            401 if role is None else 403,
            {"detail": "sign in as an operator at /sign-in"},
        )


async def test_a_key_in_a_header_opens_nothing(application: Application, http: httpx.AsyncClient) -> None:
    key = await new_key(application, None, Role.OPERATOR, "looks at tables")
    assert (await http.get(TABLES, headers={"Authorization": f"Bearer {key.token}"})).status_code == 401


async def test_what_piccolo_admin_answers_to_anybody_is_out_of_reach(
    application: Application, http: httpx.AsyncClient
) -> None:
    await signed_in(application, http)
    for path in (
        "public/login/",
        "public/logout/",
        "public/docs/",
        "public/openapi.json",
        "openapi.json",
        "api/openapi.json",
        "api/docs/",
        "api/change-password/",
        "api/mfa-setup/",
        "api/media/",
        "api/tables/tenant/ids/",
        "api/tables/piccolo_user/",
        "api/tables/usage_event_default/",
        "api/tables/ledger_entry/0-1/",
        "assets/../index.html",
        "assets/%2e%2e/index.html",
    ):
        assert (await http.get(f"/admin/{path}")).status_code == 404, path
        assert (await http.post(f"/admin/{path}")).status_code == 405, path


async def test_nothing_can_be_changed(application: Application, http: httpx.AsyncClient, acme: Caller) -> None:
    await signed_in(application, http)
    http.cookies.set("csrftoken", "a")
    for path in (f"{TABLES}tenant/", f"{TABLES}tenant/{acme.tenant_id}/"):
        for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
            refused = await http.request(method, path, headers={"X-CSRFToken": "a"})
            assert refused.status_code == 405, method


async def test_what_reads_the_tables_can_write_nothing_whoever_asks(application: Application) -> None:
    for opened in (application, replace(application, separate_roles=False)):
        engine = admin_tables.engine_of(opened)
        with pytest.raises((asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientPrivilegeError)):
            await engine.run_ddl("DELETE FROM tenant")


async def test_a_revoked_key_is_out_at_once(
    application: Application, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "SECONDS_REMEMBERED", 0.0)
    key = await new_key(application, None, Role.OPERATOR, "looks at tables")
    http.cookies.set("purser_session", key.token)
    user = await http.get("/admin/api/user/")
    assert user.json()["username"].startswith("key:")
    await revoke_key(application, key.id)
    assert (await http.get("/admin/api/user/")).status_code == 401
    assert (await http.get(PAGE)).status_code == 303


async def test_the_page_and_its_files_come_from_here_under_a_policy_of_their_own(
    application: Application, http: httpx.AsyncClient
) -> None:
    await signed_in(application, http)
    moved = await http.get("/admin")
    assert (moved.status_code, httpx.URL(moved.headers["location"]).path) == (307, PAGE)
    page = await http.get(PAGE)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; " in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy, "no other host"
    (script,) = [part for part in page.text.split('"') if part.endswith(".js")]
    loaded = await http.get(PAGE + script)
    assert loaded.headers["content-type"].startswith("text/javascript")
    assert loaded.headers["content-security-policy"] == policy


async def test_a_search_that_takes_too_long_is_given_up(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_tables, "SECONDS", 0.2)
    async with served(application) as http:
        await signed_in(application, http)
        assert await rows(http, "tenant") == []
        async with as_owner(application.url) as owner, owner.transaction():
            await owner.execute("LOCK TABLE alert")
            late = await http.get(f"{TABLES}alert/")
            assert (late.status_code, late.json()["detail"][:17]) == (503, "nothing was found")
        assert await rows(http, "alert") == []


async def test_it_works_where_roles_cannot_be_made(application: Application) -> None:
    async with served(replace(application, separate_roles=False)) as http:
        await signed_in(application, http)
        await open_tenant(application, credits="300")
        assert "credits" in {row["key"] for row in await rows(http, "wallet")}
