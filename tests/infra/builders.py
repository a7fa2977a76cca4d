"""Tenants and wishes in a few words, a clock that tests set, and looks at all that a database holds."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final
from uuid import UUID

import asyncpg
from typing_extensions import override

from domain.admission import Wish
from domain.attribution import NOBODY, Attribution
from domain.books import Operation, Request
from domain.budgets import Budget, BudgetKey
from domain.controls import BudgetState
from domain.holds import Estimate, Reservation
from domain.ids import NIL
from domain.ledger import Draw, Entry, EntryType, Repayment, Voucher
from domain.money import NANO, format_amount
from domain.reservations import Granted
from domain.usage import Usage
from domain.wallets import LotSource
from infra.application import Application
from infra.identifiers import new_id
from infra.queries.api_keys import ApiKeyView
from infra.services import budgets, reservations, tenants, wallets
from infra.services.api_keys import NewKey, create_key
from infra.services.callers import Caller, Refused, Role
from infra.services.key_changes import revoke_any_key
from infra.services.tenants import TenantOrder
from infra.transaction import Connection
from tests.domain.builders import NOW, Auditor, capped, nano

# Whoever runs the installation, on no tenant.
OPERATOR: Final = Caller(NIL, Role.OPERATOR, "key:ops")
# What a prepaid wallet says of itself on its way down.
BALANCE: Final = ("wallet.low", "wallet.empty")
PER_SECOND: Final = timedelta(seconds=1)


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float = 0, *, days: int = 0) -> None:
        self.now += timedelta(seconds=seconds, days=days)


def standing_still(moment: datetime) -> type[datetime]:
    """To stand in for the `datetime` of a module that asks the machine: its now is this moment."""

    class Still(datetime):
        @classmethod
        @override
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # it need not be one of its own
            return moment.astimezone(tz)

    return Still


async def open_tenant(
    application: Application, slug: str = "acme", *, time_zone: str = "UTC", **balances: str
) -> Caller:
    """A tenant with the wallets of the professional plan, and a metered one if it is named; what is named holds one
    top-up that never expires."""
    plan = application.catalog.plan("india", "professional", application.clock())
    assert plan is not None
    order = TenantOrder(slug, slug, plan.region, plan.key, "metered" in balances, time_zone)
    tenant_id = await tenants.set_up(application, order, plan)
    for key, amount in balances.items():
        if nano(amount):
            await wallets.credit(application, tenant_id, key, nano(amount), LotSource.TOP_UP, "opening")
    return Caller(tenant_id, Role.ADMIN, "key:test")


async def new_key(
    application: Application, tenant_id: UUID | None, role: Role, name: str, expires_at: datetime | None = None
) -> NewKey:
    """An API key, while the plan has a seat for it."""
    made = await create_key(application, tenant_id, role, name, expires_at=expires_at)
    assert isinstance(made, NewKey), made
    return made


async def revoke_key(application: Application, key_id: UUID) -> bool:
    """End a key; False where it had ended before."""
    before = application.clock()
    revoked = await revoke_any_key(application, key_id, "test", force=True)
    assert isinstance(revoked, ApiKeyView), revoked
    return revoked.revoked_at is not None and revoked.revoked_at >= before


def request_by(caller: Caller, operation: Operation, key: str, request_hash: bytes = b"same") -> Request:
    """A request as the services make it."""
    return Request(caller.tenant_id, caller.actor, operation, key, request_hash)


def wish(feature: str = "blog_post", cost: str | None = None, attribution: Attribution = NOBODY) -> Wish:
    """One piece of the feature: a blog post is 2 credits and, unless said otherwise, 0.60 dollars of provider cost."""
    return Wish(feature, NANO, None, Estimate(cost=None if cost is None else nano(cost)), attribution)


def held(answer: Granted | Refused) -> Reservation:
    """The reservation of an answer that must be a grant."""
    assert isinstance(answer, Granted), answer
    return answer.reservation


async def reserved(
    application: Application, caller: Caller, key: str = "r", *, ttl: int = 900, task: str | None = None, **asked: Any
) -> Reservation:
    """A reservation that must be granted."""
    return held(await reservations.reserve(application, caller, key, wish(**asked), task, ttl))


async def cap(
    application: Application, caller: Caller, key: BudgetKey, amount: str, idempotency_key: str = "b"
) -> Budget:
    """A budget that must be accepted."""
    budget = capped(key, amount)
    answer = await budgets.set_budget(application, caller, idempotency_key, budget)
    assert isinstance(answer, BudgetState), answer
    return budget


def reported(event_id: str, cost: str | None = None, source: str = "worker", **fields: Any) -> Usage:
    """An event with its identity; `cost` is what the provider reports."""
    return Usage(cost=None if cost is None else nano(cost), source=source, event_id=event_id, **fields)


async def balance(application: Application, caller: Caller, wallet_key: str) -> tuple[str, str, str]:
    """Available, reserved and consumed, as decimals."""
    row = await application.across_tenants.fetchrow(
        "SELECT available, reserved, consumed FROM wallet WHERE tenant_id = $1 AND key = $2",
        caller.tenant_id,
        wallet_key,
    )
    assert row is not None
    return format_amount(row[0]), format_amount(row[1]), format_amount(row[2])


async def counter(
    application: Application, caller: Caller, scope: str, scope_id: str, period_key: str
) -> tuple[str, str]:
    """Spent and held of a budget's counter, as decimals; zeros before anything was counted."""
    row = await application.across_tenants.fetchrow(
        "SELECT spent, held FROM budget_counter WHERE (tenant_id, scope, scope_id, period_key) = ($1, $2, $3, $4)",
        caller.tenant_id,
        scope,
        scope_id,
        period_key,
    )
    return ("0", "0") if row is None else (format_amount(row[0]), format_amount(row[1]))


async def count(application: Application, table: str, where: str = "true") -> int:
    """How many rows a table holds."""
    number: int = await application.across_tenants.fetchval(f"SELECT count(*) FROM {table} WHERE {where}")
    return number


async def outbox(application: Application, caller: Caller, *without: str) -> list[tuple[str, dict[str, Any]]]:
    """The tenant's events in their order, but those of the types named."""
    rows = await application.across_tenants.fetch(
        "SELECT type, payload FROM outbox WHERE tenant_id = $1 ORDER BY created_at, id", caller.tenant_id
    )
    return [(kind, json.loads(payload)) for kind, payload in rows if kind not in without]


async def contents(application: Application, *without: str) -> dict[str, list[str]]:
    """Every row of every table, but the record of refusals, when keys were last used, and the tables named."""
    tables = await application.across_tenants.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace AND relname NOT IN ('migration', 'refusal')"
    )
    row_of = {"api_key": "(to_jsonb(t) - 'last_used_at')::text"}
    return {
        name: [
            row[0]
            for row in await application.across_tenants.fetch(
                f"SELECT {row_of.get(name, 't::text')} FROM {name} t ORDER BY 1"
            )
        ]
        for (name,) in tables
        if name not in without
    }


@asynccontextmanager
async def nothing_moves(application: Application, *but: str) -> AsyncIterator[None]:
    """Fails if any row of any table changes meanwhile, but the record of refusals and the tables named."""
    before = await contents(application, *but)
    yield
    assert await contents(application, *but) == before


async def audit(application: Application) -> None:
    """Everything that always holds, from the rows alone: each compartment and lot rebuilt from the entries, the hash
    chain, holds against open reservations, tasks, and one key for each event."""
    connection: Any
    async with application.across_tenants.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        await _audit_wallets(connection)
        await _audit_holds(connection)
        await _audit_identities(connection)


async def _audit_wallets(connection: Connection) -> None:
    auditor = Auditor()
    for row in await connection.fetch("SELECT * FROM ledger_entry ORDER BY tenant_id, wallet_id, sequence"):
        auditor.take(entry_of(row))
    columns = "granted, available, reserved, consumed, expired"
    names = columns.split(", ")
    for row in await connection.fetch(f"SELECT id, sequence, head_hash, {columns} FROM wallet"):
        assert [auditor.balances[row["id"]][name] for name in names] == list(row[3:]), (
            "a wallet is the fold of its entries"
        )
        if row["sequence"]:
            assert auditor.heads[row["id"]] == (row["sequence"], row["head_hash"])
    rows = await connection.fetch(f"SELECT wallet_id, id, {columns} FROM lot")
    stored = {(row[0], row[1]): list(row[2:]) for row in rows}
    rebuilt = {
        (wallet_id, lot_id): [amounts[name] for name in names]
        for wallet_id, lots in auditor.lots.items()
        for lot_id, amounts in lots.items()
    }
    assert stored == rebuilt, "lots can be rebuilt from draws and repayments"


async def _audit_holds(connection: Connection) -> None:
    reserved_in: defaultdict[tuple[UUID, str], int] = defaultdict(int)
    drawn: defaultdict[UUID, int] = defaultdict(int)
    held_usd: defaultdict[UUID, int] = defaultdict(int)
    for row in await connection.fetch("SELECT tenant_id, holds, remaining_usd FROM reservation WHERE state = 'HELD'"):
        held_usd[row[0]] += row[2]
        for key, amount, draws in json.loads(row[1]):
            assert amount == sum(part for _, part in draws)
            reserved_in[row[0], key] += amount
            for lot_id, part in draws:
                drawn[UUID(lot_id)] += part
    for tenant_id, key, amount in await connection.fetch("SELECT tenant_id, key, reserved FROM wallet"):
        assert amount == reserved_in[tenant_id, key], "reserved is the sum of the open holds"
    for lot_id, amount in await connection.fetch("SELECT id, reserved FROM lot"):
        assert amount == drawn[lot_id]
    rows = await connection.fetch(
        "SELECT tenant_id, sum(held)::bigint FROM budget_counter WHERE scope = 'TENANT' GROUP BY tenant_id"
    )
    assert {tenant_id: amount for tenant_id, amount in rows if amount} == {
        tenant_id: amount for tenant_id, amount in held_usd.items() if amount
    }, "held is what open reservations have left"


async def _audit_identities(connection: Connection) -> None:
    astray = await connection.fetchval(
        "SELECT count(*) FROM task t LEFT JOIN reservation r ON (r.tenant_id, r.id) = (t.tenant_id, t.reservation_id)"
        " AND (r.task_feature, r.task_key) = (t.feature, t.key) AND r.state IN ('HELD', 'CONSUMED') WHERE r.id IS NULL"
    )
    assert astray == 0, "a task stands for held or consumed work of its own"
    astray = await connection.fetchval(
        "SELECT count(*) FROM usage_event e FULL JOIN usage_key k"
        " ON (k.tenant_id, k.source, k.event_id, k.usage_id) = (e.tenant_id, e.source, e.event_id, e.id)"
        " WHERE k.usage_id IS NULL AND e.source IS NOT NULL OR e.id IS NULL"
    )
    assert astray == 0, "each event that has an identity is kept once, and no key without its event"


def entry_of(row: "asyncpg.Record") -> Entry:
    """A ledger entry from its row."""
    draws = tuple(Draw(UUID(lot_id), amount) for lot_id, amount in json.loads(row["draws"]))
    repayments = tuple(
        Repayment(UUID(lot_id), consumed, granted)
        for lot_id, consumed, granted in json.loads(row["repayments"] or "[]")
    )
    return Entry(
        row["tenant_id"],
        row["wallet_id"],
        row["sequence"],
        EntryType(row["type"]),
        row["amount"],
        row["granted_after"],
        row["available_after"],
        row["reserved_after"],
        row["consumed_after"],
        row["expired_after"],
        draws,
        repayments,
        Voucher(
            row["actor"],
            row["created_at"],
            row["reservation_id"],
            row["reference"],
            row["note"],
            row["idempotency_key"],
        ),
        row["previous_hash"],
        row["hash"],
    )


def fresh_id() -> UUID:
    """The id of a command that is handed to the group commit itself."""
    return new_id()
