"""The daily audit: silent while the books hold; else each tenant's people are told once a day, and the operator each time."""

from datetime import timedelta

from infra.application import Application
from infra.services.audits import audit_ledger
from infra.services.progress import Progress
from tests.infra.builders import Clock, count, nothing_moves, open_tenant


async def test_books_that_hold_are_nothing_to_tell(timed: Application) -> None:
    await open_tenant(timed, credits="300", metered="50")
    async with nothing_moves(timed):
        audited = await audit_ledger(timed)
    assert (audited.progress, audited.imbalances) == (Progress(2), 0)


async def test_an_imbalance_is_told_to_its_tenant_once_a_day(timed: Application, clock: Clock) -> None:
    acme = await open_tenant(timed, credits="300")
    await open_tenant(timed, "globex", credits="300")
    await timed.writers.execute(
        "UPDATE wallet SET granted = granted + 1, available = available + 1 WHERE tenant_id = $1 AND key = 'credits'",
        acme.tenant_id,
    )
    for _ in range(2):
        audited = await audit_ledger(timed)
        assert audited.progress.complete
        assert audited.imbalances is not None
        assert audited.imbalances > 0
    rows = await timed.across_tenants.fetch("SELECT tenant_id, kind, message FROM alert")
    assert [(row[0], row[1]) for row in rows] == [(acme.tenant_id, "ledger_imbalance")]
    assert "acme/credits" in rows[0][2]
    clock.advance(days=1)
    await audit_ledger(timed)
    assert await count(timed, "alert") == 2


async def test_what_belongs_to_no_tenant_is_told_to_the_operator_alone(timed: Application) -> None:
    await timed.writers.execute(
        "INSERT INTO scope (tenant_id, kind, id, status) VALUES (gen_random_uuid(), 'AGENT', 'x', 'ACTIVE')"
    )
    assert (await audit_ledger(timed)).imbalances == 1
    assert await count(timed, "alert") == 0


async def test_out_of_time_it_says_that_it_is_not_finished(timed: Application, clock: Clock) -> None:
    audited = await audit_ledger(timed, stop_at=clock.now - timedelta(seconds=1))
    assert (audited.progress, audited.imbalances) == (Progress(0, complete=False), None)
