"""Publications: what operators added to the catalog after the data files. Rows are only ever added.

A publication's body has the keys of a row in the data files, and is read by the same functions. Publishing takes a lock
for its transaction, so that sequence numbers become visible in their own order: who has seen one has seen all before it.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from domain.catalog import Addition, Catalog
from infra.catalog import rows
from infra.catalog.loading import check_references
from infra.catalog.reading import Table
from infra.transaction import Connection

NEWEST_PUBLICATION: Final = "(SELECT coalesce(max(sequence), 0) FROM publication)"
LOCK_PUBLISHING: Final = "SELECT pg_advisory_xact_lock(hashtextextended('purser:publication', 0))"

_READ: Final = "SELECT sequence, kind, tenant_id, body, published_at FROM publication WHERE sequence > $1 ORDER BY 1"
_WRITE: Final = """
INSERT INTO publication (kind, tenant_id, body, actor, published_at) VALUES ($1, $2, $3, $4, $5) RETURNING sequence"""


class PublicationKind(StrEnum):
    """What is published."""

    RATE_CARD = "RATE_CARD"
    PRICE = "PRICE"
    PROVIDER = "PROVIDER"
    PLAN = "PLAN"
    BUNDLE = "BUNDLE"


class Publication(NamedTuple):
    """One row. `tenant_id`: for whom alone it holds; None for everybody."""

    kind: PublicationKind
    tenant_id: UUID | None
    body: dict[str, Any]
    published_at: datetime

    @classmethod
    def read(cls, kind: str, tenant_id: UUID | None, body: str, published_at: datetime) -> "Publication":
        """From the values of a row of the table."""
        return cls(PublicationKind(kind), tenant_id, orjson.loads(body), published_at)


class CatalogKeeper:
    """The catalog of this process: the data files, and all publications up to `version`."""

    def __init__(self, seed: Catalog) -> None:
        self._seed = seed
        self._additions: list[Addition] = []
        self.current = seed
        self.version = 0
        self.last_published_at: datetime | None = None

    async def load(self, connection: Connection) -> None:
        """Read what was published and is not known here yet."""
        found = await connection.fetch(_READ, self.version)
        # Another batch of this process may have read the same rows meanwhile.
        fresh = [row for row in found if row[0] > self.version]
        if not fresh:
            return
        additions = [addition_of(Publication.read(*values)) for _, *values in fresh]
        self.current = self._seed.with_additions([*self._additions, *additions])
        self._additions.extend(additions)
        self.version = fresh[-1][0]
        self.last_published_at = fresh[-1][4]

    async def refresh(self, connection: Connection, version: int) -> None:
        """Read what was published up to a version, unless it is known here."""
        if version > self.version:
            await self.load(connection)

    def checked(self, publications: Iterable[Publication]) -> Catalog:
        """The catalog with these publications, which are not written yet. Raises CatalogError on any mistake."""
        additions = [addition_of(publication) for publication in publications]
        catalog = self._seed.with_additions([*self._additions, *additions])
        for addition in additions:
            for row in addition.rows:
                check_references(catalog, row)
        return catalog


def addition_of(publication: Publication) -> Addition:
    """A publication as rows of the catalog. Raises CatalogError, with the path of the key, on any mistake."""
    table = Table("", {**publication.body, "published_at": publication.published_at})
    return Addition(_rows(publication.kind, table, publication.tenant_id is not None), publication.tenant_id)


def _rows(kind: PublicationKind, table: Table, for_tenant: bool) -> tuple[rows.Row, ...]:
    match kind:
        case PublicationKind.RATE_CARD:
            return (rows.rate_card(table, for_tenant=for_tenant),)
        case PublicationKind.PRICE:
            return tuple(rows.prices(table, for_tenant=for_tenant))
        case PublicationKind.PROVIDER:
            return (rows.provider(table),)
        case PublicationKind.PLAN:
            return (rows.plan(table),)
        case PublicationKind.BUNDLE:
            return (rows.bundle(table),)


async def write(connection: Connection, publication: Publication, actor: str) -> int:
    """Add a publication under the lock; answers its sequence."""
    kind, tenant_id, body, published_at = publication
    values = (kind.value, tenant_id, orjson.dumps(body).decode(), actor, published_at)
    sequence: int = await connection.fetchval(_WRITE, *values)
    return sequence
