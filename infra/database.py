"""The database that the settings name: the given one, else the embedded server; migrated before it is used."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from infra.embedded_postgres import embedded_postgres
from infra.roles import APPLICATION, LEDGER, OVERSEER
from infra.schema import migrate
from infra.services.partitions import make_partitions
from infra.settings import Settings

OLDEST_VERSION: Final = 15
SECONDS_TO_CONNECT: Final = 15

# Once walled, the ledger belongs to a role of its own: to who has lost that role it would seem empty.
_HIDDEN: Final = """
SELECT FROM pg_class
WHERE relname = 'ledger_entry' AND relnamespace = 'public'::regnamespace AND row_security_active(oid)"""


class DatabaseError(RuntimeError):
    """The database cannot be used; the message says why and what to do, and never holds the password."""


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of the database; an embedded server runs as long as somebody is inside."""
    given = settings.database_url
    with embedded_postgres(settings.data_dir) if given is None else nullcontext(given) as url:
        yield url


async def connect(url: str) -> asyncpg.Connection:
    """One connection, with an error that says what to do where there is none to be had."""
    place = _place(url)
    try:
        connection = await asyncpg.connect(url, timeout=SECONDS_TO_CONNECT)
    except (OSError, TimeoutError) as error:
        raise DatabaseError(
            f"No PostgreSQL answers at {place} ({str(error) or 'no answer'}): start it, or correct DATABASE_URL."
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseError(f"PostgreSQL at {place} refuses the connection ({error}): correct DATABASE_URL.") from error
    version = connection.get_server_version().major
    if version < OLDEST_VERSION:
        await connection.close()
        raise DatabaseError(f"PostgreSQL at {place} is version {version}: Purser needs {OLDEST_VERSION} or later.")
    return connection


async def prepare(url: str) -> None:
    """See that the database answers, bring its schema up to date, and make the partitions of the coming months."""
    connection = await connect(url)
    try:
        await _see_that_nothing_is_hidden(connection)
    finally:
        await connection.close()
    try:
        await migrate(url)
        await make_partitions(url, datetime.now(UTC))
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseError(
            f"The role of DATABASE_URL may not make tables ({error}): use one that owns the database."
        ) from error


async def connect_to_books(url: str) -> asyncpg.Connection:
    """A connection to a database that has been migrated, for reading."""
    connection = await connect(url)
    if await connection.fetchval("SELECT to_regclass('ledger_entry')") is None:
        await connection.close()
        raise DatabaseError("The database holds no books yet: run `purser migrate`, or start `purser serve --demo`.")
    try:
        await _see_that_nothing_is_hidden(connection)
    except DatabaseError:
        await connection.close()
        raise
    return connection


async def _see_that_nothing_is_hidden(connection: asyncpg.Connection) -> None:
    if await connection.fetch(_HIDDEN):
        raise DatabaseError(
            "The ledger is hidden from the role of DATABASE_URL: use the role that made it, or have an administrator "
            f"GRANT {APPLICATION}, {LEDGER}, {OVERSEER} to this one."
        )


def _place(url: str) -> str:
    """Where it is, without user and password."""
    try:
        parts = urlsplit(url)
        place = f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"
    except ValueError:
        place = "DATABASE_URL"
    return place
