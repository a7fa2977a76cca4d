"""Expenses from files: every row gets its verdict, and the good ones are booked in one transaction or not at all.

Rows go to a temporary table as they are read, and are judged there together: memory stays flat whatever the size. A row
is known by its reference; without one by what it says, and where a file says the same n times, by its being the n-th.
So importing a file again books nothing again, also what was deleted since.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from time import monotonic
from typing import IO, Any, Final, NamedTuple
from uuid import UUID

import orjson

from domain import expenses
from domain.audit_log import AuditEvent
from domain.books import Operation
from domain.expenses import ExpenseFacts
from domain.money import Money, format_amount, minor_to_nano
from domain.refusals import Conflict, FieldProblem, Refusal
from infra.application import Application
from infra.audit_log import record
from infra.expense_cells import DecimalSign
from infra.expense_files import QUOTES, Charset, Row, read_rows
from infra.expense_rows import FACT_COLUMNS, row_of_facts
from infra.identifiers import new_id
from infra.services.callers import Caller, Refused
from infra.services.commands import refused
from infra.tenant_rows import closed
from infra.transaction import Connection, transaction

ROWS_AT_ONCE: Final = 1_000
# What is done without letting others have their turn: an admission takes some tens of them.
SECONDS_OF_A_TURN: Final = 0.00025
VERDICTS_AT_ONCE: Final = 2_000

_TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
# The writers' plans are pinned for few rows at a time: these are many.
_UNPIN: Final = """
SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on;
SET LOCAL plan_cache_mode = auto"""
# A page of verdicts must not read all rows.
_BY_PAGES: Final = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
_TABLES: Final = """
CREATE TEMPORARY TABLE read_expense (
    line integer PRIMARY KEY, past integer, id uuid, campaign text, kind text, minor bigint, currency text, hours bigint,
    hourly_rate bigint, incurred_on date, description text, reference text, content bytea, problems text
) ON COMMIT DROP;
CREATE TEMPORARY TABLE judged_expense (
    line integer PRIMARY KEY, key text, known uuid, first_line integer, verdict text
) ON COMMIT DROP"""
_STAGED: Final = ("line", "past", "id", *FACT_COLUMNS.split(", "), "reference", "content", "problems")
_JUDGE: Final = """
WITH counted AS (
    SELECT line, reference, content, row_number() OVER same AS occurrence, first_value(content) OVER same AS first_content,
        first_value(line) OVER same AS first_line
    FROM read_expense WHERE content IS NOT NULL
    WINDOW same AS (PARTITION BY reference, CASE WHEN reference IS NULL THEN content END ORDER BY line)
), keyed AS (
    SELECT *, CASE WHEN reference IS NULL THEN 'row:' || encode(content, 'hex') || ':' || occurrence
        ELSE 'reference:' || reference END AS key
    FROM counted
)
INSERT INTO judged_expense (line, key, known, first_line, verdict)
SELECT k.line, k.key, u.result_id, k.first_line, CASE
    WHEN u.request_hash <> k.content THEN 'TAKEN'
    WHEN u.key IS NOT NULL THEN 'DUPLICATE'
    WHEN k.reference IS NULL OR k.occurrence = 1 THEN 'ACCEPTED'
    WHEN k.content = k.first_content THEN 'DUPLICATE'
    ELSE 'AMBIGUOUS' END
FROM keyed k LEFT JOIN idempotency_key u ON u.tenant_id = $1 AND u.operation = $2 AND u.key = k.key"""
_TOTALS: Final = """
SELECT r.currency, sum(r.minor)::numeric FROM read_expense r JOIN judged_expense j USING (line)
WHERE j.verdict = 'ACCEPTED' GROUP BY 1 ORDER BY 1"""
_REJECTED: Final = """
SELECT EXISTS (SELECT FROM read_expense WHERE problems IS NOT NULL)
    OR EXISTS (SELECT FROM judged_expense WHERE verdict IN ('TAKEN', 'AMBIGUOUS'))"""
_GOOD: Final = "FROM read_expense r JOIN judged_expense j USING (line) WHERE j.verdict = 'ACCEPTED'"
_FACTS: Final = ", ".join(f"r.{column}" for column in FACT_COLUMNS.split(", "))
_WRITE: Final = (
    f"""
INSERT INTO idempotency_key (tenant_id, operation, key, request_hash, result_id, created_at)
SELECT $1, '{Operation.IMPORT_EXPENSES}', j.key, r.content, r.id, $2 {_GOOD}""",
    f"""
INSERT INTO expense (tenant_id, id, version, {FACT_COLUMNS}, reference, actor, created_at, changed_at)
SELECT $1, r.id, 1, {_FACTS}, r.reference, $3, $2, $2 {_GOOD}""",
    f"""
INSERT INTO expense_version (tenant_id, expense_id, version, change, {FACT_COLUMNS}, actor, changed_at)
SELECT $1, r.id, 1, 'ADDED', {_FACTS}, $3, $2 {_GOOD}""",
)
# Last: admissions that see the same campaign for the first time wait for it.
_REGISTER: Final = f"""
INSERT INTO scope (tenant_id, kind, id, status)
SELECT DISTINCT $1::uuid, 'CAMPAIGN', r.campaign, 'ACTIVE' {_GOOD} ORDER BY 3 ON CONFLICT DO NOTHING"""
_VERDICTS: Final = """
SELECT r.line, r.past, r.id, r.problems, j.verdict, j.known, j.first_line
FROM read_expense r LEFT JOIN judged_expense j USING (line) WHERE r.line > $1 ORDER BY r.line LIMIT $2"""


class Outcome(StrEnum):
    """What becomes of a row. `BLANK`: nothing stands there."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """`apply`: write, not only say what would become of it. `skip_errors`: write the good rows although others are
    rejected; else one that is rejected keeps all from being written. Quotes that do not go always do: after them a text
    could be taken for a row."""

    apply: bool = False
    skip_errors: bool = False
    charset: Charset = Charset.UTF_8
    decimal_sign: DecimalSign = DecimalSign.POINT


class Verdict(NamedTuple):
    """What becomes of what stands from one line to another. `expense_id`: of a duplicate, the expense that it was booked
    as (None: as the same row of this file); of an accepted one, the expense that it is booked as if anything is."""

    line: int
    past: int
    outcome: Outcome
    expense_id: UUID | None = None
    problems: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How many rows met which outcome; `totals`: sums of the accepted ones by currency. `written`: whether they were
    booked."""

    counts: Mapping[Outcome, int]
    totals: tuple[Money, ...]
    written: bool

    @property
    def rejected(self) -> int:
        """How many rows were rejected."""
        return self.counts.get(Outcome.REJECTED, 0)


async def import_expenses(
    application: Application,
    caller: Caller,
    file: IO[bytes],
    order: ImportOrder,
    take: Callable[[Verdict, bool], None],
    show: Callable[[int], None] = lambda _: None,
) -> ImportReport | Refused:
    """Judge every row of a file and, if that is ordered, book those that are accepted. Hands each verdict to `take`, in
    the order of lines, with whether the accepted are being booked: what it was told counts once this returns. Refused: the
    tenant is suspended, or another of its files is being imported. Raises UnreadableFileError."""
    tenant_id, now = caller.tenant_id, application.clock()
    async with application.writers.acquire() as connection, transaction(connection):
        refusal: Refusal | None = await closed(connection, tenant_id)
        if refusal is None and not await connection.fetchval(_TRY_LOCK, f"{Operation.IMPORT_EXPENSES}:{tenant_id}"):
            refusal = Conflict("Another file of expenses is being imported: send this one again when it is done.")
        if refusal is None:
            await connection.execute(_UNPIN)
            await connection.execute(_TABLES)
            certain = await _stage(connection, file, order, now, show)
            await connection.execute("ANALYZE read_expense")
            await connection.execute(_JUDGE, tenant_id, Operation.IMPORT_EXPENSES.value)
            await connection.execute("ANALYZE judged_expense")
            written = order.apply and certain and (order.skip_errors or not await connection.fetchval(_REJECTED))
            totals = [Money(int(minor), currency) for currency, minor in await connection.fetch(_TOTALS)]
            counts = await _tell(connection, written, take)
            if written:
                await _write(connection, caller, now)
                if counts.get(Outcome.ACCEPTED):
                    await record(connection, _event(caller, counts, totals), at=now)
            return ImportReport(counts, tuple(totals), written)
    return refused(application, tenant_id, Operation.IMPORT_EXPENSES, refusal)


def _event(caller: Caller, counts: Mapping[Outcome, int], totals: Iterable[Money]) -> AuditEvent:
    """What the audit log says of a file that was booked; each expense has its history."""
    sums = [f"{format_amount(minor_to_nano(total))} {total.currency}" for total in totals]
    details = (("accepted", counts.get(Outcome.ACCEPTED, 0)), ("amounts", ", ".join(sums)))
    operation = Operation.IMPORT_EXPENSES.value
    return AuditEvent(caller.tenant_id, caller.actor, caller.role, operation, "expenses", details)


async def _stage(
    connection: Connection, file: IO[bytes], order: ImportOrder, now: datetime, show: Callable[[int], None]
) -> bool:
    """Copy what is read; whether it is certain where rows begin and end."""
    turns = _Turns()
    waiting: list[tuple[Any, ...]] = []
    count, certain = 0, True
    for row in read_rows(file, order.charset, order.decimal_sign):
        certain = certain and not any(problem.path == QUOTES for problem in row.problems)
        waiting.append(_staged(row, now))
        count += 1
        if len(waiting) >= ROWS_AT_ONCE:
            await connection.copy_records_to_table("read_expense", records=waiting, columns=_STAGED)
            waiting = []
            show(count)
        await turns.others()
    if waiting:
        await connection.copy_records_to_table("read_expense", records=waiting, columns=_STAGED)
    show(count)
    return certain


class _Turns:
    """Long work in the loop, in turns with all others."""

    def __init__(self) -> None:
        self._began = monotonic()

    async def others(self) -> None:
        """Let the others have their turn, if this one was long enough."""
        if monotonic() - self._began >= SECONDS_OF_A_TURN:
            await asyncio.sleep(0)
            self._began = monotonic()


def _staged(row: Row, now: datetime) -> tuple[Any, ...]:
    """The values of _STAGED."""
    problems = row.problems
    if row.entry is not None:
        problems = expenses.problems(row.entry, now.date())
        if not problems:
            facts = expenses.facts_of(row.entry)
            return row.line, row.past, new_id(now), *row_of_facts(facts), row.reference, _content(facts), None
    wrong = json.dumps([(problem.path, problem.message) for problem in problems]) if problems else None
    return (row.line, row.past, *[None] * 11, wrong)


def _content(facts: ExpenseFacts) -> bytes:
    """What a row says, whatever it looks like."""
    return sha256(orjson.dumps(row_of_facts(facts))).digest()


async def _tell(connection: Connection, written: bool, take: Callable[[Verdict, bool], None]) -> Mapping[Outcome, int]:
    counts: Counter[Outcome] = Counter()
    turns, line = _Turns(), 0
    await connection.execute(_BY_PAGES)
    while rows := await connection.fetch(_VERDICTS, line, VERDICTS_AT_ONCE):
        for row in rows:
            verdict = _verdict(*row)
            counts[verdict.outcome] += 1
            take(verdict, written)
            await turns.others()
        line = rows[-1][0]
    return counts


def _verdict(
    line: int,
    past: int,
    expense_id: UUID | None,
    problems: str | None,
    verdict: str | None,
    known: UUID | None,
    first_line: int | None,
) -> Verdict:
    match verdict:
        case "ACCEPTED":
            return Verdict(line, past, Outcome.ACCEPTED, expense_id)
        case "DUPLICATE":
            return Verdict(line, past, Outcome.DUPLICATE, known)
        case "TAKEN":
            message = (
                "was imported before with other content: change that expense (changeExpense), or give this row a "
                "reference of its own"
            )
            return Verdict(line, past, Outcome.REJECTED, known, (FieldProblem("reference", message),))
        case "AMBIGUOUS":
            message = f"stands in line {first_line} with other content: give each row a reference of its own"
            return Verdict(line, past, Outcome.REJECTED, None, (FieldProblem("reference", message),))
        case _ if problems is not None:
            found = tuple([FieldProblem(path, message) for path, message in json.loads(problems)])
            return Verdict(line, past, Outcome.REJECTED, None, found)
        case _:
            return Verdict(line, past, Outcome.BLANK)


async def _write(connection: Connection, caller: Caller, now: datetime) -> None:
    place = (caller.tenant_id, now)
    await connection.execute(_UNPIN)
    keys, *others = _WRITE
    await connection.execute(keys, *place)
    for statement in others:
        await connection.execute(statement, *place, caller.actor)
    await connection.execute(_REGISTER, caller.tenant_id)
