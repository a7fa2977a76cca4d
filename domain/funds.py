"""Funds: what follows when a wallet comes back from below zero, or the prepaid one runs low or empty.

Empty is a prepaid wallet that could not pay the cheapest call of the rate card, even if all that is held came back: then
the tenant's campaigns are deactivated, and none can be activated before there is balance; a person activates them
again (document 002). A tenant without a metered wallet is not concerned.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeVar

from domain.books import Books, Changes, Decision, Event, EventType, paused
from domain.budgets import Scope, ScopeKey, ScopeKind, ScopeStatus
from domain.rates import RateCard
from domain.refusals import BudgetScope, InsufficientFunds, PlanLimit, ScopePaused
from domain.wallets import METERED_KEY, Wallet

T = TypeVar("T")
METERED_EMPTY: Final = "metered_empty"


def events_of(books: Books, after: Iterable[Wallet], now: datetime) -> tuple[Event, ...]:
    """What others must hear of wallets that a decision has moved: a debt that is repaid, a threshold that is crossed
    downwards, a prepaid wallet that has become empty."""
    events: list[Event] = []
    for wallet in after:
        before = books.wallets.get(wallet.key)
        if before is None:
            continue
        if before.available < 0 <= wallet.available:
            events.append(Event(EventType.DEBT_REPAID, (("wallet", wallet.key), ("available", wallet.available))))
        if wallet.low_balance is None:
            continue
        if wallet.available < wallet.low_balance <= before.available:
            events.append(_event(EventType.BALANCE_LOW, wallet))
        if wallet.available + wallet.reserved < before.available + before.reserved:
            card = books.catalog.rate_cards.at(now, now)
            if is_empty(wallet, card) and not is_empty(before, card):
                events.append(_event(EventType.BALANCE_EMPTY, wallet))
    return tuple(events)


def is_empty(wallet: Wallet, card: RateCard | None) -> bool:
    """Whether nothing could be paid from a prepaid wallet any more."""
    return wallet.available + wallet.reserved < (1 if card is None else card.least_metered)


def metered_is_empty(books: Books, now: datetime) -> Wallet | None:
    """The tenant's prepaid wallet if it is empty."""
    wallet = books.wallets.get(METERED_KEY)
    if wallet is None or not is_empty(wallet, books.catalog.rate_cards.at(now, now)):
        return None
    return wallet


def deactivate(campaigns: Iterable[Scope]) -> Changes:
    """Deactivate campaigns because the prepaid wallet is empty. What a person has paused or deactivated stays as it is."""
    scopes = tuple(
        [
            Scope(scope.key, scope.name, ScopeStatus.INACTIVE, METERED_EMPTY)
            for scope in campaigns
            if scope.status is ScopeStatus.ACTIVE or scope.paused_by_budget
        ]
    )
    return Changes(scopes=scopes, events=tuple([paused(scope) for scope in scopes]))


def newcomer(
    books: Books, agent_role: str | None, campaign: str | None, now: datetime
) -> ScopePaused | PlanLimit | None:
    """Why work may not bring a campaign or an agent role that nobody has seen before."""
    scopes = books.book.scopes
    if campaign is not None and ScopeKey(ScopeKind.CAMPAIGN, campaign) not in scopes:
        empty = metered_is_empty(books, now)
        if empty is not None:
            return ScopePaused(BudgetScope.CAMPAIGN, campaign, METERED_EMPTY)
    if agent_role is not None and ScopeKey(ScopeKind.AGENT, agent_role) not in scopes:
        return agents_limit(books, agent_role, now)
    return None


def without_newcomers(books: Books, decision: Decision[T], now: datetime) -> Decision[T]:
    """Usage is always taken; but a campaign that it brings while the prepaid wallet is empty begins deactivated."""
    if books.agents is None or metered_is_empty(books, now) is None:
        return decision
    changes = decision.changes
    seen = {seen.key for seen in changes.seen if seen.key.kind is ScopeKind.CAMPAIGN}
    found = deactivate([Scope(key) for key in sorted(seen) if key not in books.book.scopes])
    return Decision(
        decision.answer,
        changes._replace(scopes=changes.scopes + found.scopes, events=changes.events + found.events),
    )


def agents_limit(books: Books, agent_role: str, now: datetime) -> PlanLimit | None:
    """Whether the plan has no room for an agent role beside the others (document 004: 10 or 25 agents)."""
    plan = books.catalog.plan(books.tenant.region, books.tenant.plan, now)
    used = len((books.agents or frozenset()) - {agent_role})
    return None if plan is None or used < plan.agents else PlanLimit("agent roles", plan.agents, used)


def may_activate(books: Books, key: ScopeKey, now: datetime) -> InsufficientFunds | PlanLimit | None:
    """Why a campaign or an agent role that is not active cannot be activated now."""
    if key.kind is ScopeKind.AGENT:
        return agents_limit(books, key.id, now)
    empty = metered_is_empty(books, now) if key.kind is ScopeKind.CAMPAIGN else None
    if empty is None:
        return None
    card = books.catalog.rate_cards.at(now, now)
    return InsufficientFunds(METERED_KEY, 1 if card is None else card.least_metered, empty.available)


def _event(kind: EventType, wallet: Wallet) -> Event:
    return Event(kind, (("wallet", wallet.key), ("available", wallet.available), ("threshold", wallet.low_balance)))
