"""The tables as Piccolo Admin reads them for operators: as the overseer, through two connections that nothing else uses, on
which no transaction can write and no statement takes longer than `SECONDS`.

A table knows of the columns that `infra.admin_columns` shows, and of no other: the rest can neither be read, nor filtered
or ordered by.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from piccolo import columns
from piccolo.engine.postgres import PostgresEngine
from piccolo.query.methods.count import Count
from piccolo.table import Table, create_table_class
from pydantic import BeforeValidator, PlainSerializer

from infra.admin_columns import SHOWN
from infra.application import Application
from infra.roles import OVERSEER

SECONDS: Final = 10
MOST_CONNECTIONS: Final = 2
PLACE: Final = "ctid"
HELP: Final = (
    "As it is stored: credits and dollars in billionths, prices and expenses in the smallest unit of their currency. "
    "Nothing can be changed here."
)

_TYPES: Final = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"""


class _Exact(columns.BigInt):
    """Amounts are counted in billionths, and browsers round whole numbers beyond 2^53: so they are told as text."""

    value_type = Annotated[int, PlainSerializer(str, when_used="json")]


class _Place(columns.Column):
    """Where a row lies (`ctid`): tells rows apart, for as long as nobody changes them, where no column does."""

    value_type = Annotated[str, BeforeValidator(lambda place: "-".join(map(str, place)))]


class _Count(columns.Integer):
    """`customers_won.count` has the name by which Piccolo counts rows: called, it does that."""

    def __call__(self) -> Count:
        return Count(self._meta.table)


def engine_of(application: Application) -> PostgresEngine:
    """What reads the tables, not connected yet."""
    reading = {
        "application_name": "purser admin",
        "default_transaction_read_only": "on",
        "statement_timeout": f"{SECONDS * 1000:.0f}",
        "jit": "off",
    } | ({"role": OVERSEER} if application.separate_roles else {})
    return PostgresEngine({"dsn": application.url, "server_settings": reading})


async def types_of_columns(engine: PostgresEngine) -> dict[str, dict[str, str]]:
    """The columns of each table, and their types in PostgreSQL. Partitions are read through their table."""
    found: dict[str, dict[str, str]] = {}
    for row in await engine.run_ddl(_TYPES):
        table, column, kind = row.values()
        found.setdefault(table, {})[column] = kind
    return found


def key_of(table: str) -> list[str]:
    """The columns that a table's rows are ordered by."""
    return SHOWN[table][0].split()


def columns_of(table: str) -> list[str]:
    """All columns of a table that are shown."""
    return " ".join(SHOWN[table]).split()


def identity_of(table: str) -> str | None:
    """The column that tells a table's rows apart by itself; None where there is none. Every `id` is a UUID of its own, but
    for a scope's, which its tenant chose."""
    key = key_of(table)
    return key[-1] if len(key) == 1 or (key[-1] == "id" and table != "scope") else None


def piccolo_tables(engine: PostgresEngine, types: Mapping[str, Mapping[str, str]]) -> list[type[Table]]:
    """A class for each shown table, with the shown columns alone, read by `engine`. Where no column tells rows apart, they
    have `PLACE` as well, and no table in partitions may be among those."""
    return [_piccolo_table(engine, table, types[table]) for table in SHOWN]


def _piccolo_table(engine: PostgresEngine, table: str, types: Mapping[str, str]) -> type[Table]:
    identity = identity_of(table)
    members = {column: _column(column, types[column], primary_key=column == identity) for column in columns_of(table)}
    if identity is None:
        members[PLACE] = _Place(primary_key=True)
    name = "".join(part.capitalize() for part in table.split("_"))
    about = {"tablename": table, "db": engine, "help_text": HELP}
    return create_table_class(name, class_kwargs=about, class_members=members)


def _column(name: str, kind: str, *, primary_key: bool) -> columns.Column:
    common: dict[str, Any] = {"null": True, "default": None, "primary_key": primary_key}
    if name == "count":
        return _Count(**common)
    if kind.endswith("[]"):
        return columns.Array(_COLUMNS[kind[:-2]](), **common)
    return _COLUMNS[kind](**common)


_COLUMNS: Final[Mapping[str, type[columns.Column]]] = {
    "bigint": _Exact,
    "boolean": columns.Boolean,
    "character varying": columns.Text,
    "date": columns.Date,
    "integer": columns.Integer,
    "json": columns.JSON,
    "jsonb": columns.JSONB,
    "numeric": columns.Numeric,
    "smallint": columns.SmallInt,
    "text": columns.Text,
    "timestamp with time zone": columns.Timestamptz,
    "timestamp without time zone": columns.Timestamp,
    "uuid": columns.UUID,
}
