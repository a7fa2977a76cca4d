"""Deciding: one batch of commands on one connection: lock, read, decide, write.

It neither opens nor commits the transaction: `infra.group_commit` does, for many callers at once.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from domain import reservations
from domain.admission import Wish
from domain.books import Books, Operation, Request, Seen
from domain.catalog import Catalog
from domain.decisions import Answer, Command, decide
from domain.prices import Tokens
from domain.refusals import NotFound, Refusal
from domain.reservations import Preview, Reserve
from infra import books, changes
from infra.batch import Batch, open_batch
from infra.books import NIL
from infra.transaction import Connection

SYSTEM: Final = "system"
MOST_REGISTERED: Final = 100_000

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock at the outer edge."""
    return datetime.now(UTC)


class Deciding:
    """What every batch shares: the catalog, the deployment's switch, the clock, and which ids are registered."""

    def __init__(self, catalog: Catalog, *, own_keys_allowed: bool, clock: Clock = utc_now) -> None:
        self.catalog = catalog
        self.clock = clock
        self._own_keys_allowed = own_keys_allowed
        self._registered: set[tuple[UUID, Seen]] = set()

    async def run(self, connection: Connection, commands: Sequence[Command]) -> tuple[list[Answer], Batch]:
        """Decide the commands in order and write what they change. Call `committed` once it is committed."""
        batch = await self._open(connection, [command.request.tenant_id for command in commands])
        await books.read(connection, batch, commands, self.catalog)
        views = {tenant_id: self._view(batch, tenant_id) for tenant_id in batch.tenants}
        answers: list[Answer] = []
        for command in commands:
            tenant_id = command.request.tenant_id
            view = views.get(tenant_id)
            if view is None:
                answers.append(NotFound("tenant"))
                continue
            decision = decide(view, command, batch.now)
            while reservations.lacks_room(decision.answer) and await self._expire_due(
                connection, batch, tenant_id, command
            ):
                decision = decide(view, command, batch.now)
            batch.apply(tenant_id, decision.changes)
            answers.append(decision.answer)
        await self._write(connection, batch)
        return answers, batch

    async def expire(self, connection: Connection, tenant_id: UUID) -> int:
        """Book a tenant's overdue reservations, a bounded number of them; answers how many."""
        batch = await self._open(connection, [tenant_id])
        booked = await self._expire_due(connection, batch, tenant_id) if batch.tenants else 0
        await self._write(connection, batch)
        return booked

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

    async def foresee(self, connection: Connection, command: Command) -> Answer:
        """What a command would answer now; nothing is locked or written."""
        batch = await self._read(connection, command)
        tenant_id = command.request.tenant_id
        if tenant_id not in batch.tenants:
            return NotFound("tenant")
        return decide(self._view(batch, tenant_id), command, batch.now).answer

    async def check_task(
        self,
        connection: Connection,
        tenant_id: UUID,
        reservation_id: UUID,
        running_cost: int | None,
        tokens: Tokens | None,
    ) -> bool | None:
        """Whether running work goes on; None: there is no such reservation."""
        batch = open_batch(await books.lock(connection, [tenant_id], for_update=False), self.clock())
        if tenant_id not in batch.tenants:
            return None
        await books.read_reservations(connection, batch, [(tenant_id, reservation_id)])
        reservation = batch.tenants[tenant_id].reservations.get(reservation_id)
        if reservation is None:
            return None
        await books.read_budgets(connection, batch, ())
        return reservations.may_continue(self._view(batch, tenant_id), reservation, running_cost, tokens)

    def committed(self, batch: Batch) -> None:
        """Remember which ids are registered now, so that they are not written again."""
        if len(self._registered) > MOST_REGISTERED:
            self._registered.clear()
        self._registered.update(batch.seen)

    async def _open(self, connection: Connection, tenant_ids: Sequence[UUID]) -> Batch:
        """Lock the tenants and start a batch. Its time is taken under the lock, so that it never runs backwards."""
        tenants = await books.lock(connection, tenant_ids, for_update=True)
        return open_batch(tenants, self.clock())

    async def _read(self, connection: Connection, command: Command) -> Batch:
        tenants = await books.lock(connection, [command.request.tenant_id], for_update=False)
        batch = open_batch(tenants, self.clock())
        await books.read(connection, batch, [command], self.catalog)
        return batch

    async def _write(self, connection: Connection, batch: Batch) -> None:
        await changes.write(connection, batch)
        fresh = [place for place in batch.seen if place not in self._registered]
        if fresh:
            await changes.register(
                connection, [(tenant_id, seen.key.kind.value, seen.key.id, seen.client) for tenant_id, seen in fresh]
            )

    def _view(self, batch: Batch, tenant_id: UUID) -> Books:
        return batch.tenants[tenant_id].view(self.catalog, self._own_keys_allowed)

    async def _expire_due(
        self, connection: Connection, batch: Batch, tenant_id: UUID, refused: Command | None = None
    ) -> int:
        """Before work is refused for lack of room, what overdue reservations hold goes back (PRODUCT.md 4). Answers
        how many were booked, a bounded number of them."""
        opened = batch.tenants[tenant_id]
        if opened.due_is_booked:
            return 0
        view = self._view(batch, tenant_id)
        booked = 0
        for reservation_id in await books.read_due(connection, batch, tenant_id, self.catalog):
            reservation = opened.reservations[reservation_id]
            if reservations.gives_way(reservation, refused, batch.now):
                batch.apply(tenant_id, reservations.expire(view, reservation, SYSTEM, batch.now))
                booked += 1
        return booked
