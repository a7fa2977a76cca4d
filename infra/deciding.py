"""Deciding: one batch of commands on one connection: lock, read, decide, write.

It neither opens nor commits the transaction: `infra.group_commit` does, for many callers at once.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from domain import funds, reservations, subscriptions
from domain.admission import Wish
from domain.audit_log import DECIDED_BY_PEOPLE, event_of
from domain.books import Books, Decision, Event, EventType, Operation, Request, Seen
from domain.catalog import Catalog
from domain.decisions import Answer, Command, decide
from domain.ids import NIL
from domain.prices import Tokens
from domain.refusals import NotFound, Refusal, ReservationState
from domain.reservations import Preview, Reserve
from domain.tenants import Tenant, cycle_is_due
from infra import books, changes
from infra.batch import Batch, open_batch
from infra.catalog.publications import CatalogKeeper
from infra.hints import USAGE, WALLETS
from infra.identifiers import new_id
from infra.tenant_books import read_campaigns
from infra.transaction import Connection

SYSTEM: Final = "system"
MOST_REGISTERED: Final = 100_000
# No two decisions about a tenant have the same moment, so that all that is kept tells their order. Deciding one takes longer
# than this: no batch's last moment lies ahead of the clock when the next one begins.
_NEXT: Final = timedelta(microseconds=1)

Clock = Callable[[], datetime]
Listener = Callable[[Sequence[tuple[UUID, Event]]], None]
Hint = Callable[[str, Collection[UUID]], None]


class CycleDue(Exception):
    """The tenant's cycle has begun and is not granted yet: `start_cycle` does it."""


def utc_now() -> datetime:
    """The clock at the outer edge."""
    return datetime.now(UTC)


class Decided(NamedTuple):
    """What a command was answered, and the moment at which it was decided."""

    answer: Answer
    at: datetime


class Deciding:
    """What every batch shares: the catalog, the deployment's switch, the clock, which ids are registered, who wants to
    hear at once what was committed (all of it is in the outbox too), and who is told whose figures changed by it."""

    def __init__(self, catalogs: CatalogKeeper, hint: Hint, *, own_keys_allowed: bool, clock: Clock = utc_now) -> None:
        self._catalogs = catalogs
        self._hint = hint
        self.clock = clock
        self._own_keys_allowed = own_keys_allowed
        self._registered: set[tuple[UUID, Seen]] = set()
        self.listeners: list[Listener] = []

    @property
    def catalog(self) -> Catalog:
        """The catalog as this process knows it; each batch first takes in what was published."""
        return self._catalogs.current

    async def run(self, connection: Connection, commands: Sequence[Command]) -> tuple[list[Decided], Batch]:
        """Decide the commands in order, each at a moment of its own, and write what they change. Call `committed` once it is
        committed."""
        batch = await self._open(connection, [command.request.tenant_id for command in commands])
        await self._fill(connection, batch, commands)
        views = {tenant_id: self._view(batch, tenant_id) for tenant_id in batch.tenants}
        answers: list[Decided] = []
        for command in commands:
            if answers:
                batch.now += _NEXT
            tenant_id = command.request.tenant_id
            view = views.get(tenant_id)
            if view is None:
                answers.append(Decided(NotFound("tenant"), batch.now))
                continue
            decision = decide(view, command, batch.now)
            while reservations.lacks_room(decision.answer) and await self._expire_due(
                connection, batch, tenant_id, command
            ):
                decision = decide(view, command, batch.now)
            batch.apply(tenant_id, decision.changes)
            if type(command) in DECIDED_BY_PEOPLE:
                _log(batch, command, decision)
            if decision.changes.tenant is not None:
                views[tenant_id] = self._view(batch, tenant_id)
            if decision.changes.events:
                await self._follow(connection, batch, tenant_id, decision.changes.events)
            answers.append(Decided(decision.answer, batch.now))
        await self._write(connection, batch)
        return answers, batch

    async def start_cycle(self, connection: Connection, tenant_id: UUID) -> tuple[Tenant | None, Batch]:
        """Grant the running cycle of a tenant, its first one too, unless it was; None: there is no such tenant. Call
        `committed` once it is committed."""
        batch = await self._open(connection, [tenant_id])
        opened = batch.tenants.get(tenant_id)
        if opened is None:
            return None, batch
        if opened.tenant.cycle is None:
            await self._start_cycle(connection, batch, tenant_id)
        await self._write(connection, batch)
        return opened.tenant, batch

    async def expire(self, connection: Connection, tenant_id: UUID) -> tuple[int, Batch]:
        """Book a tenant's overdue reservations, a bounded number of them; answers how many. Call `committed` once it is
        committed."""
        batch = await self._open(connection, [tenant_id])
        booked = await self._expire_due(connection, batch, tenant_id) if batch.tenants else 0
        await self._write(connection, batch)
        return booked, batch

    async def preview(self, connection: Connection, tenant_id: UUID, wish: Wish) -> Preview | Refusal:
        """What a reserve would answer now; nothing is locked or written."""
        nobody = Request(tenant_id, "", Operation.RESERVE, "", b"")
        batch = await self._read(connection, Reserve(nobody, NIL, wish))
        if tenant_id not in batch.tenants:
            return NotFound("tenant")
        view = self._view(batch, tenant_id)
        answer = reservations.preview(view, wish, batch.now)
        while reservations.lacks_room(answer) and await self._expire_due(connection, batch, tenant_id):
            answer = reservations.preview(view, wish, batch.now)
        return answer

    async def foresee(self, connection: Connection, commands: Sequence[Command]) -> list[Answer]:
        """What one tenant's commands would answer now, in turn; nothing is locked or written."""
        tenant_id = commands[0].request.tenant_id
        found = await books.lock(connection, [tenant_id], for_update=False)
        batch = await self._opened(connection, *found)
        answers: list[Answer] = []
        for command in commands:
            if tenant_id not in batch.tenants:
                answers.append(NotFound("tenant"))
                continue
            await self._fill(connection, batch, [command])
            decision = decide(self._view(batch, tenant_id), command, batch.now)
            batch.apply(tenant_id, decision.changes)
            answers.append(decision.answer)
        return answers

    async def rating(
        self, connection: Connection, tenant_id: UUID, features: Iterable[str | None]
    ) -> tuple[Books, datetime]:
        """What events of these features are rated by, and the time of it; nothing is locked. Raises CycleDue where a cycle
        has begun that is not granted: its plan says how usage is rated."""
        tenants, publication = await books.lock(connection, [tenant_id], for_update=False)
        await self._catalogs.refresh(connection, publication)
        batch = open_batch(tenants, self.clock())
        if any(cycle_is_due(tenant, batch.now) for tenant in tenants):
            raise CycleDue
        named = [(tenant_id, feature) for feature in features if feature is not None]
        await books.read_wallets(connection, batch, self.catalog, named, ())
        return self._view(batch, tenant_id), batch.now

    async def check_task(
        self,
        connection: Connection,
        tenant_id: UUID,
        reservation_id: UUID,
        running_cost: int | None,
        tokens: Tokens | None,
    ) -> bool | None:
        """Whether running work goes on; None: there is no such reservation."""
        tenants, publication = await books.lock(connection, [tenant_id], for_update=False)
        await self._catalogs.refresh(connection, publication)
        batch = open_batch(tenants, self.clock())
        if tenant_id not in batch.tenants:
            return None
        await books.read_reservations(connection, batch, [(tenant_id, reservation_id)])
        reservation = batch.tenants[tenant_id].reservations.get(reservation_id)
        if reservation is None:
            return None
        await books.read_budgets(connection, batch, ())
        return reservations.may_continue(self._view(batch, tenant_id), reservation, running_cost, tokens)

    def unregistered(self, tenant_id: UUID, named: Iterable[Seen]) -> list[Seen]:
        """Those of a customer's ids that this process has not seen registered."""
        return [seen for seen in named if (tenant_id, seen) not in self._registered]

    def committed(self, batch: Batch) -> None:
        """Remember which ids are registered now, so that they are not written again; tell what happened, and to whom."""
        if len(self._registered) > MOST_REGISTERED:
            self._registered.clear()
        self._registered.update(batch.seen)
        if batch.events:
            told = [(tenant_id, event) for tenant_id, event, _ in batch.events]
            for listen in self.listeners:
                listen(told)
        # A recharge says below which balance its wallet is low, and so in which status.
        self._hint(WALLETS, {place[0] for place in batch.wallets} | {place[0] for place in batch.recharges})
        self._hint(USAGE, {place[0] for place in batch.usage} | {place[0] for place in batch.amendments})

    def changed(self, tenant_ids: Collection[UUID]) -> None:
        """What was committed for these tenants may have changed anything of theirs."""
        for channel in (WALLETS, USAGE):
            self._hint(channel, tenant_ids)

    async def _open(self, connection: Connection, tenant_ids: Sequence[UUID]) -> Batch:
        """Lock the tenants and start a batch. Its time is taken under the lock, so that it never runs backwards."""
        return await self._opened(connection, *await books.lock(connection, tenant_ids, for_update=True))

    async def _read(self, connection: Connection, command: Command) -> Batch:
        found = await books.lock(connection, [command.request.tenant_id], for_update=False)
        batch = await self._opened(connection, *found)
        await self._fill(connection, batch, [command])
        return batch

    async def _fill(self, connection: Connection, batch: Batch, commands: Sequence[Command]) -> None:
        """Read what the commands may look at. A reservation can be under a rate card that was published while this batch
        waited for its tenant: then the catalog is read again, and the card's wallets."""
        await books.read(connection, batch, commands, self.catalog)
        if self._is_behind(batch):
            await self._catalogs.load(connection)
            await books.read_wallets(connection, batch, self.catalog, (), ())

    def _is_behind(self, batch: Batch) -> bool:
        for tenant_id, opened in batch.tenants.items():
            cards = self.catalog.for_tenant(tenant_id).rate_cards
            for reservation in opened.reservations.values():
                if cards.version(reservation.rate_card) is None:
                    return True
        return False

    async def _opened(self, connection: Connection, tenants: Sequence[Tenant], publication: int) -> Batch:
        """Empty books under the catalog as it is, but for cycles that have begun: whoever comes first in a new cycle finds
        it granted."""
        await self._catalogs.refresh(connection, publication)
        batch = open_batch(tenants, self.clock())
        for tenant in tenants:
            if cycle_is_due(tenant, batch.now):
                await self._start_cycle(connection, batch, tenant.id)
        return batch

    async def _start_cycle(self, connection: Connection, batch: Batch, tenant_id: UUID) -> None:
        tenant = batch.tenants[tenant_id].tenant
        await books.open_plan(connection, batch, tenant_id, self.catalog, [tenant.next_plan or tenant.plan])
        view = self._view(batch, tenant_id)
        batch.apply(tenant_id, subscriptions.start_cycle(view, new_id(batch.now), SYSTEM, batch.now))

    async def _follow(self, connection: Connection, batch: Batch, tenant_id: UUID, events: Sequence[Event]) -> None:
        """What follows at once from what was told: an empty prepaid wallet deactivates the campaigns."""
        if any(event.type is EventType.BALANCE_EMPTY for event in events):
            campaigns = await read_campaigns(connection, batch, tenant_id)
            batch.apply(tenant_id, funds.deactivate(campaigns))

    async def _write(self, connection: Connection, batch: Batch) -> None:
        await changes.write(connection, batch)
        fresh = [place for place in batch.seen if place not in self._registered]
        if fresh:
            await changes.register(
                connection, [(tenant_id, seen.key.kind.value, seen.key.id, seen.client) for tenant_id, seen in fresh]
            )

    def _view(self, batch: Batch, tenant_id: UUID) -> Books:
        return batch.tenants[tenant_id].view(self.catalog.for_tenant(tenant_id), self._own_keys_allowed)

    async def _expire_due(
        self, connection: Connection, batch: Batch, tenant_id: UUID, refused: Command | None = None
    ) -> int:
        """Before work is refused for lack of room, what overdue reservations hold goes back (PRODUCT.md 4). Answers
        how many were booked, a bounded number of them."""
        opened = batch.tenants[tenant_id]
        booked = self._give_back(batch, tenant_id, sorted(opened.spared), refused)
        if booked or opened.due_is_booked:
            return booked
        due = await books.read_due(connection, batch, tenant_id, self.catalog)
        return self._give_back(batch, tenant_id, due, refused)

    def _give_back(self, batch: Batch, tenant_id: UUID, due: Sequence[UUID], refused: Command | None) -> int:
        """Book these as expired, but spare for later commands what the refused one extends."""
        opened = batch.tenants[tenant_id]
        view = self._view(batch, tenant_id)
        booked = 0
        for reservation_id in due:
            reservation = opened.reservations[reservation_id]
            opened.spared.discard(reservation_id)
            if reservations.gives_way(reservation, refused, batch.now):
                batch.apply(tenant_id, reservations.expire(view, reservation, SYSTEM, batch.now))
                booked += 1
            elif reservation.state is ReservationState.HELD:
                opened.spared.add(reservation_id)
        return booked


def _log(batch: Batch, command: Command, decision: Decision[Answer]) -> None:
    """Tell who decided this, unless it was refused or had been decided before: then it has changed nothing."""
    if decision.changes.used_keys or decision.changes.amendments:
        event = event_of(command, decision.answer)
        if event is not None:
            batch.audit_events.append((event, batch.now))
