"""The feed: what is new, told to whoever follows it.

A commit gives a hint: a tenant's id and nothing else, within the process at once and to the others by NOTIFY
(`infra.hints`). One connection per process hears the others' and reads what is new, in one statement for all topics that
were hinted at since the last one, however many follow each. Hints may be lost: every few seconds, and over every new
connection, all topics look by themselves; and one that changes by itself, as a wallet does when a lot expires, looks at
that moment. What a topic has seen outlives the connection, so a restart of the database costs time and no news.

Nothing runs before the first follower, so a process that nobody follows (a Lambda) keeps no connection for this.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from infra.topics import Follower, Item, Topic
from infra.transaction import UNANSWERED

SECONDS_BETWEEN_LOOKS: Final = 10.0
SECONDS_TO_RECONNECT: Final = 1.0
SECONDS_TO_LOOK: Final = 30.0
# A timer may ring a little too soon.
SECONDS_AFTER_DUE: Final = 0.001
LARGEST_LOOK: Final = 500
READ_AT_ONCE: Final = 2

Connect = Callable[[], Awaitable[asyncpg.Connection]]

_log: Final = logging.getLogger(__name__)


class Feed:
    """All topics of a process. `connect` opens the connection that belongs to the feed alone. `own`: by which of the
    server's processes, and on which channels, this process tells others what the feed has heard already. `reading`: what
    followers read by themselves takes its turn."""

    def __init__(self, connect: Connect, clock: Callable[[], datetime]) -> None:
        self.own: Collection[tuple[int, str]] = ()
        self.reading = asyncio.Semaphore(READ_AT_ONCE)
        self._connect = connect
        self._clock = clock
        self._topics: dict[tuple[str, UUID], dict[str, Topic[Any]]] = {}
        self._woken: set[Topic[Any]] = set()
        self._looked_at: dict[Topic[Any], float] = {}
        self._alarms: dict[Topic[Any], tuple[float, asyncio.TimerHandle]] = {}  # when, by the loop's clock
        self._awake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def topics(self) -> list[Topic[Any]]:
        """What is followed, and what was until a moment ago."""
        return [topic for topics in self._topics.values() for topic in topics.values()]

    async def follow(self, kind: type[Topic[Item]], tenant_id: UUID, subject: str = "") -> Follower[Item]:
        """Follow a topic, from the moment at which this returns at the latest. While the database does not answer, this
        waits."""
        topics = self._topics.setdefault((kind.channel, tenant_id), {})
        topic = topics.setdefault(subject, kind(tenant_id, subject))
        follower = Follower(topic)
        self._wake(topic)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        try:
            await follower.begun.wait()
        except BaseException:
            follower.leave()
            raise
        return follower

    def hint(self, channel: str, tenant_ids: Iterable[UUID]) -> None:
        """There may be something new of these tenants."""
        if self._topics:
            for tenant_id in tenant_ids:
                for topic in self._topics.get((channel, tenant_id), {}).values():
                    self._wake(topic)

    async def close(self) -> None:
        """Tell nobody anything any more."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except UNANSWERED as error:
                _log.warning("the feed lost its connection and makes another: %s", repr(error))
            except Exception:  # noqa: BLE001  # nobody awaits it; a new connection starts afresh
                _log.exception("the feed failed and starts again")
            await asyncio.sleep(SECONDS_TO_RECONNECT)

    async def _listen(self) -> None:
        """Look whenever there is a reason to, until the connection fails."""
        connection = await self._connect()
        try:
            connection.add_termination_listener(lambda _: self._awake.set())
            heard: set[str] = set()
            now = asyncio.get_running_loop().time
            look_at_all = now()
            while not connection.is_closed():
                if now() >= look_at_all:
                    self._woken.update(self.topics)
                    look_at_all = now() + SECONDS_BETWEEN_LOOKS
                async with asyncio.timeout(SECONDS_TO_LOOK):
                    await self._look(connection, heard)
                if not self._woken and not connection.is_closed():
                    self._awake.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(look_at_all):
                            await self._awake.wait()
            raise ConnectionError("it was closed")
        finally:
            connection.terminate()

    async def _look(self, connection: asyncpg.Connection, heard: set[str]) -> None:
        woken, self._woken = self._woken, set()
        kinds: dict[type[Topic[Any]], list[Topic[Any]]] = {}
        for topic in woken:
            if topic.followers:
                kinds.setdefault(type(topic), []).append(topic)
            else:
                self._forget(topic)
        for kind, topics in kinds.items():
            if kind.channel not in heard:
                # Before the first look: what is committed after it is hinted at.
                await connection.add_listener(kind.channel, self._hear)
                heard.add(kind.channel)
            for start in range(0, len(topics), LARGEST_LOOK):
                await self._look_at(connection, kind, topics[start : start + LARGEST_LOOK])

    async def _look_at(
        self, connection: asyncpg.Connection, kind: type[Topic[Any]], topics: Sequence[Topic[Any]]
    ) -> None:
        beginning = [follower for topic in topics for follower in topic.followers if follower.place is None]
        self._looked_at.update(dict.fromkeys(topics, asyncio.get_running_loop().time()))
        now = self._clock()
        await kind.look(connection, topics, now)
        for follower in beginning:
            follower.begin()
        for topic in topics:
            if topic.due is not None:
                self._look_again(topic, (topic.due - now).total_seconds() + SECONDS_AFTER_DUE)

    def _forget(self, topic: Topic[Any]) -> None:
        topics = self._topics.get((topic.channel, topic.tenant_id), {})
        if topics.get(topic.subject) is topic:
            del topics[topic.subject]
            if not topics:
                del self._topics[topic.channel, topic.tenant_id]
        self._looked_at.pop(topic, None)
        alarm = self._alarms.pop(topic, None)
        if alarm is not None:
            alarm[1].cancel()

    def _hear(self, _connection: object, process: int, channel: str, hint: object) -> None:
        if (process, channel) in self.own:
            return
        try:
            self.hint(channel, (UUID(str(hint)),))
        except ValueError:
            _log.warning("a hint on %s is no tenant's id", channel)

    def _wake(self, topic: Topic[Any]) -> None:
        """Look at a topic, now or as soon as it may be looked at again."""
        looked_at = self._looked_at.get(topic)
        wait = 0.0
        if topic.seconds_between and looked_at is not None:
            wait = looked_at + topic.seconds_between - asyncio.get_running_loop().time()
        if wait > 0:
            self._look_again(topic, wait)
        else:
            self._woken.add(topic)
            self._awake.set()

    def _look_again(self, topic: Topic[Any], seconds: float) -> None:
        """Look at a topic after so many seconds, if nothing makes the feed look before."""
        if seconds > SECONDS_BETWEEN_LOOKS:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        alarm = self._alarms.get(topic)
        if alarm is not None:
            if alarm[0] <= when:
                return
            alarm[1].cancel()
        # The time is kept beside: uvloop's handles of less than a millisecond do not know theirs.
        self._alarms[topic] = when, loop.call_later(max(seconds, 0.0), self._ring, topic)

    def _ring(self, topic: Topic[Any]) -> None:
        del self._alarms[topic]
        self._woken.add(topic)
        self._awake.set()
