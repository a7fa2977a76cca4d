"""The commands `keys`, `rotate-key` and `revoke-key`: API keys of operators, and of any tenant, from the command line."""

import json
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import typer

from domain import ids
from domain.refusals import Conflict, NotFound
from graphql_api.administration import AdministrationError, opened_for, tenant_named
from graphql_api.calling import program
from infra.queries import api_keys as query
from infra.queries.api_keys import ApiKeyView
from infra.services import key_changes
from infra.services.key_changes import KeyMade, Rotation
from infra.settings import Settings

ROTATES: Final = "cli:rotate-key"
REVOKES: Final = "cli:revoke-key"

_COLUMNS: Final = ("ID", "NAME", "ROLE", "HINT", "STATE", "LAST USED")


async def list_keys(settings: Settings, url: str, tenant: str | None, *, as_json: bool) -> None:
    """Print the keys of a tenant, or (None) of operators."""
    async with opened_for(settings, url) as application:
        tenant_id = None if tenant is None else await tenant_named(application, tenant)
        keys = await query.list_keys(application, tenant_id)
        now = application.clock()
    if as_json:
        typer.echo(json.dumps([_as_document(key) for key in keys], indent=2))
        return
    rows = [_COLUMNS, *(_as_row(key, now) for key in keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


async def rotate_key(settings: Settings, url: str, key: str, overlap_seconds: int, *, as_json: bool) -> None:
    """Put a new key in the place of one, and print it."""
    key_id = _id_of(key)
    async with opened_for(settings, url) as application:
        made = await key_changes.rotate_any_key(application, Rotation(key_id, overlap_seconds), ROTATES)
    if not isinstance(made, KeyMade):
        raise AdministrationError(_none(key) if isinstance(made, NotFound) else made.message)
    assert made.replaced is not None, "a rotation replaces a key"
    assert made.token is not None, "it was made now"
    if as_json:
        document = {"token": made.token, "key": _as_document(made.key), "replaced": _as_document(made.replaced)}
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(made.token)
    typer.echo(f"The old key works until {_moment(made.replaced.revoked_at or made.replaced.expires_at)}.", err=True)


async def revoke_key(settings: Settings, url: str, key: str, *, force: bool, as_json: bool) -> None:
    """End a key."""
    key_id = _id_of(key)
    async with opened_for(settings, url) as application:
        revoked = await key_changes.revoke_any_key(application, key_id, REVOKES, force=force)
    if isinstance(revoked, NotFound):
        raise AdministrationError(_none(key))
    if isinstance(revoked, Conflict):
        raise AdministrationError(f"{revoked.message} Here: --force.")
    if as_json:
        typer.echo(json.dumps(_as_document(revoked), indent=2))
    else:
        typer.echo(f"Key {key} ({revoked.name}) is revoked since {_moment(revoked.revoked_at)}.")


def _id_of(key: str) -> UUID:
    found = ids.parse("api_key", key)
    if found is None:
        raise AdministrationError(f"{key[:80]!r} is no key's id: `{program()} keys` shows them (key_...).")
    return found


def _none(key: str) -> str:
    return f"There is no key {key}: `{program()} keys` and `{program()} keys --tenant ...` show those that there are."


def _as_row(key: ApiKeyView, now: datetime) -> tuple[str, ...]:
    state = "in force"
    if not key.in_force(now):
        state = "expired" if key.revoked_at is None else "revoked"
    elif key.expires_at is not None:
        state = f"until {_moment(key.expires_at)}"
    used = "never" if key.last_used_at is None else _moment(key.last_used_at)
    return (ids.public("api_key", key.id), key.name, key.role.lower(), key.hint or "-", state, used)


def _as_document(key: ApiKeyView) -> dict[str, Any]:
    return {
        "id": ids.public("api_key", key.id),
        "tenant": None if key.tenant_id is None else ids.public("tenant", key.tenant_id),
        "name": key.name,
        "role": key.role,
        "hint": key.hint,
        "createdAt": key.created_at.isoformat(),
        "createdBy": key.created_by,
        "expiresAt": None if key.expires_at is None else key.expires_at.isoformat(),
        "lastUsedAt": None if key.last_used_at is None else key.last_used_at.isoformat(),
        "revokedAt": None if key.revoked_at is None else key.revoked_at.isoformat(),
        "requestsPerMinute": key.requests_per_minute,
        "replacedBy": None if key.replaced_by is None else ids.public("api_key", key.replaced_by),
    }


def _moment(moment: datetime | None) -> str:
    assert moment is not None, "there is one"
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
