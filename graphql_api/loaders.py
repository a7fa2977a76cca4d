"""Loaders: things that an answer refers to, fetched together and only if they were asked for."""

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from domain.budgets import BudgetKey, Scope, ScopeKey
from domain.holds import Reservation
from domain.ledger import Entry
from domain.payments import TopUp
from domain.usage import UsageEvent
from domain.wallets import Lot
from infra.alert_rows import RaisedAlert
from infra.application import Application
from infra.expense_rows import ExpenseView
from infra.queries import (
    alerts,
    budgets,
    campaign_costs,
    expenses,
    ledger_entries,
    lots,
    recharges,
    reservations,
    scopes,
    tenants,
    topups,
    usage_events,
    wallets,
)
from infra.queries.budgets import BudgetView
from infra.queries.campaign_costs import CostsKey, Entered, ModelsKey, ModelSpend, NewestKey, Tracked
from infra.queries.expenses import ExpenseVersion
from infra.queries.recharges import RechargeView
from infra.queries.scopes import RegisteredScope
from infra.queries.tenants import TenantView
from infra.queries.wallets import WalletView

Key = TypeVar("Key")
Found = TypeVar("Found")


class Loaders:
    """One set per request, each made when it is first needed."""

    def __init__(self, application: Application, tenant_id: UUID) -> None:
        self._application = application
        self._tenant_id = tenant_id

    @cached_property
    def wallets(self) -> DataLoader[UUID, WalletView | None]:
        return self._of(wallets.get_many)

    @cached_property
    def wallets_by_key(self) -> DataLoader[str, WalletView | None]:
        return self._of(wallets.get_many_by_key)

    @cached_property
    def lots(self) -> DataLoader[UUID, Lot | None]:
        return self._of(lots.get_many)

    @cached_property
    def ledger_entries(self) -> DataLoader[tuple[UUID, int], Entry | None]:
        return self._of(ledger_entries.get_many)

    @cached_property
    def reservations(self) -> DataLoader[UUID, Reservation | None]:
        return self._of(reservations.get_many)

    @cached_property
    def usage_events(self) -> DataLoader[UUID, UsageEvent | None]:
        return self._of(usage_events.get_many)

    @cached_property
    def budgets(self) -> DataLoader[BudgetKey, BudgetView | None]:
        return self._of(budgets.get_many)

    @cached_property
    def scopes(self) -> DataLoader[ScopeKey, Scope | None]:
        return self._of(scopes.get_many)

    @cached_property
    def top_ups(self) -> DataLoader[UUID, TopUp | None]:
        return self._of(topups.get_many)

    @cached_property
    def alerts(self) -> DataLoader[UUID, RaisedAlert | None]:
        return self._of(alerts.get_many)

    @cached_property
    def recharges(self) -> DataLoader[str, RechargeView | None]:
        return self._of(recharges.get_many)

    @cached_property
    def tenants(self) -> DataLoader[UUID, TenantView | None]:
        return self._of(tenants.get_many)

    @cached_property
    def expenses(self) -> DataLoader[UUID, ExpenseView | None]:
        return self._of(expenses.get_many)

    @cached_property
    def expense_histories(self) -> DataLoader[UUID, tuple[ExpenseVersion, ...]]:
        return self._of(expenses.histories)

    @cached_property
    def newest_expenses(self) -> DataLoader[NewestKey, tuple[ExpenseView, ...]]:
        return self._of(campaign_costs.newest)

    @cached_property
    def registered(self) -> DataLoader[ScopeKey, RegisteredScope | None]:
        return self._of(scopes.registered)

    @cached_property
    def entered(self) -> DataLoader[CostsKey, Entered]:
        return self._of(campaign_costs.entered)

    @cached_property
    def customers_won(self) -> DataLoader[CostsKey, int]:
        return self._of(campaign_costs.customers_won)

    @cached_property
    def tracked_of_campaigns(self) -> DataLoader[CostsKey, Tracked]:
        return self._of(campaign_costs.tracked_of_campaigns)

    @cached_property
    def tracked_of_accounts(self) -> DataLoader[CostsKey, Tracked]:
        return self._of(campaign_costs.tracked_of_accounts)

    @cached_property
    def models_of_campaigns(self) -> DataLoader[ModelsKey, tuple[ModelSpend, ...]]:
        return self._of(campaign_costs.models_of_campaigns)

    @cached_property
    def models_of_accounts(self) -> DataLoader[ModelsKey, tuple[ModelSpend, ...]]:
        return self._of(campaign_costs.models_of_accounts)

    def _of(
        self, get_many: Callable[[Application, UUID, Sequence[Key]], Awaitable[list[Found]]]
    ) -> DataLoader[Key, Found]:
        async def load(keys: list[Key]) -> list[Found]:
            return await get_many(self._application, self._tenant_id, keys)

        # Without a memory: the second mutation of a request must not see what the first one read.
        return DataLoader(load, cache=False)
