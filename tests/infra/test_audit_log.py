"""The audit log on PostgreSQL: with each decision, or not at all, and for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from domain.audit_log import AuditEvent
from domain.budgets import ScopeKey, ScopeKind
from domain.channels import ChannelKind
from domain.controls import BudgetState
from infra import audit_log
from infra.application import Application
from infra.services import budgets, catalog, scopes, tenants, wallets
from infra.services.callers import Caller
from infra.services.channels import add_channel
from infra.services.tenants import TenantOrder
from tests.domain.builders import agent_month, capped, nano, tenant_month
from tests.infra.builders import OPERATOR, nothing_moves, open_tenant, reserved

CAMPAIGN = ScopeKey(ScopeKind.CAMPAIGN, "spring")
ADDRESS = "https://hooks.slack.com/services/T00000000/B00000000/abcDEF123456ghiJKL789mno"


async def logged(application: Application, caller: Caller) -> list[tuple[Any, ...]]:
    """What the log says of a tenant, in its order, but that it was set up."""
    rows = await application.readers.of(caller.tenant_id).fetch(
        "SELECT operation, actor, role, subject, idempotency_key FROM audit_event"
        " WHERE operation <> 'createTenant' ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def test_a_batch_records_each_decision_once_and_no_work(application: Application, caller: Caller) -> None:
    """Decisions, their retries, refusals and work, all at once."""
    stranger = await open_tenant(application, "globex", credits="7")
    budget = capped(tenant_month(), "100")
    await asyncio.gather(
        reserved(application, caller, "r"),
        *[budgets.set_budget(application, caller, "b", budget) for _ in range(3)],
        budgets.set_budget(application, caller, "b", capped(tenant_month(), "7")),
        budgets.set_budget(application, caller, "bad", capped(agent_month(), "-1")),
        wallets.adjust_wallet(application, stranger, "a", "credits", nano("5"), "goodwill"),
        wallets.adjust_wallet(application, stranger, "n", "nothing", nano("5"), "goodwill"),
    )
    expected = ("setBudget", "key:test", "ADMIN", "tenant", "b")
    assert await logged(application, caller) == [expected]
    assert await logged(application, stranger) == [("adjustWallet", "key:test", "ADMIN", "wallet:credits", "a")]
    async with nothing_moves(application):
        assert isinstance(await budgets.set_budget(application, caller, "b", budget), BudgetState)


async def test_a_commit_that_fails_leaves_neither_the_decision_nor_its_record(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two goes wrong, and whoever makes the commit."""

    async def broken(*_: object, **__: object) -> None:
        raise asyncpg.DiskFullError("no space left on device")

    order = TenantOrder("new", "New", "india", "starter", metered=False)
    row = {"region": "india", "key": "b", "wallet": "credits", "amount": "5", "price": "200", "currency": "INR"}
    decisions: dict[str, Callable[[], Awaitable[object]]] = {
        "infra.changes.audit_log.record": lambda: scopes.pause_scope(application, caller, "p", CAMPAIGN),
        "infra.services.budgets.record": lambda: budgets.set_default_budget(application, OPERATOR, agent_month(), 1),
        "infra.services.tenants.record": lambda: tenants.create_tenant(application, OPERATOR, "t", order),
        "infra.services.catalog.record": lambda: catalog.publish_bundle(application, OPERATOR, "c", row),
        "infra.services.channels.record": lambda: add_channel(
            application, caller, "s", ChannelKind.SLACK, "ops", ADDRESS
        ),
    }
    for place, decide in decisions.items():
        async with nothing_moves(application):
            with monkeypatch.context() as patch:
                patch.setattr(place, broken)
                with pytest.raises(asyncpg.DiskFullError):
                    await decide()
    # And the other way round: the record is written, and then the rest of the commit fails.
    genuine = audit_log.record

    async def recorded_in_vain(connection: Any, event: AuditEvent, at: Any) -> None:
        await genuine(connection, event, at=at)
        await broken()

    async with nothing_moves(application):
        with monkeypatch.context() as patch:
            patch.setattr("infra.changes.audit_log.record", recorded_in_vain)
            with pytest.raises(asyncpg.DiskFullError):
                await scopes.pause_scope(application, caller, "p", CAMPAIGN)


async def test_no_role_alters_or_deletes_what_was_recorded(application: Application, caller: Caller) -> None:
    await scopes.pause_scope(application, caller, "p", CAMPAIGN)
    async with nothing_moves(application):
        for statement in ("UPDATE audit_event SET actor = 'nobody'", "DELETE FROM audit_event", "TRUNCATE audit_event"):
            for connect in (
                application.writers.acquire,
                application.across_tenants.acquire,
                application.readers.of(caller.tenant_id).acquire,
            ):
                async with connect() as connection:
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.execute(statement)


async def test_a_record_is_made_in_the_transaction_of_its_decision(application: Application, caller: Caller) -> None:
    event = AuditEvent(caller.tenant_id, caller.actor, None, "setBudget", "tenant")
    async with application.writers.acquire() as connection:
        with pytest.raises(AssertionError):
            await audit_log.record(connection, event, at=application.clock())
