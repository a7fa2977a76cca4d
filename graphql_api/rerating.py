"""Re-rating: operators correct what happened by the prices that are published now."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import strawberry

from domain import ids
from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.ids import NIL
from domain.usage import EARLIEST, EPOCH
from domain.wallets import unit_of
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.plans import WalletAmount
from graphql_api.scalars import Amount, UsdAmount
from graphql_api.usage_filters import LATEST
from infra.services import rerating as service
from infra.services.rerating import Place, RerateReport, Selection, TenantTotals

MOST_AT_ONCE: Final = 2_000

_CURSOR: Final = re.compile(r"(ten_[0-9a-f]{32})_([0-9]{1,17})_(use_[0-9a-f]{32})", re.ASCII)
_MICROSECOND: Final = timedelta(microseconds=1)


@strawberry.input(
    description="Which usage is priced again: that of a provider with from <= occurredAt < to, of the tenant that the header "
    "Purser-Tenant names, else of every tenant."
)
class RerateUsageInput:
    """Which usage is priced again."""

    provider: str = strawberry.field(description="The provider's slug.")
    model: str | None = strawberry.field(default=None, description="The model; null for all of the provider's.")
    operation: str | None = strawberry.field(default=None, description="The operation; null for all.")
    start: datetime = strawberry.field(name="from", description="The first moment that counts.")
    end: datetime = strawberry.field(name="to", description="The first moment after it that does not.")
    only_unpriced: bool | None = strawberry.field(
        default=False, description="Leave usage alone that has a price already."
    )
    dry_run: bool | None = strawberry.field(
        default=True, description="Answer what it would come to, and write nothing: send false to correct it."
    )
    after: str | None = strawberry.field(
        default=None, description="The endCursor of the call before; null for the first call."
    )


@strawberry.type(description="What re-rating makes of a tenant's usage, or would make of it.")
class TenantRerating:
    """What re-rating makes of a tenant's usage."""

    slug: str = strawberry.field(description="The tenant.")
    events: int = strawberry.field(description="Events that were looked at.")
    corrected: int = strawberry.field(description="Events that cost something else by now.")
    priced: int = strawberry.field(description="Corrected events that had no price before.")
    unpriced: int = strawberry.field(description="Events that still have none: publish it, and re-rate them again.")
    held: int = strawberry.field(description="Events of work that is not settled yet: re-rate them again later.")
    unfit: int = strawberry.field(
        description="Events whose correction is more than the books can hold: look at their price."
    )
    cost_usd: UsdAmount = strawberry.field(description="What they cost more; negative: less.")
    charges: list[WalletAmount] = strawberry.field(
        description="What is charged more per wallet, below zero if need be; negative: what is given back."
    )

    @classmethod
    def of(cls, totals: TenantTotals) -> "TenantRerating":
        rerated = totals.rerated
        return cls(
            slug=totals.slug,
            events=totals.events,
            corrected=rerated.corrected,
            priced=rerated.priced,
            unpriced=rerated.unpriced,
            held=rerated.held,
            unfit=rerated.unfit,
            cost_usd=UsdAmount(rerated.cost),
            charges=[
                WalletAmount(wallet_key=key, unit=unit_of(key), amount=Amount(amount))
                for key, amount in rerated.charges
            ],
        )


@strawberry.type(description="What became of up to 2,000 events.")
class RerateUsageResult:
    """What became of some events."""

    dry_run: bool = strawberry.field(description="Whether nothing was written.")
    tenants: list[TenantRerating] = strawberry.field(description="The tenants that have any of this usage.")
    complete: bool = strawberry.field(description="Whether that was all.")
    end_cursor: str | None = strawberry.field(
        description="Send it as after to go on with the next events; null if that was all."
    )

    @classmethod
    def of(cls, report: RerateReport, *, dry_run: bool) -> "RerateUsageResult":
        return cls(
            dry_run=dry_run,
            tenants=[TenantRerating.of(totals) for totals in report.tenants],
            complete=report.complete,
            end_cursor=None if report.end is None else _cursor(report.end),
        )


@strawberry.type
class RerateMutations:
    """What can be done about prices that came late."""

    @field(
        description="Operators: correct what happened by the prices published now. Usage without a price gets it; where a price "
        "was corrected, the difference is charged or given back, and budgets count it in its month. Costs that a provider "
        "reported stay. Doing it again changes nothing. A dry run unless dryRun is false; up to 2,000 events at once."
    )
    async def rerate_usage(
        self,
        info: Info,
        given: Annotated[RerateUsageInput, strawberry.argument(name="input", description="Which usage.")],
    ) -> RerateUsageResult:
        context, dry_run = info.context, given.dry_run is not False
        tenant_id = None if context.caller.tenant_id == NIL else context.caller.tenant_id
        report = await service.rerate(
            context.application,
            context.caller.actor,
            _selection(given, tenant_id),
            dry_run=dry_run,
            after=None if given.after is None else _place(given.after),
            most=MOST_AT_ONCE,
        )
        return RerateUsageResult.of(report, dry_run=dry_run)


def _selection(given: RerateUsageInput, tenant_id: UUID | None) -> Selection:
    for name, value in (("provider", given.provider), ("model", given.model), ("operation", given.operation)):
        if value is not None and not is_identifier(value):
            raise bad_input(f"input.{name} {IDENTIFIER_RULE}")
    if not EARLIEST <= given.start < given.end <= LATEST:
        raise bad_input("input.from must lie before input.to, both in the years 2000 to 9997")
    only_unpriced = bool(given.only_unpriced)
    return Selection(tenant_id, given.provider, given.model, given.operation, given.start, given.end, only_unpriced)


def _cursor(place: Place) -> str:
    microseconds = (place.occurred_at - EPOCH) // _MICROSECOND
    return f"{ids.public('tenant', place.tenant_id)}_{microseconds}_{ids.public('usage_event', place.event_id)}"


def _place(cursor: str) -> Place:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise bad_input("input.after must be an endCursor of rerateUsage")
    tenant_id, event_id = ids.parse("tenant", match[1]), ids.parse("usage_event", match[3])
    assert tenant_id is not None, "the form is checked"
    assert event_id is not None, "the form is checked"
    return Place(tenant_id, EPOCH + int(match[2]) * _MICROSECOND, event_id)
