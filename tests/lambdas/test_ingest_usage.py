"""Usage from the queue under Lambda's own client: what is taken is done, what is not comes again."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
import pytest

from infra.application import Application
from infra.services import tenants
from infra.services.callers import Caller
from tests.infra.builders import audit, count, open_tenant
from tests.lambdas.runtime_api import Function, function

QUEUE: Final = "arn:aws:sqs:eu-central-1:1:usage"


@pytest.fixture
async def acme(application: Application) -> Caller:
    return await open_tenant(application, metered="10")


@pytest.fixture
def ingest(variables: dict[str, str]) -> Iterator[Function]:
    with function("lambdas.ingest_usage.handler", **variables) as opened:
        yield opened


def event(event_id: str, **facts: Any) -> bytes:
    usage = {"costUsd": "0.001", "provider": "openai", "model": "gpt-4o-mini"} | facts
    return orjson.dumps({"source": "worker", "eventId": event_id, "kind": "LLM", "usage": usage})


def message(message_id: str, *lines: bytes, tenant: str | None = "acme") -> dict[str, Any]:
    """A message as the trigger hands it in."""
    attribute: dict[str, Any] = {
        "stringValue": tenant,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }
    return {
        "messageId": message_id,
        "receiptHandle": "r",
        "body": b"\n".join(lines).decode(),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795169700250"},
        "messageAttributes": {} if tenant is None else {"tenant": attribute},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": QUEUE,
        "awsRegion": "eu-central-1",
    }


async def failures(ingest: Function, *messages: dict[str, Any], seconds: float = 60) -> list[str]:
    """The ids of the messages that come again."""
    answer = await asyncio.to_thread(ingest.invoke, {"Records": list(messages)}, seconds=seconds)
    assert answer.error is None, answer
    assert list(answer.response) == ["batchItemFailures"]
    return sorted(each["itemIdentifier"] for each in answer.response["batchItemFailures"])


async def recorded(application: Application, tenant_id: UUID) -> int:
    return await count(application, "usage_event", f"tenant_id = '{tenant_id}'")


async def test_messages_are_taken_once_however_often_they_come(
    application: Application, acme: Caller, ingest: Function
) -> None:
    by_id = f"ten_{acme.tenant_id.hex}"
    messages = [
        message("m1", event("a")),
        message("m2", event("b"), b"", event("c"), tenant=by_id),
        message("m3", event("a")),
    ]
    for _ in range(2):
        assert await failures(ingest, *messages) == []
        assert await recorded(application, acme.tenant_id) == 3
    assert await failures(ingest) == []
    told = [line for line in ingest.logged() if line["message"] == "ingested"]
    assert [(line["accepted"], line["duplicates"], line["failed"]) for line in told] == [
        (3, 1, 0),
        (0, 4, 0),
        (0, 0, 0),
    ]
    assert {line["job"] for line in told} == {"ingest_usage"}
    await audit(application)


async def test_a_message_that_cannot_be_taken_comes_again_and_hurts_no_other(
    application: Application, acme: Caller, ingest: Function
) -> None:
    globex = await open_tenant(application, "globex", metered="10")
    messages = [
        message("good", event("a")),
        message("theirs", event("a"), tenant="globex"),
        message("broken", b"{"),
        message("half", event("b"), event("c", costUsd=0.5), event("d")),
        message("refused", event("e", model=" ")),
        message("nobody's", event("f"), tenant="initech"),
        message("anybody's", event("g"), tenant=None),
        message("blank"),
    ]
    again = ["anybody's", "broken", "half", "nobody's", "refused"]
    assert await failures(ingest, *messages) == again
    assert await recorded(application, acme.tenant_id) == 3, "a, b and d"
    assert await recorded(application, globex.tenant_id) == 1
    reasons = {line["message_id"]: line["reason"] for line in ingest.logged() if "message_id" in line}
    assert sorted(reasons) == again
    assert reasons["half"] == "line 2: usage.costUsd an amount is a plain decimal in a string: send '0.25', not 0.25"
    assert reasons["refused"].startswith("event e: usage.model must be 1 to 200 characters")
    assert reasons["anybody's"] == "the message attribute tenant must name a tenant by slug or id"
    assert await failures(ingest, *[each for each in messages if each["messageId"] in again]) == again
    assert await recorded(application, acme.tenant_id) == 3
    await audit(application)


async def test_batches_are_no_limit_and_a_suspended_tenants_usage_is_still_recorded_while_there_is_time(
    application: Application, acme: Caller, ingest: Function
) -> None:
    messages = [message(f"m{size}", *[event(f"{size}-{number}") for number in range(size)]) for size in (600, 700)]
    assert await failures(ingest, *messages) == []
    assert await recorded(application, acme.tenant_id) == 1_300
    await tenants.suspend_tenant(application, acme, "s")
    late = (message("m", event("a")), message("x", b"{"))
    assert await failures(ingest, *late, seconds=-1) == ["m", "x"]
    assert await recorded(application, acme.tenant_id) == 1_300
    assert await failures(ingest, *late) == ["x"]
    assert await recorded(application, acme.tenant_id) == 1_301


@pytest.mark.own_database
async def test_an_event_that_the_database_does_not_take_hurts_no_other(
    application: Application, acme: Caller, ingest: Function, database_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute("ALTER TABLE usage_key ADD CHECK (event_id <> 'poison')")
    messages = [message(name, event(name)) for name in ("a", "b", "poison", "c", "d")]
    assert await failures(ingest, *messages) == ["poison"]
    assert await recorded(application, acme.tenant_id) == 4
    await owner.execute("ALTER TABLE usage_key DROP CONSTRAINT usage_key_event_id_check")
    await owner.close()
    assert await failures(ingest, *messages) == []
    assert await recorded(application, acme.tenant_id) == 5
