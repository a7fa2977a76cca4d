"""Rows of expenses: columns, and what is made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain.expenses import ExpenseFacts, ExpenseKind
from domain.money import Money

FACT_COLUMNS: Final = "campaign, kind, minor, currency, hours, hourly_rate, incurred_on, description"
EXPENSE_COLUMNS: Final = f"id, version, {FACT_COLUMNS}, reference, actor, created_at, changed_at, deleted_at"


@dataclass(frozen=True, slots=True)
class ExpenseView:
    """An expense as it stands. `version` counts its changes from 1; `reference`: what the file that it was imported from
    calls it; `actor` added it. Once it is deleted (`deleted_at`) it is in no sum."""

    id: UUID
    version: int
    facts: ExpenseFacts
    reference: str | None
    actor: str
    created_at: datetime
    changed_at: datetime
    deleted_at: datetime | None


def expense_of(row: Sequence[Any]) -> ExpenseView:
    """An expense from EXPENSE_COLUMNS."""
    identifier, version, *facts = row[:10]
    return ExpenseView(identifier, version, facts_of_row(facts), *row[10:])


def facts_of_row(row: Sequence[Any]) -> ExpenseFacts:
    """What FACT_COLUMNS hold."""
    campaign, kind, minor, currency, hours, hourly_rate, incurred_on, description = row
    money = Money(minor, currency)
    return ExpenseFacts(campaign, ExpenseKind(kind), money, hours, hourly_rate, incurred_on, description)


def row_of_facts(facts: ExpenseFacts) -> tuple[Any, ...]:
    """The values of FACT_COLUMNS."""
    return (facts.campaign, facts.kind.value, *facts.money, *facts[3:])
