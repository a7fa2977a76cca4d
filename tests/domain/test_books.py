"""Books: what is registered, and what others are told."""

from domain.attribution import NOBODY, Attribution
from domain.books import Event, EventType, Seen, paused, resumed, seen
from domain.budgets import Scope, ScopeKey, ScopeKind, ScopeStatus


def test_the_customers_ids_are_registered_and_a_campaign_knows_its_client() -> None:
    full = Attribution("p", "r", "c", "a", "cl", "role", "s", "t", (("k", "v"),))
    assert seen(full) == (
        Seen(ScopeKey(ScopeKind.AGENT, "role")),
        Seen(ScopeKey(ScopeKind.CAMPAIGN, "c"), "cl"),
        Seen(ScopeKey(ScopeKind.CLIENT, "cl")),
        Seen(ScopeKey(ScopeKind.PROJECT, "p")),
        Seen(ScopeKey(ScopeKind.ACCOUNT, "a")),
    )
    assert seen(NOBODY) == ()


def test_workers_are_told_which_scope_and_why() -> None:
    scope = Scope(ScopeKey(ScopeKind.TENANT, ""), None, ScopeStatus.PAUSED, "manual_pause")
    payload = (("scope", "TENANT"), ("scopeId", None), ("reason", "manual_pause"), ("period", None), ("cap", None))
    assert paused(scope) == Event(EventType.SCOPE_PAUSED, payload)
    assert resumed(scope) == Event(EventType.SCOPE_RESUMED, payload)
