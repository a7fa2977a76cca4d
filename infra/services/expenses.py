"""Expenses: what people enter against campaigns, change and delete. Every version is kept, with who made it and when.

They move no wallet, so that nobody's admission waits for them: a writer locks its idempotency key alone.
"""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Final
from uuid import UUID

from domain import expenses, ids
from domain.audit_log import AuditEvent, Detail, event_by
from domain.books import Operation, Request
from domain.budgets import ScopeKind
from domain.expenses import ExpenseChange, ExpenseEntry, ExpenseFacts
from domain.money import format_amount, minor_to_nano
from domain.refusals import FieldProblem, InvalidInput, NotFound, Refusal
from domain.reservations import key_problems
from infra.application import Application
from infra.audit_log import record
from infra.expense_rows import EXPENSE_COLUMNS, FACT_COLUMNS, ExpenseView, expense_of, row_of_facts
from infra.idempotency_keys import LOCK_KEY
from infra.identifiers import new_id
from infra.services.callers import Caller, Refused
from infra.services.commands import refused, request_of
from infra.services.once import once
from infra.tenant_rows import closed
from infra.transaction import Connection

_ADD: Final = f"""
INSERT INTO expense (tenant_id, id, version, {FACT_COLUMNS}, actor, created_at, changed_at)
VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)"""
_CHANGE: Final = """
UPDATE expense SET campaign = $3, kind = $4, minor = $5, currency = $6, hours = $7, hourly_rate = $8, incurred_on = $9,
    description = $10, version = version + 1, changed_at = $11
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING id"""
_DELETE: Final = """
UPDATE expense SET version = version + 1, changed_at = $3, deleted_at = $3
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING id"""
# The version as it now stands.
_KEEP: Final = f"""
INSERT INTO expense_version (tenant_id, expense_id, version, change, {FACT_COLUMNS}, actor, changed_at)
SELECT tenant_id, id, version, $3, {FACT_COLUMNS}, $4, changed_at FROM expense WHERE tenant_id = $1 AND id = $2"""
_ONE: Final = f"SELECT {EXPENSE_COLUMNS} FROM expense WHERE tenant_id = $1 AND id = $2"
# One that is known is not even locked.
_REGISTER: Final = """
INSERT INTO scope (tenant_id, kind, id, status) VALUES ($1, $2, $3, 'ACTIVE') ON CONFLICT DO NOTHING"""

_RECORDED: Final = """
SELECT coalesce(sum(count), 0)::bigint FROM customers_won WHERE tenant_id = $1 AND campaign = $2 AND won_on = $3"""
_RECORD: Final = """
INSERT INTO customers_won (tenant_id, id, campaign, won_on, count, actor, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""


async def add_expense(
    application: Application, caller: Caller, idempotency_key: str, entry: ExpenseEntry
) -> ExpenseView | Refused:
    """Enter an expense. Its campaign is registered if it is new."""
    now = application.clock()
    request = request_of(caller, Operation.ADD_EXPENSE, idempotency_key, entry)
    problems = expenses.problems(entry, now.date())

    async def add(connection: Connection) -> UUID | Refusal:
        expense_id, facts = new_id(now), expenses.facts_of(entry)
        await connection.execute(_ADD, caller.tenant_id, expense_id, *row_of_facts(facts), caller.actor, now)
        await _keep(connection, caller, expense_id, ExpenseChange.ADDED)
        await record(connection, _event(request, expense_id, *_told(facts)), at=now)
        await _register(connection, caller.tenant_id, facts.campaign)
        return expense_id

    return await _expense(application, request, problems, add)


async def change_expense(
    application: Application, caller: Caller, idempotency_key: str, expense_id: UUID, entry: ExpenseEntry
) -> ExpenseView | Refused:
    """Put other facts in the place of an expense's; those before stay in its history. NotFound: there is none, or it was
    deleted."""
    now = application.clock()
    request = request_of(caller, Operation.CHANGE_EXPENSE, idempotency_key, (expense_id, entry))
    problems = expenses.problems(entry, now.date())

    async def change(connection: Connection) -> UUID | Refusal:
        facts: ExpenseFacts = expenses.facts_of(entry)
        place = (caller.tenant_id, expense_id)
        if await connection.fetchval(_CHANGE, *place, *row_of_facts(facts), now) is None:
            return NotFound("expense")
        await _keep(connection, caller, expense_id, ExpenseChange.CHANGED)
        await record(connection, _event(request, expense_id, *_told(facts)), at=now)
        await _register(connection, caller.tenant_id, facts.campaign)
        return expense_id

    return await _expense(application, request, problems, change)


async def delete_expense(
    application: Application, caller: Caller, idempotency_key: str, expense_id: UUID, reason: str | None = None
) -> ExpenseView | Refused:
    """Take an expense out of all sums and lists; it stays, with its history. `reason` is for the audit log. NotFound: there
    is none, or it was deleted before."""
    now = application.clock()
    asked = expense_id if reason is None else (expense_id, reason)
    request = request_of(caller, Operation.DELETE_EXPENSE, idempotency_key, asked)
    problems = expenses.text_problems("reason", reason)

    async def delete(connection: Connection) -> UUID | Refusal:
        if await connection.fetchval(_DELETE, caller.tenant_id, expense_id, now) is None:
            return NotFound("expense")
        await _keep(connection, caller, expense_id, ExpenseChange.DELETED)
        await record(connection, _event(request, expense_id, ("reason", reason)), at=now)
        return expense_id

    return await _expense(application, request, problems, delete)


async def record_customers_won(
    application: Application, caller: Caller, idempotency_key: str, campaign: str, count: int, day: date
) -> UUID | Refused:
    """Count customers that a campaign won on a day. A count below zero takes back what was recorded of the same campaign
    and day, so that no sum over any span is ever below none. Answers the id of the record."""
    now = application.clock()
    request = request_of(caller, Operation.RECORD_CUSTOMERS_WON, idempotency_key, (campaign, count, day))
    problems = expenses.customers_problems(campaign, count, day, now.date())

    async def count_them(connection: Connection) -> UUID | Refusal:
        # Two corrections at once must not take back the same customers.
        await connection.execute(LOCK_KEY, f"customers won:{caller.tenant_id}:{day}:{campaign}")
        recorded = await connection.fetchval(_RECORDED, caller.tenant_id, campaign, day)
        wrong = expenses.correction_problems(recorded, count)
        if wrong:
            return InvalidInput(wrong)
        record_id = new_id(now)
        await connection.execute(_RECORD, caller.tenant_id, record_id, campaign, day, count, caller.actor, now)
        told = event_by(request, f"campaign:{campaign}", ("count", count), ("on", day.isoformat()))
        await record(connection, told, at=now)
        await _register(connection, caller.tenant_id, campaign)
        return record_id

    recorded = await _once(application, request, problems, count_them)
    if isinstance(recorded, UUID):
        return recorded
    return refused(application, caller.tenant_id, request.operation, recorded)


async def _expense(
    application: Application,
    request: Request,
    problems: tuple[FieldProblem, ...],
    work: Callable[[Connection], Awaitable[UUID | Refusal]],
) -> ExpenseView | Refused:
    """The expense that a request made or changed, as it stands now."""
    done = await _once(application, request, problems, work)
    if not isinstance(done, UUID):
        return refused(application, request.tenant_id, request.operation, done)
    row = await application.readers.of(request.tenant_id).fetchrow(_ONE, request.tenant_id, done)
    assert row is not None, "expenses stay as rows"
    return expense_of(tuple(row))


async def _once(
    application: Application,
    request: Request,
    problems: tuple[FieldProblem, ...],
    work: Callable[[Connection], Awaitable[UUID | Refusal]],
) -> UUID | Refusal:
    """Do the work of a request unless it is done, or its fields do not go, or the tenant is suspended."""
    if problems:
        return InvalidInput((*key_problems(request.idempotency_key), *problems))

    async def while_active(connection: Connection) -> UUID | Refusal:
        return await closed(connection, request.tenant_id) or await work(connection)

    return await once(application, request, while_active)


def _event(request: Request, expense_id: UUID, *details: Detail) -> AuditEvent:
    return event_by(request, f"expense:{ids.public('expense', expense_id)}", *details)


def _told(facts: ExpenseFacts) -> tuple[Detail, ...]:
    """What the audit log says of an expense; the rest stands in its history."""
    amount = format_amount(minor_to_nano(facts.money))
    return (("campaign", facts.campaign), ("kind", facts.kind.value), ("amount", f"{amount} {facts.money.currency}"))


async def _keep(connection: Connection, caller: Caller, expense_id: UUID, change: ExpenseChange) -> None:
    await connection.execute(_KEEP, caller.tenant_id, expense_id, change.value, caller.actor)


async def _register(connection: Connection, tenant_id: UUID, campaign: str) -> None:
    """As usage does. Late in its transaction: admissions that see the same campaign for the first time wait for it."""
    await connection.execute(_REGISTER, tenant_id, ScopeKind.CAMPAIGN.value, campaign)
