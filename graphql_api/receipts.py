"""Receipts: why something was charged, held or refused, by the id of what it is about."""

from datetime import datetime
from typing import Annotated, Final

import strawberry

from domain import budget_steps, ids, receipt_lines
from domain.budget_steps import Measure
from domain.refusals import BudgetScope
from domain.wallets import Unit
from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.identifiers import parse_ledger_entry_id
from graphql_api.ledger_entries import LedgerEntry
from graphql_api.reservations import Reservation
from graphql_api.scalars import Amount, Count, UsdAmount, amount, usd
from graphql_api.wallets import Charge, LotDraw
from infra.queries import receipts as query
from infra.queries.receipts import ReceiptView
from infra.services.callers import Role


@strawberry.type(description="One step of the reckoning: a quantity of something, its price, and what it comes to.")
class ReceiptLine:
    """One step of the reckoning."""

    label: str = strawberry.field(description="What it is, in words.")
    quantity: Amount = strawberry.field(description="How much of it, such as tokens, calls or pieces.")
    unit_price: UsdAmount | None = strawberry.field(
        description="The price for each `per` of it; null where the amount is no quantity times a price of the list."
    )
    per: Count = strawberry.field(description="How many the price is for: 1000000 for tokens, 1 for calls.")
    price_effective_from: datetime | None = strawberry.field(
        description="Since when this price has held: it names the version of the price."
    )
    amount: Amount = strawberry.field(description="What it comes to, in `unit`.")
    unit: Unit = strawberry.field(description="What the amount counts.")

    @classmethod
    def of(cls, line: receipt_lines.Line) -> "ReceiptLine":
        return cls(
            label=line.label,
            quantity=Amount(line.quantity),
            unit_price=usd(line.unit_price),
            per=Count(line.per),
            price_effective_from=line.price_effective_from,
            amount=Amount(line.amount),
            unit=line.unit,
        )


@strawberry.type(description="One budget in one period, before and after.")
class BudgetStep:
    """One budget, before and after."""

    scope: BudgetScope = strawberry.field(description="The level.")
    scope_id: str | None = strawberry.field(description="The agent role, campaign or tag; null for the tenant.")
    period: str | None = strawberry.field(
        description="The month, such as 2026-11, or TOTAL; null in the receipt of a refusal."
    )
    measure: Measure = strawberry.field(description="Whether the figures are what was spent, or with what is held.")
    before: UsdAmount = strawberry.field(description="Where it stood before.")
    after: UsdAmount = strawberry.field(description="Where it stood after. A refusal moves nothing.")
    cap: UsdAmount | None = strawberry.field(description="The cap that held then; null if there was none.")

    @classmethod
    def of(cls, step: budget_steps.BudgetStep) -> "BudgetStep":
        scope, scope_id, period = step.counter
        return cls(
            scope=scope,
            scope_id=scope_id or None,
            period=period or None,
            measure=step.measure,
            before=UsdAmount(step.before),
            after=UsdAmount(step.after),
            cap=usd(step.cap),
        )


@strawberry.type(
    description="Why something was charged, held or refused: calls by class of tokens x the price that held = what the "
    "provider charged; by the rate card, what the tenant was charged; the lots that paid; each budget before and after; and "
    "the rule in words."
)
class Receipt:
    """What explains one thing."""

    lines: list[ReceiptLine] = strawberry.field(description="The reckoning, from the calls to the charges.")
    lots: list[LotDraw] = strawberry.field(
        description="The lots that it drew on, in order. Calls that were charged together share the draws of all of them; calls "
        "of a large batch show none."
    )
    budgets: list[BudgetStep] = strawberry.field(
        description="Each budget before and after, in the order in which caps are checked; of the entry of a large "
        "batch, 100 of them, those with a cap first; empty for what was decided before receipts were kept."
    )
    total: Amount | None = strawberry.field(
        description="What was charged; null where nothing was, or where it is in different units: `charges` has them all."
    )
    unit: Unit | None = strawberry.field(description="What the total counts.")
    rule: str = strawberry.field(description="What decided, in words.")
    charges: list[Charge] = strawberry.field(description="What was charged, wallet by wallet.")
    entries: list[LedgerEntry] = strawberry.field(description="The ledger entries that it stands on.")
    reservation: Reservation | None = strawberry.field(description="The reservation that it is about, if any.")

    @classmethod
    def of(cls, view: ReceiptView) -> "Receipt":
        receipt = view.receipt
        total = receipt.total
        return cls(
            lines=[ReceiptLine.of(line) for line in receipt.lines],
            lots=[LotDraw(draw=draw, amount=Amount(draw.amount)) for draw in view.draws],
            budgets=[BudgetStep.of(step) for step in receipt.steps],
            total=None if total is None else amount(total[0]),
            unit=None if total is None else total[1],
            rule=receipt.rule,
            charges=[Charge(wallet_key=key, amount=Amount(charged)) for key, charged in receipt.charges],
            entries=[LedgerEntry.of(entry) for entry in view.entries],
            reservation=None if view.reservation is None else Reservation.of(view.reservation),
        )


_IDS: Final = (
    "The id of a reservation (rsv_...), a usage event (use_...), a ledger entry (led_...) or a refusal (ref_...)."
)


@strawberry.type
class ReceiptQueries:
    """What can be asked about receipts."""

    @field(
        description="What explains a reservation (rsv_...), a call (use_...), a ledger entry (led_...) or a refusal "
        "(ref_..., kept for 90 days); null if the tenant has nothing of this id. Figures for operators are in an operator's "
        "receipt alone."
    )
    async def receipt(
        self, info: Info, public_id: Annotated[strawberry.ID, strawberry.argument(name="id", description=_IDS)]
    ) -> Receipt | None:
        view = await _found(info, public_id)
        return None if view is None else Receipt.of(view)


async def _found(info: Info, public_id: str) -> ReceiptView | None:
    application, caller = info.context.application, info.context.caller
    tenant_id, for_operator = caller.tenant_id, caller.role is Role.OPERATOR
    kind = ids.KINDS.get(public_id.partition("_")[0])
    if kind == "ledger_entry":
        place = parse_ledger_entry_id(public_id)
        found = None if place is None else query.of_entry(application, tenant_id, place, for_operator=for_operator)
        return None if found is None else await found
    identifier = None if kind is None else ids.parse(kind, public_id)
    if identifier is None:
        return None
    match kind:
        case "reservation":
            return await query.of_reservation(application, tenant_id, identifier, for_operator=for_operator)
        case "usage_event":
            return await query.of_event(application, tenant_id, identifier, for_operator=for_operator)
        case "refusal":
            return await query.of_refusal(application, tenant_id, identifier)
        case _:
            return None
