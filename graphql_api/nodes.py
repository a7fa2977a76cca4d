"""Nodes: whatever has an id, found by it. An id of another tenant answers as one that does not exist."""

from typing import Annotated

import strawberry

from domain import ids
from domain.budgets import ScopeKind
from graphql_api.alerts import Alert
from graphql_api.budgets import Budget
from graphql_api.catalog import Provider, RateCard
from graphql_api.context import Context, Info
from graphql_api.expenses import Expense
from graphql_api.fields import field
from graphql_api.identifiers import parse_budget_id, parse_ledger_entry_id, parse_scope_id
from graphql_api.interfaces import Node
from graphql_api.ledger_entries import LedgerEntry
from graphql_api.reservations import Reservation
from graphql_api.scopes import Scope
from graphql_api.tenants import Tenant
from graphql_api.topups import TopUp
from graphql_api.usage import UsageEvent
from graphql_api.wallets import Lot, Wallet
from infra.queries import tenants as tenants_query


@strawberry.type
class NodeQueries:
    """What can be asked by id alone."""

    @field(description="Whatever has this id; null if the tenant has nothing of the kind.")
    async def node(
        self, info: Info, public_id: Annotated[strawberry.ID, strawberry.argument(name="id", description="Its id.")]
    ) -> Node | None:
        kind = ids.KINDS.get(public_id.partition("_")[0])
        if kind in _BY_UUID:
            return await _by_uuid(info.context, kind, public_id)
        return await _by_address(info.context, kind, public_id)


_BY_UUID = frozenset({"wallet", "lot", "reservation", "usage_event", "top_up", "tenant", "alert", "expense"})


async def _by_uuid(context: Context, kind: str, public_id: str) -> Node | None:
    identifier = ids.parse(kind, public_id)
    if identifier is None:
        return None
    loaders = context.loaders
    match kind:
        case "wallet":
            view = await loaders.wallets.load(identifier)
            return None if view is None else Wallet.of(view)
        case "lot":
            lot = await loaders.lots.load(identifier)
            return None if lot is None else Lot.of(lot)
        case "reservation":
            reservation = await loaders.reservations.load(identifier)
            return None if reservation is None else Reservation.of(reservation)
        case "top_up":
            top_up = await loaders.top_ups.load(identifier)
            return None if top_up is None else TopUp.of(top_up)
        case "alert":
            alert = await loaders.alerts.load(identifier)
            return None if alert is None else Alert.of(alert)
        case "expense":
            expense = await loaders.expenses.load(identifier)
            return None if expense is None else Expense.of(expense)
        case "tenant":
            own = identifier == context.caller.tenant_id
            tenant = await tenants_query.get(context.application, identifier) if own else None
            return None if tenant is None else Tenant.of(tenant)
        case _:
            event = await loaders.usage_events.load(identifier)
            return None if event is None else UsageEvent.of(event)


async def _by_address(context: Context, kind: str | None, public_id: str) -> Node | None:
    loaders = context.loaders
    match kind:
        case "ledger_entry":
            place = parse_ledger_entry_id(public_id)
            entry = None if place is None else await loaders.ledger_entries.load(place)
            return None if entry is None else LedgerEntry.of(entry)
        case "budget":
            budget_key = parse_budget_id(public_id)
            view = None if budget_key is None else await loaders.budgets.load(budget_key)
            return None if view is None else Budget.of(view)
        case "scope":
            scope_key = parse_scope_id(public_id)
            known = scope_key is not None and scope_key.kind in (ScopeKind.TENANT, ScopeKind.AGENT, ScopeKind.CAMPAIGN)
            scope = await loaders.scopes.load(scope_key) if scope_key is not None and known else None
            return None if scope is None else Scope.of(scope)
        case "rate_card":
            version = public_id.removeprefix("rcd_")
            short = version.isascii() and version.isdigit() and len(version) < 10
            catalog = (await context.application.current_catalog()).for_tenant(context.caller.tenant_id)
            card = catalog.rate_cards.version(int(version)) if short else None
            return None if card is None else RateCard.of(card)
        case "provider":
            slug = public_id.removeprefix("prv_")
            catalog = await context.application.current_catalog()
            provider = catalog.providers.at(slug, context.application.clock())
            return None if provider is None else Provider.of(provider)
        case _:
            return None
