"""Catalog: what operators publish. Old versions stay, and what was reserved under them is settled by them.

One publication at a time is checked and written, over all processes, so that each is checked against all before it and
takes its moment after theirs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain import ids
from domain.audit_log import AuditEvent, event_by
from domain.books import Operation, Request
from domain.catalog import Catalog
from domain.ids import NIL
from domain.money import format_amount
from domain.refusals import IdempotencyKeyReused, InvalidInput, NotFound, Refusal, invalid
from domain.reservations import key_problems
from infra.application import Application
from infra.audit_log import record
from infra.catalog.publications import LOCK_PUBLISHING, Publication, PublicationKind, addition_of, write
from infra.catalog.reading import CatalogError, Table
from infra.catalog.rows import Row, rate_card, row_of_rate
from infra.idempotency_keys import USED_KEY, WRITE_KEY
from infra.services.callers import Caller, Refused
from infra.services.commands import refused, request_of
from infra.services.tenants import SLUG
from infra.transaction import Connection, transaction

Body = dict[str, Any]

_NAMED_BY: Final = {
    PublicationKind.RATE_CARD: ("version",),
    PublicationKind.PRICE: ("provider", "model", "operation"),
    PublicationKind.PROVIDER: ("slug",),
    PublicationKind.PLAN: ("region", "key"),
    PublicationKind.BUNDLE: ("region", "key"),
}
_PUBLICATION: Final = "SELECT kind, tenant_id, body, published_at FROM publication WHERE sequence = $1"
_TENANT_BY_SLUG: Final = "SELECT id FROM tenant WHERE slug = $1"
_TENANT_BY_ID: Final = "SELECT id FROM tenant WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Published:
    """What was published: its first row (a price has one for each other name of its model)."""

    sequence: int
    row: Row
    tenant_id: UUID | None
    published_at: datetime


async def publish_rate_card(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    row: Body,
    *,
    tenant: str | None = None,
    based_on: int | None = None,
    without: tuple[str, ...] = (),
) -> Published | Refused:
    """Publish the next version of the rate card, for one tenant alone if it is named. `row` is a card's as in the data
    files, with its rates, without a number. Based on another version it inherits what it does not state: each rate of
    `row` replaces the feature's rate on that wallet or is added, and the features of `without` are left out."""

    def completed(catalog: Catalog, body: Body) -> Body | Refusal:
        body = {**body, "version": catalog.next_version()}
        return body if based_on is None else _based_on(catalog, tenant_id, based_on, without, body)

    asked = _Asked(application, caller, Operation.PUBLISH_RATE_CARD, idempotency_key, (row, tenant, based_on, without))
    tenant_id = None if tenant is None else await _tenant(application, tenant)
    if tenant is not None and tenant_id is None:
        return asked.refused(NotFound("tenant"))
    if without and based_on is None:
        return asked.refused(invalid("without", "features are left out of the version that basedOn names: give it"))
    if based_on is None and row.get("credit_value") is None and row.get("markup") is None:
        return asked.refused(invalid("based_on", "give basedOn, or creditValue, markup and rates"))
    return await _publish(asked, PublicationKind.RATE_CARD, tenant_id, row, completed)


async def publish_price(
    application: Application, caller: Caller, idempotency_key: str, row: Body, *, tenant: str | None = None
) -> Published | Refused:
    """Publish a price, for one tenant alone if it is named. An empty range (effective_to = effective_from) withdraws
    the price with that start."""
    asked = _Asked(application, caller, Operation.PUBLISH_PRICE, idempotency_key, (row, tenant))
    tenant_id = None if tenant is None else await _tenant(application, tenant)
    if tenant is not None and tenant_id is None:
        return asked.refused(NotFound("tenant"))
    return await _publish(asked, PublicationKind.PRICE, tenant_id, row)


async def publish_provider(
    application: Application, caller: Caller, idempotency_key: str, row: Body
) -> Published | Refused:
    """Publish a provider, or another version of one: with all of its products."""
    asked = _Asked(application, caller, Operation.PUBLISH_PROVIDER, idempotency_key, row)
    return await _publish(asked, PublicationKind.PROVIDER, None, row)


async def publish_plan(
    application: Application, caller: Caller, idempotency_key: str, row: Body
) -> Published | Refused:
    """Publish a plan, or another version of one: running cycles keep what they were granted."""
    asked = _Asked(application, caller, Operation.PUBLISH_PLAN, idempotency_key, row)
    return await _publish(asked, PublicationKind.PLAN, None, row)


async def publish_bundle(
    application: Application, caller: Caller, idempotency_key: str, row: Body
) -> Published | Refused:
    """Publish a bundle, or another version of one: what was ordered keeps its price."""
    asked = _Asked(application, caller, Operation.PUBLISH_BUNDLE, idempotency_key, row)
    return await _publish(asked, PublicationKind.BUNDLE, None, row)


async def publish_prices(application: Application, caller: Caller, rows: Iterable[Body]) -> None:
    """Publish prices for everybody, all or none. Raises CatalogError where one cannot be taken."""
    keeper = application.catalogs
    async with application.writers.acquire() as connection:
        async with transaction(connection):
            await connection.execute(LOCK_PUBLISHING)
            await keeper.load(connection)
            at = _moment(application)
            publications = [Publication(PublicationKind.PRICE, None, _dated(row, at), at) for row in rows]
            keeper.checked(publications)
            for publication in publications:
                sequence = await write(connection, publication, caller.actor)
                request = Request(NIL, caller.actor, Operation.PUBLISH_PRICE, "", b"", caller.role.value)
                await record(connection, _event(request, publication, sequence), at=at)
        await keeper.load(connection)


class _Asked:
    """Who asked for what, to be refused or answered again under the same key."""

    def __init__(self, application: Application, caller: Caller, operation: Operation, key: str, asked: object) -> None:
        self.application = application
        self.request: Request = request_of(caller, operation, key, asked)

    def refused(self, refusal: Refusal) -> Refused:
        return refused(self.application, self.request.tenant_id, self.request.operation, refusal)


async def _publish(
    asked: _Asked,
    kind: PublicationKind,
    tenant_id: UUID | None,
    row: Body,
    completed: Callable[[Catalog, Body], Body | Refusal] = lambda _, body: body,
) -> Published | Refused:
    application, request = asked.application, asked.request
    wrong = key_problems(request.idempotency_key)
    if wrong:
        return asked.refused(InvalidInput(tuple(wrong)))
    place = (tenant_id or NIL, request.operation.value, request.idempotency_key)
    keeper = application.catalogs
    async with application.writers.acquire() as connection:
        async with transaction(connection):
            await connection.execute(LOCK_PUBLISHING)
            used = await connection.fetchrow(USED_KEY, *place)
            if used is not None:
                return await _again(connection, asked, tuple(used))
            await keeper.load(connection)
            at = _moment(application)
            try:
                body = completed(keeper.current, _dated(row, at))
                if not isinstance(body, dict):
                    return asked.refused(body)
                publication = Publication(kind, tenant_id, body, at)
                keeper.checked([publication])
            except CatalogError as error:
                return asked.refused(invalid(error.path or "input", error.problem))
            sequence = await write(connection, publication, request.actor)
            await connection.execute(WRITE_KEY, *place, request.hash, UUID(int=sequence), at)
            await record(connection, _event(request, publication, sequence), at=at)
        await keeper.load(connection)
    return _published(sequence, publication)


def _event(request: Request, publication: Publication, sequence: int) -> AuditEvent:
    """What the audit log says: what was published, by the keys that find it in the catalog. What it comes to is there, for
    those who may see it."""
    kind, tenant_id, body, _ = publication
    name = "/".join(str(body[key]) for key in _NAMED_BY[kind] if body.get(key) is not None)
    details = (("sequence", sequence), ("effectiveFrom", body["effective_from"]))
    return event_by(request._replace(tenant_id=tenant_id or NIL), f"{kind.lower()}:{name}", *details)


async def _again(connection: Connection, asked: _Asked, used: Sequence[Any]) -> Published | Refused:
    """The same request is answered as it was."""
    if used[0] != asked.request.hash:
        return asked.refused(IdempotencyKeyReused(asked.request.idempotency_key))
    sequence = used[1].int
    row = await connection.fetchrow(_PUBLICATION, sequence)
    assert row is not None, "publications stay"
    return _published(sequence, Publication.read(*row))


def _published(sequence: int, publication: Publication) -> Published:
    addition = addition_of(publication)
    return Published(sequence, addition.rows[0], publication.tenant_id, publication.published_at)


def _moment(application: Application) -> datetime:
    """The moment of a publication: none is older than the one before, whatever the clocks of two processes say."""
    now, last = application.clock(), application.catalogs.last_published_at
    return now if last is None else max(now, last)


def _dated(row: Body, at: datetime) -> Body:
    """What is published without a date holds from now on."""
    return row if row.get("effective_from") is not None else {**row, "effective_from": at.isoformat()}


def _based_on(
    catalog: Catalog, tenant_id: UUID | None, number: int, without: tuple[str, ...], body: Body
) -> Body | Refusal:
    own = catalog if tenant_id is None else catalog.for_tenant(tenant_id)
    card = own.rate_cards.version(number)
    if card is None:
        return NotFound(f"rate card {number}")
    unknown = sorted(set(without).difference(rate.feature for rate in card.rates))
    if unknown:
        return invalid("without", f"version {number} has no feature {', '.join(unknown)}")
    inherited = {"credit_value": format_amount(card.credit_value), "markup": format_amount(card.markup)}
    stated = {**inherited, **body}
    # Read alone first: what is wrong in these rates is said by its place among them.
    given = rate_card(Table("", stated)).rates if stated.get("rates") else ()
    rates = {(rate.feature, rate.wallet_key): rate for rate in card.rates if rate.feature not in without}
    rates.update({(rate.feature, rate.wallet_key): rate for rate in given})
    whole = {**stated, "rates": [row_of_rate(rate) for rate in rates.values()]}
    try:
        rate_card(Table("", whole))
    except CatalogError as error:
        if not error.path.startswith("rates["):
            raise
        raise CatalogError("", "rates", f"with those of version {number}: {error.problem}") from error
    return whole


async def _tenant(application: Application, tenant: str) -> UUID | None:
    identifier = ids.parse("tenant", tenant)
    found: UUID | None = None
    if identifier is not None:
        found = await application.across_tenants.fetchval(_TENANT_BY_ID, identifier)
    elif SLUG.fullmatch(tenant) is not None:
        found = await application.across_tenants.fetchval(_TENANT_BY_SLUG, tenant)
    return found
