"""Deliveries: every event reaches every channel that wants it, under one id, whatever breaks on the way."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from domain.alerts import Alert, AlertKind
from domain.budgets import ScopeKey, ScopeKind
from domain.channels import BACK_OFF, ChannelKind, Notice
from infra import notifications
from infra.application import Application, open_application
from infra.housekeeping import housekeeping
from infra.sending import DELIVERED, Sent
from infra.services import alerts, channels, deliveries, scopes
from infra.services.callers import Caller
from infra.services.channels import ChannelAdded
from infra.services.progress import Progress
from infra.settings import Settings
from tests.infra.builders import Clock, count, nothing_moves, open_tenant
from tests.infra.receiver import Receiver, receiving

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Where tenants are trusted: webhooks go to this machine."""
    return replace(settings, local_webhooks_allowed=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture
async def acme(timed: Application) -> Caller:
    return await open_tenant(timed)


async def hook(
    application: Application, caller: Caller, receiver: Receiver, *event_types: str, key: str = "k"
) -> ChannelAdded:
    kind, url = ChannelKind.WEBHOOK, receiver.url
    answer = await channels.add_channel(application, caller, key, kind, "Ops", url, event_types)
    assert isinstance(answer, ChannelAdded), answer
    return answer


async def raise_one(application: Application, caller: Caller, about: str = "x") -> None:
    alert = Alert(AlertKind.LOW_BALANCE, None, about, 0, application.clock().date(), None, "It costs too much.")
    assert await alerts.raise_alert(application, caller.tenant_id, alert)


async def emit(application: Application, caller: Caller, event_type: str, **payload: Any) -> None:
    """An event in the outbox, as a commit leaves it."""
    await application.writers.execute(
        "INSERT INTO outbox (tenant_id, id, type, payload, created_at) VALUES ($1, gen_random_uuid(), $2, $3, $4)",
        caller.tenant_id,
        event_type,
        json.dumps(payload),
        application.clock(),
    )


async def route_and_deliver(application: Application) -> tuple[int, int]:
    """How many events were routed, and how many attempts made."""
    routed = await deliveries.route_events(application, application.clock())
    sent = await deliveries.deliver(application, application.clock())
    assert routed.complete
    assert sent.complete
    return routed.done, sent.done


async def states(application: Application) -> list[tuple[str, int, str | None]]:
    rows = await application.across_tenants.fetch("SELECT state, attempts, last_error FROM delivery ORDER BY 1, 2, 3")
    return [tuple(row) for row in rows]


async def test_a_webhook_is_signed_so_that_the_library_verifies_it(
    application: Application, receiver: Receiver
) -> None:
    acme = await open_tenant(application)
    added = await hook(application, acme, receiver)
    await raise_one(application, acme)
    assert await route_and_deliver(application) == (1, 1)
    ((headers, body),) = receiver.taken
    assert added.secret is not None
    event = await application.across_tenants.fetchrow("SELECT id, created_at, payload FROM outbox")
    assert event is not None
    assert Webhook(added.secret).verify(body, headers) == {
        "type": "alert.raised",
        "timestamp": event["created_at"].isoformat(),
        "tenant": f"ten_{acme.tenant_id.hex}",
        "data": json.loads(event["payload"]),
    }
    assert headers["webhook-id"] == f"evt_{event['id'].hex}"
    assert headers["host"] == receiver.url.split("/")[2]
    assert await states(application) == [("DELIVERED", 1, None)]
    with pytest.raises(WebhookVerificationError):
        Webhook(added.secret).verify(body + b" ", headers)
    async with nothing_moves(application):
        assert await route_and_deliver(application) == (0, 0)


async def test_amounts_are_decimals_to_those_outside(timed: Application, acme: Caller, receiver: Receiver) -> None:
    await hook(timed, acme, receiver)
    await emit(timed, acme, "wallet.low", wallet="metered", available=9_990_000_000, threshold=10**10)
    assert await route_and_deliver(timed) == (1, 1)
    told = json.loads(receiver.taken[0][1])["data"]
    assert told == {"wallet": "metered", "available": "9.99", "threshold": "10"}


async def test_each_channel_gets_the_events_that_it_names(timed: Application, acme: Caller, receiver: Receiver) -> None:
    globex = await open_tenant(timed, "globex")
    await hook(timed, acme, receiver, "scope.paused", key="pauses")
    await hook(timed, acme, receiver, "alert.raised", key="alerts")
    await hook(timed, acme, receiver, key="all")
    await scopes.pause_scope(timed, acme, "p", ScopeKey(ScopeKind.CAMPAIGN, "spring"), "over")
    await raise_one(timed, acme)
    await raise_one(timed, globex)
    assert await route_and_deliver(timed) == (3, 4)
    bodies = [json.loads(body) for _, body in receiver.taken]
    assert sorted(body["type"] for body in bodies) == ["alert.raised"] * 2 + ["scope.paused"] * 2
    assert {body["tenant"] for body in bodies} == {f"ten_{acme.tenant_id.hex}"}, "another tenant's go nowhere"


async def test_slack_and_mail_get_alerts_alone(
    timed: Application, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, Notice]] = []

    def to_slack(url: str, notice: Notice) -> Sent:
        sent.append((url, notice))
        return DELIVERED

    monkeypatch.setattr(notifications, "_to_slack", to_slack)
    url = "https://hooks.slack.com/services/T00000000/B00000000/abcDEF123456"
    assert isinstance(await channels.add_channel(timed, acme, "k", ChannelKind.SLACK, "Ops", url), ChannelAdded)
    await scopes.pause_scope(timed, acme, "p", ScopeKey(ScopeKind.CAMPAIGN, "spring"), "over")
    await raise_one(timed, acme)
    assert await route_and_deliver(timed) == (2, 1)
    ((target, notice),) = sent
    assert (target, notice.title, notice.body) == (url, "Purser: low balance", "It costs too much.")


async def test_events_that_call_for_an_alert_raise_it_in_the_same_step(timed: Application, acme: Caller) -> None:
    paid = {"topUp": "top_1", "wallet": "metered", "amount": 25 * 10**9, "takenBack": 0, "failure": "card_declined"}
    await emit(timed, acme, "top_up.failed", **paid, state="FAILED")
    await emit(timed, acme, "top_up.needs_action", **paid, state="PENDING")
    await emit(timed, acme, "auto_recharge.disabled", wallet="metered", reason="card_declined", declines=3)
    for _ in range(2):
        await emit(timed, acme, "usage.unpriced", provider="openai", model="gpt-9", operation=None)
    assert await deliveries.route_events(timed, timed.clock()) == Progress(5 + 4)
    rows = await timed.across_tenants.fetch("SELECT kind, scope_id FROM alert ORDER BY 1")
    assert [tuple(row) for row in rows] == [
        ("auto_recharge_disabled", "metered"),
        ("top_up_failed", "top_1"),
        ("top_up_needs_action", "top_1"),
        ("unpriced_model", "openai gpt-9"),
    ]
    assert await count(timed, "outbox", "type = 'alert.raised'") == 4
    assert await count(timed, "outbox", "routed_at IS NULL") == 0


async def test_many_routers_and_senders_at_once_send_everything_once(
    application: Application, second_application: Application, receiver: Receiver
) -> None:
    both = (application, second_application)
    acme = await open_tenant(application)
    await hook(application, acme, receiver, "scope.paused")
    for number in range(60):
        await emit(application, acme, "scope.paused", scopeId=f"{number}")
        await emit(application, acme, "usage.unpriced", provider="openai", model=f"gpt-{number % 3}", operation=None)
    now = application.clock()
    routed = await asyncio.gather(*[deliveries.route_events(both[number % 2], now) for number in range(6)])
    later = application.clock()
    sent = await asyncio.gather(*[deliveries.deliver(both[number % 2], later) for number in range(6)])
    await deliveries.route_events(application, application.clock())
    assert sum([progress.done for progress in routed]) == 123
    assert sum([progress.done for progress in sent]) == 60
    assert len(set(receiver.ids)) == len(receiver.ids) == 60
    assert await count(application, "alert") == 3
    assert await states(application) == [("DELIVERED", 1, None)] * 60


async def test_a_process_that_dies_after_sending_sends_again_under_the_same_id(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hook(timed, acme, receiver)
    await raise_one(timed, acme)
    await deliveries.route_events(timed, clock.now)

    async def dies(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(deliveries, "_note", dies)
    with pytest.raises(asyncio.CancelledError):
        await deliveries.deliver(timed, clock.now)
    monkeypatch.undo()
    assert await states(timed) == [("PENDING", 1, None)]
    assert await route_and_deliver(timed) == (0, 0), "its lease runs"
    clock.advance(deliveries.LEASE.total_seconds())
    assert await route_and_deliver(timed) == (0, 1)
    assert receiver.ids == receiver.ids[:1] * 2
    assert await states(timed) == [("DELIVERED", 2, None)]


async def test_a_router_that_dies_leaves_everything_to_the_next(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hook(timed, acme, receiver)
    await emit(timed, acme, "usage.unpriced", provider="openai", model="gpt-9", operation=None)
    broken = deliveries._ROUTED.replace(
        "SET routed_at = $3", "SET routed_at = $3::timestamptz + 1 / 0 * interval '1 s'"
    )
    monkeypatch.setattr(deliveries, "_ROUTED", broken)
    async with nothing_moves(timed):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await deliveries.route_events(timed, clock.now)
    monkeypatch.undo()
    assert await route_and_deliver(timed) == (2, 2)


async def test_what_is_not_taken_is_sent_again_ever_later_and_given_up_after_most_of_a_day(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver
) -> None:
    await hook(timed, acme, receiver)
    await raise_one(timed, acme)
    receiver.statuses = [500]
    assert await route_and_deliver(timed) == (1, 1)
    for attempts, pause in enumerate(BACK_OFF, 1):
        assert await states(timed) == [("PENDING", attempts, "it answered 500")]
        clock.now += pause - timedelta(milliseconds=1)
        assert await route_and_deliver(timed) == (0, 0), "not yet"
        clock.now += timedelta(milliseconds=1)
        assert await route_and_deliver(timed) == (0, 1)
    assert await states(timed) == [("FAILED", 7, "it answered 500")]
    clock.advance(days=2)
    assert await route_and_deliver(timed) == (0, 0)
    assert len(receiver.ids) == 7
    assert len(set(receiver.ids)) == 1


async def test_each_attempt_is_signed_for_its_own_moment(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver
) -> None:
    await hook(timed, acme, receiver)
    await raise_one(timed, acme)
    receiver.statuses = [503, 200]
    await route_and_deliver(timed)
    clock.advance(5)
    await route_and_deliver(timed)
    stamps = [int(headers["webhook-timestamp"]) for headers, _ in receiver.taken]
    assert stamps == [int(clock.now.timestamp()) - 5, int(clock.now.timestamp())]
    assert receiver.taken[0][1] == receiver.taken[1][1]
    assert receiver.taken[0][0]["webhook-signature"] != receiver.taken[1][0]["webhook-signature"]
    assert await states(timed) == [("DELIVERED", 2, None)]


async def test_who_answers_410_is_asked_no_more(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver
) -> None:
    await hook(timed, acme, receiver)
    for number in range(3):
        await raise_one(timed, acme, f"{number}")
    receiver.statuses = [410]
    assert (await route_and_deliver(timed))[0] == 3
    assert {state for state, _, _ in await states(timed)} == {"FAILED"}
    assert await count(timed, "channel", "removed_at IS NULL") == 0
    taken = len(receiver.taken)
    await raise_one(timed, acme, "later")
    clock.advance(days=1)
    assert await route_and_deliver(timed) == (1, 0)
    assert len(receiver.taken) == taken


async def test_where_nobody_answers_the_rest_waits_and_others_do_not(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver
) -> None:
    async with receiving() as gone:
        await hook(timed, acme, gone, key="gone")
    await hook(timed, acme, receiver, key="here")
    for number in range(15):
        await raise_one(timed, acme, f"{number}")
    routed, sent = await route_and_deliver(timed)
    assert (routed, len(receiver.taken)) == (15, 15)
    assert sent == 15 + deliveries.MOST_OF_A_CHANNEL
    assert [attempts for state, attempts, _ in await states(timed) if state == "PENDING"] == [0] * 10 + [1] * 5
    assert (await states(timed))[-1] == ("PENDING", 1, "no connection (ConnectError)")


@pytest.mark.parametrize("slow", [True, False])
async def test_where_it_fails_slowly_or_again_the_rest_waits(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, *, slow: bool
) -> None:
    monkeypatch.setattr(deliveries, "SLOW", timedelta() if slow else timedelta(hours=1))
    await hook(timed, acme, receiver)
    for number in range(8):
        await raise_one(timed, acme, f"{number}")
    receiver.statuses = [500]
    first, most = 5 if slow else 8, deliveries.MOST_OF_A_CHANNEL
    assert await route_and_deliver(timed) == (8, first)
    clock.now += BACK_OFF[0]
    assert await route_and_deliver(timed) == (0, most)
    assert await route_and_deliver(timed) == (0, 0)
    receiver.statuses = [204]
    clock.now += deliveries.PAUSE
    assert await route_and_deliver(timed) == (0, 8 - most)


async def test_a_tenant_whose_receivers_hang_keeps_nobody_waiting(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    globex = await open_tenant(timed, "globex")
    for key in "abc":
        await hook(timed, acme, receiver, key=key)
    await hook(timed, globex, receiver)
    for number in range(20):
        await raise_one(timed, acme, f"{number}")
    clock.advance(1)
    for number in range(20):
        await raise_one(timed, globex, f"{number}")
    await deliveries.route_events(timed, clock.now)
    hanging, hung, arrived = asyncio.Event(), 0, 0
    everything = asyncio.Event()

    async def send(_: object, __: object, message: notifications.Message, *___: object) -> Sent:
        nonlocal hung, arrived
        if message.tenant_id == acme.tenant_id:
            hung += 1
            await hanging.wait()
        else:
            arrived += 1
            if arrived == 20:
                everything.set()
        return DELIVERED

    monkeypatch.setattr(notifications, "send", send)
    monkeypatch.setattr(deliveries, "_LEASE", deliveries._LEASE.replace("LIMIT 500", "LIMIT 15"))
    delivering = asyncio.create_task(deliveries.deliver(timed, clock.now))
    async with asyncio.timeout(20):
        await everything.wait()
    assert hung == deliveries.MOST_OF_A_TENANT
    hanging.set()
    assert await delivering == Progress(60 + 20)


async def test_a_channel_that_is_removed_gets_nothing_more(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver
) -> None:
    added = await hook(timed, acme, receiver)
    await raise_one(timed, acme)
    await deliveries.route_events(timed, clock.now)
    await channels.remove_channel(timed, acme, "r", added.channel.id)
    assert await deliveries.deliver(timed, clock.now) == Progress(0)
    assert await states(timed) == [("FAILED", 0, "the channel was removed")]
    assert receiver.taken == []


async def test_time_that_is_up_ends_both_and_the_next_run_goes_on(
    timed: Application, acme: Caller, clock: Clock, receiver: Receiver
) -> None:
    await hook(timed, acme, receiver)
    await raise_one(timed, acme)
    assert await deliveries.route_events(timed, clock.now, stop_at=clock.now) == Progress(0, complete=False)
    assert await deliveries.deliver(timed, clock.now, stop_at=clock.now) == Progress(0, complete=False)
    assert await route_and_deliver(timed) == (1, 1)


async def test_what_cannot_be_opened_is_noted_and_tried_again(
    settings: Settings, database_url: str, timed: Application, acme: Caller, clock: Clock, receiver: Receiver
) -> None:
    await hook(timed, acme, receiver)
    await raise_one(timed, acme)
    other = replace(settings, secret_key=bytes(32))
    async with open_application(other, database_url, clock=clock) as with_another_key:
        assert await route_and_deliver(with_another_key) == (1, 1)
    assert await states(timed) == [("PENDING", 1, "its address cannot be read")]
    clock.advance(60)
    assert await route_and_deliver(timed) == (0, 1)
    assert len(receiver.taken) == 1


async def test_a_server_tells_what_was_committed_at_once(application: Application, receiver: Receiver) -> None:
    acme = await open_tenant(application)
    await hook(application, acme, receiver, "scope.paused")
    async with housekeeping(application), asyncio.timeout(30):
        await scopes.pause_scope(application, acme, "p", ScopeKey(ScopeKind.CAMPAIGN, "spring"), "over")
        await receiver.arrived.wait()
    assert json.loads(receiver.taken[0][1])["data"]["scopeId"] == "spring"


async def test_no_transaction_is_open_while_the_network_is_waited_for(
    application: Application, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await open_tenant(application)
    await hook(application, acme, receiver)
    await raise_one(application, acme)
    open_ones: list[int] = []
    send = notifications.send

    async def watched(*given: Any) -> Any:
        open_ones.append(
            await application.across_tenants.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
                " AND datname = current_database()"
            )
        )
        return await send(*given)

    monkeypatch.setattr(notifications, "send", watched)
    assert await route_and_deliver(application) == (1, 1)
    assert open_ones == [0]
    assert datetime.now(UTC) > await application.across_tenants.fetchval("SELECT ended_at FROM delivery")
