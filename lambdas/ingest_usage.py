"""Usage from a queue (SQS): each message is one event or several, a line of JSON each, as at POST /usage.

Who may send is for the queue's policy to say, so a message is believed about whose usage it is: its attribute `tenant`
(slug or id) names the tenant. A message that cannot be taken as a whole is answered as failed and comes again: broken
JSON, an event that is refused, an unknown tenant, a database that does not answer. What could be taken of it stays
taken, and is known when it comes again; in the end the message lies in the dead-letter queue. All others are done.

The queue is a standard one, and its trigger reports item failures (ReportBatchItemFailures).
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from domain.refusals import FieldProblem
from domain.usage import MOST_EVENTS
from infra.application import Application
from infra.group_commit import Overloaded, is_connection_lost
from infra.services.api_keys import find_tenant
from infra.services.callers import Caller, Role
from infra.services.usage import ReportedUsage, record_usage
from infra.services.usage_intake import Unreadable
from infra.usage_lines import read_line
from lambdas.runtime import MOST_TIME_KEPT, WARM, Answer, LambdaContext

ATTRIBUTE: Final = "tenant"
ACTOR: Final = "queue:usage"

# As SQS hands it in. (Powertools' classes of events would take a quarter of the cold start.)
Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Sent:
    """An event and the message that it came in."""

    message_id: str
    event: ReportedUsage


def handler(event: dict[str, Any], context: LambdaContext) -> Answer:
    """Many may run at once: every event counts once."""
    remaining = timedelta(milliseconds=context.get_remaining_time_in_millis())
    start = datetime.now(UTC)
    stop_at = start + remaining - min(MOST_TIME_KEPT, remaining / 5)

    async def work(application: Application) -> Answer:
        failed = await _ingest(application, event["Records"], stop_at)
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    return WARM.run(start, work, job="ingest_usage", request_id=context.aws_request_id)


async def _ingest(application: Application, messages: Sequence[Message], stop_at: datetime) -> list[str]:
    """The ids of the messages that were not taken as a whole."""
    sent, failed = await _read(application, messages)
    waiting = deque(_chunks(sent))
    accepted = duplicates = 0
    while waiting:
        tenant_id, chunk = waiting.popleft()
        if application.clock() >= stop_at:
            failed = _also(failed, chunk, "there was no time left for it")
            continue
        try:
            report = await record_usage(
                application, Caller(tenant_id, Role.SERVICE, ACTOR), [one.event for one in chunk]
            )
        except Exception as error:  # noqa: BLE001  # whatever it is, the other messages must not suffer for it
            middle = len(chunk) // 2
            if middle == 0 or isinstance(error, Overloaded) or is_connection_lost(error):
                WARM.logger.exception("usage could not be recorded")
                failed = _also(failed, chunk, f"it could not be recorded: {type(error).__name__}")
            else:
                waiting.extend([(tenant_id, chunk[:middle]), (tenant_id, chunk[middle:])])
            continue
        accepted, duplicates = accepted + report.accepted, duplicates + report.duplicates
        for each in report.rejected:
            failed.setdefault(chunk[each.index].message_id, f"event {each.event_id}: {_shown(each.problems)}")
    for message_id, reason in failed.items():
        WARM.logger.warning("a message was not taken", message_id=message_id, reason=reason)
    WARM.logger.info("ingested", messages=len(messages), failed=len(failed), accepted=accepted, duplicates=duplicates)
    return list(failed)


async def _read(
    application: Application, messages: Sequence[Message]
) -> tuple[dict[UUID, list[_Sent]], dict[str, str]]:
    """The events by tenant, and the messages that cannot be read, with the reason."""
    failed: dict[str, str] = {}
    sent: defaultdict[UUID, list[_Sent]] = defaultdict(list)
    tenants: dict[str, UUID | None] = {}
    for message in messages:
        message_id, name = message["messageId"], _tenant_of(message)
        if name not in tenants:
            tenants[name] = await find_tenant(application, name)
        tenant_id = tenants[name]
        if tenant_id is None:
            failed[message_id] = f"the message attribute {ATTRIBUTE} must name a tenant by slug or id"
            continue
        for number, line in _lines(message["body"]):
            read = read_line(line)
            if isinstance(read, Unreadable):
                failed.setdefault(message_id, f"line {number}: {_shown(read.problems)}")
            else:
                sent[tenant_id].append(_Sent(message_id, read))
    return sent, failed


def _tenant_of(message: Message) -> str:
    named: str = message["messageAttributes"].get(ATTRIBUTE, {}).get("stringValue") or ""
    return named


def _lines(body: str) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(body.encode(errors="surrogatepass").split(b"\n"), 1):
        if line.strip():
            yield number, line


def _chunks(sent: dict[UUID, list[_Sent]]) -> Iterator[tuple[UUID, Sequence[_Sent]]]:
    for tenant_id, events in sent.items():
        for start in range(0, len(events), MOST_EVENTS):
            yield tenant_id, events[start : start + MOST_EVENTS]


def _also(failed: dict[str, str], chunk: Iterable[_Sent], reason: str) -> dict[str, str]:
    return dict.fromkeys([each.message_id for each in chunk], reason) | failed


def _shown(problems: Iterable[FieldProblem]) -> str:
    return "; ".join(f"{problem.path} {problem.message}" for problem in problems)
