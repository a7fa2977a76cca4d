"""The relay: everything that committed reaches the bus, at least once and with its id, wherever the relay is killed."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import boto3
import pytest
from moto import mock_aws

from domain import ids
from infra.application import Application
from infra.events import (
    MOST_BYTES,
    MOST_ENTRIES,
    EventBridge,
    EventsUnavailableError,
    Message,
    chunks,
    detail,
    event_bus,
)
from infra.services.progress import Progress
from infra.services.relay import relay_outbox
from infra.settings import Settings, SettingsError
from tests.infra.builders import count, nothing_moves

AT: Final = datetime(2026, 11, 21, 3, tzinfo=UTC)
ACME: Final = UUID(int=1)
GLOBEX: Final = UUID(int=2)
WAITING: Final = "published_at IS NULL"


class Bus:
    """Takes what it is sent, but what a test has it refuse; notes how many connections are in a transaction meanwhile."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.calls: list[list[str]] = []
        self.refused: set[str] = set()
        self.in_transaction: list[int] = []
        self.hangs = False
        self.asked = asyncio.Event()

    async def put(self, messages: Sequence[Message]) -> list[bool]:
        self.calls.append([message.type for message in messages])
        self.in_transaction.append(
            await self._application.across_tenants.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
        )
        self.asked.set()
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        return [message.type not in self.refused for message in messages]

    @property
    def sent(self) -> list[str]:
        return [kind for call in self.calls for kind in call]


@pytest.fixture
def bus(application: Application) -> Bus:
    return Bus(application)


async def happened(application: Application, number: int, tenant_id: UUID = ACME, first: int = 0) -> None:
    """So many events of a tenant, one after the other; their types are e0, e1 ..."""
    await application.writers.executemany(
        "INSERT INTO outbox (tenant_id, id, type, payload, created_at) VALUES ($1, $2, $3, $4, $5)",
        [
            (
                tenant_id,
                UUID(int=tenant_id.int * 1_000_000 + index),
                f"e{index}",
                json.dumps({"number": index}),
                AT + timedelta(seconds=index),
            )
            for index in range(first, first + number)
        ],
    )


async def test_what_happened_is_told_once_and_in_order(application: Application, bus: Bus) -> None:
    await happened(application, 25)
    assert await relay_outbox(application, bus) == Progress(25)
    assert bus.sent == [f"e{index}" for index in range(25)]
    assert [len(call) for call in bus.calls] == [10, 10, 5]
    assert set(bus.in_transaction) == {0}, "nothing is locked while the bus is asked"
    async with nothing_moves(application):
        assert await relay_outbox(application, bus) == Progress(0)
    assert len(bus.calls) == 3


async def test_what_the_bus_leaves_stays_and_what_came_after_it_waits(application: Application, bus: Bus) -> None:
    await happened(application, 24)
    await happened(application, 3, GLOBEX, 30)
    bus.refused = {"e3"}
    assert await relay_outbox(application, bus) == Progress(12, complete=False)
    assert await count(application, "outbox", WAITING) == 15
    assert [kind for kind in bus.sent if int(kind[1:]) > 9] == ["e30", "e31", "e32"], "only the other tenant's went on"
    bus.refused = set()
    bus.calls.clear()
    assert await relay_outbox(application, bus) == Progress(15)
    assert bus.sent == ["e3", *[f"e{index}" for index in range(10, 24)]]


async def test_a_relay_that_is_killed_between_the_bus_and_the_mark_tells_it_again(
    application: Application, bus: Bus
) -> None:
    await happened(application, 12)
    bus.hangs = True
    killed = asyncio.create_task(relay_outbox(application, bus))
    await bus.asked.wait()
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    assert await count(application, "outbox", WAITING) == 12
    bus.hangs = False
    assert await relay_outbox(application, bus) == Progress(12)
    assert bus.sent == [f"e{index}" for index in (*range(10), *range(10), 10, 11)]


async def test_two_relays_at_once_lose_nothing(application: Application, second_application: Application) -> None:
    await happened(application, 60)
    buses = [Bus(application), Bus(application)]
    await asyncio.gather(relay_outbox(application, buses[0]), relay_outbox(second_application, buses[1]))
    assert {*buses[0].sent, *buses[1].sent} == {f"e{index}" for index in range(60)}
    assert await count(application, "outbox", WAITING) == 0


async def test_it_stops_when_its_time_is_up(application: Application, bus: Bus) -> None:
    await happened(application, 3)
    assert await relay_outbox(application, bus, stop_at=application.clock()) == Progress(0, complete=False)
    assert bus.calls == []


async def test_more_than_is_read_at_once_is_told_too(
    application: Application, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.services.relay.AT_ONCE", 7)
    await happened(application, 20)
    assert await relay_outbox(application, bus) == Progress(20)
    assert bus.sent == [f"e{index}" for index in range(20)]


# ---- EventBridge ----------------------------------------------------------------------------------------------------


class Aws:
    """A bus named purser in moto, and a queue that gets everything from it."""

    def __init__(self) -> None:
        session = boto3.session.Session()
        events, self._sqs = session.client("events"), session.client("sqs")
        events.create_event_bus(Name="purser")
        self._queue = self._sqs.create_queue(QueueName="all")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        events.put_rule(Name="all", EventBusName="purser", EventPattern='{"source": ["purser"]}')
        events.put_targets(Rule="all", EventBusName="purser", Targets=[{"Id": "all", "Arn": arn}])

    def arrived(self) -> list[dict[str, Any]]:
        found = []
        while messages := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"]) for message in messages]
        return found


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield Aws()


async def test_events_arrive_at_eventbridge_with_their_ids(application: Application, aws: Aws) -> None:
    await happened(application, 12)
    assert await relay_outbox(application, EventBridge("purser")) == Progress(12)
    arrived = sorted(aws.arrived(), key=lambda event: event["detail"]["at"])
    assert [event["detail-type"] for event in arrived] == [f"e{index}" for index in range(12)]
    assert arrived[3]["source"] == "purser"
    assert arrived[3]["detail"] == {
        "id": ids.public("event", UUID(int=1_000_003)),
        "tenant": ids.public("tenant", ACME),
        "type": "e3",
        "at": "2026-11-21T03:00:03+00:00",
        "data": {"number": 3},
    }


async def test_amounts_are_decimals_on_the_bus(application: Application, aws: Aws) -> None:
    payload = {"wallet": "metered", "available": -1, "threshold": 10**10}
    await application.writers.execute(
        "INSERT INTO outbox (tenant_id, id, type, payload, created_at) VALUES ($1, $2, 'wallet.empty', $3, $4)",
        *(ACME, UUID(int=1), json.dumps(payload), AT),
    )
    assert await relay_outbox(application, EventBridge("purser")) == Progress(1)
    (arrived,) = aws.arrived()
    assert arrived["detail"]["data"] == {"wallet": "metered", "available": "-0.000000001", "threshold": "10"}


async def test_entries_that_eventbridge_leaves_are_told_apart(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803  # boto3's name
            taken = [{"EventId": "x"} for _ in Entries[1:]]
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}, *taken]}

    bridge = EventBridge("purser")
    monkeypatch.setattr(bridge, "_client", Client())
    assert await bridge.put([message(0), message(1), message(2)]) == [False, True, True]


async def test_a_bus_that_is_not_there_is_an_error_and_nothing_is_lost(application: Application, aws: Aws) -> None:
    await happened(application, 2)
    with pytest.raises(EventsUnavailableError, match="elsewhere"):
        await relay_outbox(application, EventBridge("arn:aws:events:eu-central-1:123456789012:event-bus/elsewhere"))
    assert await count(application, "outbox", WAITING) == 2


def message(number: int, size: int = 0) -> Message:
    data = json.dumps({"text": "x" * size}).encode()
    return Message(ACME, UUID(int=number), "usage.unpriced", data, AT)


def test_calls_hold_no_more_than_eventbridge_takes() -> None:
    messages = [message(number, 60_000) for number in range(9)]
    found = chunks(messages)
    assert [len(chunk) for chunk in found] == [4, 4, 1]
    assert [one for chunk in found for one in chunk] == messages
    assert all(sum(len(detail(one)) for one in chunk) < MOST_BYTES for chunk in found)
    assert [len(chunk) for chunk in chunks([message(number) for number in range(21)])] == [
        MOST_ENTRIES,
        MOST_ENTRIES,
        1,
    ]
    assert chunks([]) == []


def test_what_no_call_can_hold_is_told_without_its_payload(caplog: pytest.LogCaptureFixture) -> None:
    told = json.loads(detail(message(7, MOST_BYTES)))
    assert told["id"] == ids.public("event", UUID(int=7))
    assert (told["data"], told["oversize"]) == (None, True)
    assert [len(chunk) for chunk in chunks([message(1), message(7, MOST_BYTES), message(2)])] == [3]
    assert str(UUID(int=7)) in caplog.text


def test_without_a_bus_the_message_names_the_variable(tmp_path: Path) -> None:
    settings = Settings.from_environment({"PURSER_DATA_DIR": str(tmp_path)})
    with pytest.raises(SettingsError, match="PURSER_EVENT_BUS"):
        event_bus(settings)
    named = Settings.from_environment({"PURSER_DATA_DIR": str(tmp_path), "PURSER_EVENT_BUS": "purser"})
    assert event_bus(named) is event_bus(named)
