"""Expenses: what people enter against campaigns, with every version that there was."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Final

import strawberry

from domain import expenses as rules
from domain import ids
from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.expenses import ExpenseChange, ExpenseEntry, ExpenseFacts, ExpenseKind
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.identifiers import parse_or_nobodys
from graphql_api.interfaces import Node, PageInfo, page_size
from graphql_api.money import Money
from graphql_api.refusals import IdempotencyKeyReused, InvalidInput, NotFound, ScopePaused, refusal_of
from graphql_api.scalars import Amount, amount
from infra.expense_rows import ExpenseView
from infra.queries import expenses as query
from infra.queries.campaign_costs import Days
from infra.queries.expenses import ExpenseFilter, ExpensePage, Place
from infra.services import expenses as service
from infra.services.callers import Refused

_CURSOR: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})_(exp_[0-9a-f]{32})", re.ASCII)
FIRST_DAY = "Only what is of this day or later; null: from the beginning."
LAST_DAY = "Only what is of this day or earlier, the day included; null: no end."


@strawberry.type(description="What an expense was from a moment on.")
class ExpenseVersion:
    """What an expense was from a moment on."""

    version: int = strawberry.field(description="1 for the first; each change and the deletion count one more.")
    change: ExpenseChange = strawberry.field(description="How this version came to be.")
    campaign: str = strawberry.field(description="The campaign.")
    kind: ExpenseKind = strawberry.field(description="What the money went to.")
    money: Money = strawberry.field(description="How much.")
    hours: Amount | None = strawberry.field(description="Of labor: how many hours; else null.")
    hourly_rate: Amount | None = strawberry.field(description="Of labor: what an hour cost; else null.")
    incurred_on: date = strawberry.field(description="The day.")
    description: str | None = strawberry.field(description="In words.")
    actor: str = strawberry.field(description="Who made it so.")
    changed_at: datetime = strawberry.field(description="When.")

    @classmethod
    def of(cls, found: query.ExpenseVersion) -> "ExpenseVersion":
        return cls(
            version=found.version,
            change=found.change,
            actor=found.actor,
            changed_at=found.changed_at,
            **_facts(found.facts),
        )


@strawberry.type(description="Something that a person entered against a campaign: no call of a provider, no charge.")
class Expense(Node):
    """Something that a person entered against a campaign."""

    expense_id: strawberry.Private[Any]
    campaign: str = strawberry.field(description="The campaign that it was for.")
    kind: ExpenseKind = strawberry.field(description="What the money went to.")
    money: Money = strawberry.field(description="How much. Labor is hours times hourlyRate, rounded half up.")
    hours: Amount | None = strawberry.field(description="Of labor: how many hours; else null.")
    hourly_rate: Amount | None = strawberry.field(description="Of labor: what an hour cost; else null.")
    incurred_on: date = strawberry.field(description="The day on which it fell.")
    description: str | None = strawberry.field(
        description="In words, exactly as they were entered: whoever writes them into a spreadsheet must keep it from "
        "taking them for a formula."
    )
    reference: str | None = strawberry.field(description="What the file that it was imported from calls it; else null.")
    actor: str = strawberry.field(description="Who entered it.")
    created_at: datetime = strawberry.field(description="When it was entered.")
    version: int = strawberry.field(description="1 until it is changed; each change and its deletion count one more.")
    changed_at: datetime = strawberry.field(description="When this version was made.")
    deleted_at: datetime | None = strawberry.field(
        description="When it was deleted: since then it is in no sum and no list but that of deleted ones. Null: it counts."
    )

    @field(description="Every version that there was, oldest first; also of a deleted expense.")
    async def history(self, info: Info) -> list[ExpenseVersion]:
        found = await info.context.loaders.expense_histories.load(self.expense_id)
        return [ExpenseVersion.of(version) for version in found]

    @classmethod
    def of(cls, view: ExpenseView) -> "Expense":
        return cls(
            expense_id=view.id,
            id=strawberry.ID(ids.public("expense", view.id)),
            reference=view.reference,
            actor=view.actor,
            created_at=view.created_at,
            version=view.version,
            changed_at=view.changed_at,
            deleted_at=view.deleted_at,
            **_facts(view.facts),
        )


@strawberry.type(description="An expense in its list.")
class ExpenseEdge:
    """An expense in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: Expense = strawberry.field(description="The expense.")


@strawberry.type(description="A page of expenses.")
class ExpenseConnection:
    """A page of expenses."""

    edges: list[ExpenseEdge] = strawberry.field(description="The expenses, those of the newest day first.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: ExpensePage) -> "ExpenseConnection":
        found = [Expense.of(view) for view in page.expenses]
        edges = [ExpenseEdge(cursor=f"{each.incurred_on}_{each.id}", node=each) for each in found]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.input(description="Enter an expense. Labor has hours and hourlyRate, every other kind an amount.")
class AddExpenseInput:
    """Enter an expense."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    campaign: str = strawberry.field(description="Your own id of the campaign; registered if it is new.")
    kind: ExpenseKind = strawberry.field(description="What the money went to.")
    amount: Amount | None = strawberry.field(
        default=None, description="How much, in the currency's own unit, above zero. Of labor: leave it out."
    )
    currency: str = strawberry.field(description="ISO 4217, such as EUR. Nothing is converted.")
    hours: Amount | None = strawberry.field(default=None, description="Of labor: how many hours.")
    hourly_rate: Amount | None = strawberry.field(
        default=None, description="Of labor: what an hour costs, in the currency's own unit."
    )
    incurred_on: date = strawberry.field(description="The day on which it fell; at most a year from now.")
    description: str | None = strawberry.field(default=None, description="In words, at most 1,000 characters.")


@strawberry.input(
    description="Put other facts in the place of an expense's: all of them, as addExpense takes them. What is left out is "
    "gone, but for the history."
)
class ChangeExpenseInput(AddExpenseInput):
    """Put other facts in the place of an expense's."""

    id: strawberry.ID = strawberry.field(description="The expense: exp_...")


@strawberry.input(description="Delete an expense.")
class DeleteExpenseInput:
    """Delete an expense."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    id: strawberry.ID = strawberry.field(description="The expense: exp_...")
    reason: str | None = strawberry.field(default=None, description="Why, for the audit log: at most 1,000 characters.")


AddExpenseResult = Annotated[
    Expense | InvalidInput | IdempotencyKeyReused | ScopePaused,
    strawberry.union("AddExpenseResult", description="The expense, or why it was not entered."),
]
ChangeExpenseResult = Annotated[
    Expense | InvalidInput | IdempotencyKeyReused | NotFound | ScopePaused,
    strawberry.union("ChangeExpenseResult", description="The expense as it is now, or why it was not changed."),
]
DeleteExpenseResult = Annotated[
    Expense | InvalidInput | IdempotencyKeyReused | NotFound | ScopePaused,
    strawberry.union("DeleteExpenseResult", description="The expense that was deleted, or why it was not."),
]


@strawberry.type
class ExpenseQueries:
    """What can be asked about expenses."""

    @field(description="What people entered, those of the newest day first.")
    async def expenses(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
        campaign: Annotated[str | None, strawberry.argument(description="Only of this campaign.")] = None,
        kinds: Annotated[
            list[ExpenseKind] | None, strawberry.argument(description="Only of these kinds; null for all.")
        ] = None,
        start: Annotated[date | None, strawberry.argument(name="from", description=FIRST_DAY)] = None,
        end: Annotated[date | None, strawberry.argument(name="to", description=LAST_DAY)] = None,
        deleted: Annotated[
            bool | None, strawberry.argument(description="Those that were deleted, instead of those that count.")
        ] = False,
    ) -> ExpenseConnection:
        if campaign is not None and not is_identifier(campaign):
            raise bad_input(f"campaign {IDENTIFIER_RULE}")
        if kinds is not None and not 1 <= len(kinds) <= len(ExpenseKind):
            raise bad_input("kinds names nothing, or one more than once: leave it out, or name what to look for")
        days = days_of(start, end)
        wanted = ExpenseFilter(campaign, tuple(kinds or ()), *days, deleted=bool(deleted))
        context, place = info.context, None if after is None else _place(after)
        page = await query.page(context.application, context.caller.tenant_id, wanted, page_size(first, 20), place)
        return ExpenseConnection.of(page)


@strawberry.type
class ExpenseMutations:
    """What can be done with expenses."""

    @field(description="Enter an expense against a campaign.")
    async def add_expense(
        self,
        info: Info,
        given: Annotated[AddExpenseInput, strawberry.argument(name="input", description="The expense.")],
    ) -> AddExpenseResult:
        context = info.context
        answer = await service.add_expense(context.application, context.caller, given.idempotency_key, _entry(given))
        return refusal_of(answer) if isinstance(answer, Refused) else Expense.of(answer)

    @field(description="Change an expense. What it was stays in its history.")
    async def change_expense(
        self,
        info: Info,
        given: Annotated[ChangeExpenseInput, strawberry.argument(name="input", description="What it is to be.")],
    ) -> ChangeExpenseResult:
        context, expense_id = info.context, parse_or_nobodys("expense", given.id)
        answer = await service.change_expense(
            context.application, context.caller, given.idempotency_key, expense_id, _entry(given)
        )
        return refusal_of(answer) if isinstance(answer, Refused) else Expense.of(answer)

    @field(description="Take an expense out of all sums and lists. It is found by its id as before, with its history.")
    async def delete_expense(
        self,
        info: Info,
        given: Annotated[DeleteExpenseInput, strawberry.argument(name="input", description="Which one.")],
    ) -> DeleteExpenseResult:
        context, expense_id = info.context, parse_or_nobodys("expense", given.id)
        answer = await service.delete_expense(
            context.application, context.caller, given.idempotency_key, expense_id, given.reason
        )
        return refusal_of(answer) if isinstance(answer, Refused) else Expense.of(answer)


def days_of(start: date | None, end: date | None) -> Days:
    """The days that a client asks for."""
    for name, day in (("from", start), ("to", end)):
        if day is not None and not rules.EARLIEST <= day <= _LATEST:
            raise bad_input(f"{name} must be from {rules.EARLIEST} to {_LATEST}")
    if start is not None and end is not None and start > end:
        raise bad_input("from must not lie after to")
    return Days(start, end)


_LATEST: Final = date(9997, 12, 31)


def _entry(given: AddExpenseInput) -> ExpenseEntry:
    return ExpenseEntry(
        given.campaign,
        given.kind,
        given.currency,
        given.incurred_on,
        given.amount,
        given.hours,
        given.hourly_rate,
        given.description,
    )


def _facts(facts: ExpenseFacts) -> dict[str, Any]:
    return {
        "campaign": facts.campaign,
        "kind": facts.kind,
        "money": Money.of(facts.money),
        "hours": amount(facts.hours),
        "hourly_rate": amount(facts.hourly_rate),
        "incurred_on": facts.incurred_on,
        "description": facts.description,
    }


def _place(cursor: str) -> Place:
    match = _CURSOR.fullmatch(cursor)
    identifier = None if match is None else ids.parse("expense", match[2])
    try:
        if match is not None and identifier is not None:
            return Place(date.fromisoformat(match[1]), identifier)
    except ValueError:
        pass
    raise bad_input("after must be a cursor of this list")
