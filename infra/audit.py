"""Audit of the books: one snapshot, read as streams, so that millions of entries need no more memory than a few.

What a wallet's entries, lots and hashes must be is decided by `domain.audit`; what must agree across rows is
asked by `infra.audit_checks`. Nothing is locked: it runs beside a working server.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Final
from uuid import UUID

import asyncpg

from domain import budgets
from domain.audit import Finding, FindingKind, WalletAudit
from domain.wallets import Wallet
from infra.audit_checks import CHECKS, COUNTS, Check
from infra.ledger_rows import ENTRY_COLUMNS, entry_of
from infra.reservation_rows import attribution_of
from infra.transaction import BEGIN_READING, Connection, transaction
from infra.wallet_rows import LOT_COLUMNS, LOT_WIDTH, WALLET_COLUMNS, WALLET_WIDTH, lot_of, wallet_of

ROWS_AT_A_TIME: Final = 2_000
MOST_FINDINGS: Final = 1_000
MOST_OF_TENANT: Final = 100

# Memory for the sorts and sums across rows, of this transaction only.
_SETTINGS: Final = "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"
_WALLETS: Final = f"""
SELECT {WALLET_COLUMNS}, {LOT_COLUMNS}, coalesce(t.slug, w.tenant_id::text)
FROM wallet w LEFT JOIN tenant t ON t.id = w.tenant_id
LEFT JOIN lot l ON l.tenant_id = w.tenant_id AND l.wallet_id = w.id
ORDER BY w.tenant_id, w.id"""
_ENTRIES: Final = f"SELECT {ENTRY_COLUMNS} FROM ledger_entry ORDER BY tenant_id, wallet_id, sequence"
_REMAINING: Final = """
SELECT tenant_id, attribution, month, remaining_usd FROM reservation WHERE state = 'HELD' AND remaining_usd > 0"""
_HELD: Final = "SELECT tenant_id, scope, scope_id, period_key, held FROM budget_counter WHERE held <> 0"
_SLUG: Final = "SELECT slug FROM tenant WHERE id = $1"

# What is being checked, how much of it is done, and of how much.
Show = Callable[[str, int, int], None]
Place = tuple[UUID, UUID]
CounterPlace = tuple[UUID, str, str, str]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """`at`: the moment of the snapshot. `counts`: how much was checked, by name. `found`: how many findings there
    were; the first MOST_FINDINGS are in `findings`. `tenants`: those of each tenant, at most MOST_OF_TENANT."""

    at: datetime
    counts: tuple[tuple[str, int], ...]
    findings: tuple[Finding, ...]
    found: int
    tenants: tuple[tuple[UUID, tuple[Finding, ...]], ...] = ()

    @property
    def hold(self) -> bool:
        """Whether the books hold."""
        return self.found == 0


@dataclass(slots=True)
class _Findings:
    kept: list[Finding] = field(default_factory=list)
    count: int = 0
    tenants: defaultdict[UUID, list[Finding]] = field(default_factory=lambda: defaultdict(list))

    def add(self, tenant_id: UUID, finding: Finding) -> None:
        self.count += 1
        of_tenant = self.tenants[tenant_id]
        if len(of_tenant) < MOST_OF_TENANT:
            of_tenant.append(finding)
        if len(self.kept) < MOST_FINDINGS:
            self.kept.append(finding)


async def audit(connection: Connection, show: Show | None = None) -> AuditReport:
    """Prove the books, or say what does not hold. The connection must be in no transaction."""
    show = show or _show_nothing
    findings = _Findings()
    async with transaction(connection, BEGIN_READING):
        await connection.execute(_SETTINGS)
        at: datetime = await connection.fetchval("SELECT now()")
        counts = await _check_wallets(connection, findings, show)
        for number, check in enumerate(CHECKS):
            show(check.title, number, len(CHECKS) + 1)
            await _check_rows(connection, findings, check)
        show("budget counters", len(CHECKS), len(CHECKS) + 1)
        await _check_counters(connection, findings)
        rows = await connection.fetchrow(COUNTS)
        assert rows is not None, "counts are one row"
        counts.extend(rows.items())
    tenants = tuple([(tenant_id, tuple(found)) for tenant_id, found in sorted(findings.tenants.items())])
    return AuditReport(at, tuple(counts), tuple(findings.kept), findings.count, tenants)


async def _check_wallets(connection: Connection, findings: _Findings, show: Show) -> list[tuple[str, int]]:
    """Wallets and entries in the same order, so that each wallet meets its own entries."""
    total = int(await connection.fetchval("SELECT coalesce(sum(sequence), 0) FROM wallet"))
    wallets = _wallets(connection)
    count = _Counts()
    current = await _next_wallet(wallets, count)
    without_wallet: Place | None = None
    async for rows in _stream(connection, _ENTRIES):
        show("ledger entries", count.entries, total)
        count.entries += len(rows)
        for row in rows:
            place = (row[0], row[1])
            while current is not None and current.place < place:
                current.finish(findings)
                current = await _next_wallet(wallets, count)
            if current is not None and current.place == place:
                for finding in current.audit.take(entry_of(row[:])):
                    findings.add(place[0], finding)
            elif place != without_wallet:
                without_wallet = place
                findings.add(place[0], Finding(FindingKind.ENTRY_WITHOUT_WALLET, f"{place[0]}/{place[1]}", ()))
    while current is not None:
        current.finish(findings)
        current = await _next_wallet(wallets, count)
    return [("wallets", count.wallets), ("lots", count.lots), ("ledger entries", count.entries)]


@dataclass(slots=True)
class _Counts:
    wallets: int = 0
    lots: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True)
class _Current:
    place: Place
    audit: WalletAudit

    def finish(self, findings: _Findings) -> None:
        for finding in self.audit.finish():
            findings.add(self.place[0], finding)


async def _next_wallet(wallets: AsyncIterator[tuple[Wallet, str]], count: _Counts) -> _Current | None:
    async for wallet, slug in wallets:
        count.wallets += 1
        count.lots += len(wallet.lots)
        return _Current((wallet.tenant_id, wallet.id), WalletAudit(wallet, f"{slug}/{wallet.key}"))
    return None


async def _wallets(connection: Connection) -> AsyncIterator[tuple[Wallet, str]]:
    """Each wallet with all its lots, and its tenant's slug. The rows of one may come in two pieces."""
    pending: list[asyncpg.Record] = []
    async for rows in _stream(connection, _WALLETS):
        for _, group in groupby(rows, key=itemgetter(0, 1)):
            of_wallet = list(group)
            if pending and pending[0][:2] != of_wallet[0][:2]:
                yield _wallet(pending)
                pending = []
            pending += of_wallet
    if pending:
        yield _wallet(pending)


def _wallet(rows: list[asyncpg.Record]) -> tuple[Wallet, str]:
    lots = [lot_of(row[WALLET_WIDTH : WALLET_WIDTH + LOT_WIDTH]) for row in rows]
    wallet = wallet_of(rows[0][:WALLET_WIDTH], tuple([lot for lot in lots if lot is not None]))
    return wallet, rows[0][-1]


async def _check_rows(connection: Connection, findings: _Findings, check: Check) -> None:
    async for rows in _stream(connection, check.query):
        for row in rows:
            (_, tenant_id), (_, place), *figures = row.items()
            slug = await _slug(connection, tenant_id)
            finding = Finding(check.kind, f"{slug} {place}", tuple((name, _figure(it)) for name, it in figures))
            findings.add(tenant_id, finding)


async def _check_counters(connection: Connection, findings: _Findings) -> None:
    """A counter's held is what is left of the open reservations whose attribution it counts."""
    held: dict[CounterPlace, int] = {}
    async for rows in _stream(connection, _REMAINING):
        for tenant_id, attribution, month, remaining in rows:
            for key in budgets.counter_keys(attribution_of(attribution), month):
                place = (tenant_id, key.scope.value, key.scope_id, key.period_key)
                held[place] = held.get(place, 0) + remaining
    stored: dict[CounterPlace, int] = {}
    async for rows in _stream(connection, _HELD):
        for tenant_id, scope, scope_id, period_key, amount in rows:
            counter = (tenant_id, scope, scope_id, period_key)
            if held.get(counter) == amount:
                del held[counter]
            else:
                stored[counter] = amount
    for place in sorted({*held, *stored}):
        name = " ".join([await _slug(connection, place[0]), "counter", *filter(None, place[1:])])
        figures = (("held_by_reservations", held.get(place, 0)), ("held", stored.get(place, 0)))
        findings.add(place[0], Finding(FindingKind.COUNTER_HELD, name, figures))


async def _slug(connection: Connection, tenant_id: UUID) -> str:
    """Asked for findings only, which are rare."""
    return str(await connection.fetchval(_SLUG, tenant_id) or tenant_id)


async def _stream(connection: Connection, query: str) -> AsyncIterator[list[asyncpg.Record]]:
    """A query's rows through a cursor on the server, some at a time."""
    cursor = await connection.cursor(query)
    while rows := await cursor.fetch(ROWS_AT_A_TIME):
        yield rows


def _figure(value: object) -> str | int | None:
    if value is None or isinstance(value, int | str):
        return value
    return str(value)


def _show_nothing(_title: str, _done: int, _total: int) -> None:
    pass
