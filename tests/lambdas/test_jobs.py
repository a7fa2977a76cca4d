"""The jobs under Lambda's own client: each does the work of its service, and doing it again changes nothing."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from domain.recharges import RechargeState
from domain.topups import Ordered
from domain.usage import Usage
from domain.wallets import LotSource
from infra.application import Application, open_application
from infra.services import recharges, topups, usage, wallets
from infra.services.callers import Caller
from infra.services.usage import ReportedUsage
from infra.settings import Settings
from tests.domain.builders import nano
from tests.infra.builders import audit, balance, count, nothing_moves, open_tenant
from tests.infra.stand_in import API_KEY, WEBHOOK_SECRET, RunningStandIn, running_stand_in
from tests.lambdas.runtime_api import Answered, Function, function

TIMELY: Final = "tests.lambdas.timely_jobs"
SPRING: Final = "2037-03-01T00:00:00Z"


@pytest.fixture
async def stand_in() -> AsyncIterator[RunningStandIn]:
    """Stripe's stand-in; what it sends to the webhook is kept, and arrives only if a test takes it there."""
    async with running_stand_in() as running:
        yield running


@pytest.fixture
async def application(settings: Settings, database_url: str, stand_in: RunningStandIn) -> AsyncIterator[Application]:
    """The web server's application, with payments."""
    gateway = stand_in.gateway()
    async with open_application(settings, database_url, gateway=gateway) as opened:
        yield opened
    await gateway.close()


@pytest.fixture
async def caller(application: Application) -> Caller:
    """A tenant with 10 dollars."""
    return await open_tenant(application, metered="10")


@pytest.fixture
def with_payments(variables: dict[str, str], stand_in: RunningStandIn) -> dict[str, str]:
    """The environment of jobs that ask Stripe."""
    stripe = {"STRIPE_API_KEY": API_KEY, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET, "STRIPE_API_BASE": stand_in.url}
    return variables | stripe


async def test_start_cycles_grants_each_cycle_once(
    application: Application, caller: Caller, variables: dict[str, str]
) -> None:
    with function(f"{TIMELY}.start_cycles", **variables) as start_cycles:
        for at, done in (
            ("2036-11-20T00:00:00Z", 1),
            ("2036-11-20T01:00:00Z", 0),
            ("2036-12-01T00:00:00Z", 1),
            ("2036-12-01T00:00:00Z", 0),
            ("2036-11-20T00:00:00Z", 0),
        ):
            answer = await invoke(start_cycles, {"time": at})
            assert answer == Answered({"done": done, "complete": True}), at
    wallet = await application.across_tenants.fetchrow(
        "SELECT granted, available, expired FROM wallet WHERE tenant_id = $1 AND key = 'credits'", caller.tenant_id
    )
    assert tuple(wallet or ()) == (nano("600"), nano("300"), nano("300")), "last month's are expired"
    await audit(application)


async def test_the_webhook_credits_a_paid_order_once_however_its_messages_come(
    application: Application, caller: Caller, stand_in: RunningStandIn, with_payments: dict[str, str]
) -> None:
    await pay(application, caller, stand_in)
    messages = await delivered(stand_in)
    assert len(messages) >= 2
    with function("lambdas.topup_webhook.handler", **with_payments) as webhook:
        for encoded in (False, True):
            for payload, signature in messages:
                answer = await invoke(webhook, request(payload, signature, encoded=encoded))
                assert answer.response["statusCode"] == 200, answer
    assert await balance(application, caller, "metered") == ("60", "0", "0")
    await audit(application)


async def test_the_webhook_takes_nothing_that_is_not_signed_and_says_no_more_than_that(
    application: Application, caller: Caller, stand_in: RunningStandIn, with_payments: dict[str, str]
) -> None:
    await pay(application, caller, stand_in)
    (payload, signature), *_ = await delivered(stand_in)
    old = datetime.now(UTC) + timedelta(hours=1)
    unsigned = request(payload, signature)
    del unsigned["headers"]["stripe-signature"]
    with function("lambdas.topup_webhook.handler", **with_payments) as webhook:
        async with nothing_moves(application):
            for event in (
                request(payload + b" ", signature),
                request(payload, signature.replace("v1=", "v1=0")),
                request(payload, signature, at=old),
                unsigned,
            ):
                assert await invoke(webhook, event) == Answered(
                    {"statusCode": 400, "body": "the signature does not fit, or is too old"}
                )
            large = await invoke(webhook, request(b"x" * 300_000, signature))
            assert large.response["statusCode"] == 413


async def test_the_webhook_of_an_installation_without_payments_says_so(variables: dict[str, str]) -> None:
    with function("lambdas.topup_webhook.handler", **variables) as webhook:
        answer = await invoke(webhook, request(b"{}", "t=1,v1=00"))
    assert answer == Answered({"statusCode": 503, "body": "payments are not set up here"})


async def test_reconcile_settles_an_order_whose_messages_never_came(
    application: Application, caller: Caller, stand_in: RunningStandIn, with_payments: dict[str, str]
) -> None:
    await pay(application, caller, stand_in)
    with function(f"{TIMELY}.reconcile_top_ups", **with_payments) as reconcile:
        assert await invoke(reconcile, {"at": later(minutes=1)}) == Answered({"done": 0, "complete": True})
        assert await invoke(reconcile, {"at": later(minutes=10)}) == Answered({"done": 1, "complete": True})
        assert await invoke(reconcile, {"at": later(minutes=20)}) == Answered({"done": 0, "complete": True})
    assert await balance(application, caller, "metered") == ("60", "0", "0")
    await audit(application)


async def test_recharge_charges_the_kept_card_of_a_wallet_below_its_threshold_once(
    application: Application, caller: Caller, stand_in: RunningStandIn, with_payments: dict[str, str]
) -> None:
    await pay(application, caller, stand_in)
    await topups.reconcile(application, datetime.now(UTC) + timedelta(minutes=10))
    switched_on = await recharges.set_auto_recharge(
        application, caller, "a", "metered", enabled=True, threshold=nano("70"), amount=nano("25")
    )
    assert isinstance(switched_on, RechargeState), switched_on
    with function("lambdas.recharge.handler", **with_payments) as recharge:
        assert await invoke(recharge, {"at": later()}) == Answered({"done": 1, "complete": True})
        assert await invoke(recharge, {"at": later()}) == Answered({"done": 0, "complete": True})
    assert await balance(application, caller, "metered") == ("85", "0", "0")
    await audit(application)


async def test_check_margins_tells_operators_once_and_its_metrics_tell_how_much(
    application: Application, caller: Caller, variables: dict[str, str]
) -> None:
    stray = ReportedUsage(Usage(provider="tavily", cost=nano("0.5"), source="w", event_id="1"), "blog_post")
    await usage.record_usage(application, caller, [stray])
    with function("lambdas.check_margins.handler", **variables) as check_margins:
        for done in (3, 0):
            assert await invoke(check_margins, {"at": later()}) == Answered({"done": done, "complete": True})
        measured = check_margins.measured()[0]
    assert (measured["FlaggedMargins"], measured["UnmeteredCalls"]) == (3, 1)
    assert await count(application, "alert", "kind = 'negative_margin'") == 3


async def invoke(function: Function, event: dict[str, Any]) -> Answered:
    """Its answer, while the stand-in goes on answering."""
    return await asyncio.to_thread(function.invoke, event)


async def pay(application: Application, caller: Caller, stand_in: RunningStandIn) -> None:
    """Order 50 dollars and pay them; nobody is told yet."""
    ordered = await topups.start_top_up(application, caller, "t", "metered", amount=nano("50"))
    assert isinstance(ordered, Ordered), ordered
    assert ordered.top_up.checkout_url is not None
    answer = await stand_in.press(ordered.top_up.checkout_url, "pay", card="4242 4242 4242 4242")
    assert answer.status_code == 303


async def delivered(stand_in: RunningStandIn) -> list[tuple[bytes, str]]:
    """The messages that were sent, each with its signature."""
    await stand_in.controls.deliveries.settled()
    return stand_in.received


def request(payload: bytes, signature: str, *, encoded: bool = False, at: datetime | None = None) -> dict[str, Any]:
    """As API Gateway hands it in (HTTP API, payload version 2)."""
    moment = at or datetime.now(UTC)
    return {
        "version": "2.0",
        "routeKey": "POST /stripe/webhook",
        "rawPath": "/stripe/webhook",
        "headers": {"stripe-signature": signature, "content-type": "application/json"},
        "requestContext": {"http": {"method": "POST"}, "timeEpoch": int(moment.timestamp() * 1000)},
        "body": b64encode(payload).decode() if encoded else payload.decode(),
        "isBase64Encoded": encoded,
    }


def later(*, minutes: int = 0) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


async def test_a_job_that_is_killed_half_way_is_done_by_the_next_run_and_told_as_broken_off(
    application: Application, variables: dict[str, str]
) -> None:
    callers = [await open_tenant(application, slug, metered="10") for slug in ("globex", "initech", "umbrella")]
    await expiring_credits(application, callers)
    with function(f"{TIMELY}.expire_lots", **variables) as killed:
        async with application.writers.acquire() as connection, connection.transaction():
            # The last tenant is busy: the job has booked the others and waits for this one.
            last = max(caller.tenant_id for caller in callers)
            await connection.execute("SELECT FROM tenant WHERE id = $1 FOR UPDATE", last)
            running = asyncio.create_task(invoke(killed, {"at": SPRING}))
            async with asyncio.timeout(60):
                while await count(application, "ledger_entry", "type = 'EXPIRED'") < 2:  # noqa: ASYNC110  # another process
                    await asyncio.sleep(0.01)
            killed.kill()
        assert (await running).error == {"errorType": "Killed"}
    with function(f"{TIMELY}.expire_lots", **variables) as expire_lots:
        assert await invoke(expire_lots, {"at": SPRING}) == Answered({"done": 1, "complete": True})
        assert await invoke(expire_lots, {"at": SPRING}) == Answered({"done": 0, "complete": True})
    assert await count(application, "ledger_entry", "type = 'EXPIRED'") == 3
    outcomes = await application.across_tenants.fetch("SELECT outcome, done FROM job_run ORDER BY id")
    assert [tuple(row) for row in outcomes] == [("FAILED", 0), ("DONE", 1), ("DONE", 0)]
    await audit(application)


async def expiring_credits(application: Application, callers: list[Caller]) -> None:
    """Ten credits each, that end in spring."""
    for caller in callers:
        await wallets.credit(
            application,
            caller.tenant_id,
            "credits",
            nano("10"),
            LotSource.TOP_UP,
            "gift",
            datetime(2037, 3, 1, tzinfo=UTC),
        )
