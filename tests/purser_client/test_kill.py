"""`kill -9` of workers at the worst moments: the next to start settles what they left, once."""

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.processes import Process, Program
from tests.purser_client.conftest import Ground
from tests.purser_client.test_work import names

pytestmark = pytest.mark.anyio


@contextmanager
def working(ground: Ground, task_key: str) -> Iterator[tuple[Process, Path]]:
    """A worker process, and the file that it writes to."""
    place = ground.journal.parent
    output, errors = place / f"{task_key}.out", place / f"{task_key}.err"
    output.touch()
    errors.touch()
    command = ("tests.purser_client.worker", ground.url, ground.token, str(ground.journal), task_key)
    process = Process(Program(command, dict(os.environ), output, errors, Path.cwd()))
    try:
        yield process, output
    finally:
        process.kill()
        process.wait()


def killing(process: Process, operation: str) -> Callable[[bytes], bool]:
    """Cut where an operation is asked for, and kill who asks."""

    def kill(data: bytes) -> bool:
        if names(operation)(data):
            process.kill()
            return True
        return False

    return kill


async def eventually(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  # another process tells nobody
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("operation", "moment", "charged", "calls"),
    [
        pytest.param("reserve", "before", "0", 0, marks=pytest.mark.slow),
        pytest.param("reserve", "after", "0", 0, marks=pytest.mark.slow),
        pytest.param("consume", "before", "2", 1, marks=pytest.mark.slow),
        ("consume", "after", "2", 1),
    ],
)
async def test_a_worker_killed_while_it_asks_is_settled_by_the_next(
    ground: Ground, operation: str, moment: str, charged: str, calls: int
) -> None:
    with working(ground, "post-42") as (process, _):
        setattr(ground.proxy, moment, killing(process, operation))
        await eventually(lambda: process.poll() is not None)
    left = sorted(ground.journal.iterdir())
    assert {path.stat().st_mode & 0o777 for path in left} == {0o600}
    assert not any(ground.token.encode() in path.read_bytes() for path in left)
    async with ground.worker() as purser:
        assert await purser.flush(30) == 0
    assert await ground.proof() == (charged, calls)


async def test_a_worker_killed_at_its_work_is_not_charged_but_what_it_cost_is_known(ground: Ground) -> None:
    """And a retry of its task makes a hold of its own, whatever is still to be settled of the first try."""
    with working(ground, "endless") as (process, output):
        await eventually(lambda: "recorded" in output.read_text())
        async with ground.worker() as neighbour:
            assert await neighbour.flush() == 0, "it lives: nobody takes its journal over"
            process.kill()
            process.wait()
    async with ground.worker() as purser, purser.reservation("blog_post", task_key="endless") as work:
        assert not work.already_done
        assert await work.check()
    assert await ground.proof() == ("2", 1)


@pytest.mark.slow
async def test_a_worker_killed_while_it_settles_for_another_is_settled_by_the_next(ground: Ground) -> None:
    for task_key in ("post-42", "idle"):
        with working(ground, task_key) as (process, _):
            ground.proxy.after = killing(process, "consume")
            await eventually(lambda process=process: process.poll() is not None)  # type: ignore[misc]
    async with ground.worker() as purser:
        assert await purser.flush(30) == 0
    assert await ground.proof() == ("2", 1)


@pytest.mark.slow
async def test_what_many_left_behind_is_settled_once_though_many_start_at_once(ground: Ground) -> None:
    with ExitStack() as workers:
        started = [workers.enter_context(working(ground, f"gated-{number}")) for number in range(3)]
        await eventually(lambda: all("recorded" in output.read_text() for _, output in started))
        ground.proxy.is_down = True
        ground.proxy.cut_all()
        (ground.journal.parent / "go").touch()
        journaled = [output.with_suffix(".err") for _, output in started]
        await eventually(lambda: all("will be tried again" in errors.read_text() for errors in journaled))
    ground.proxy.is_down = False
    clients = [ground.worker() for _ in range(4)]
    await asyncio.gather(*[client.__aenter__() for client in clients])
    assert await asyncio.gather(*[client.flush(30) for client in clients]) == [0] * 4
    await asyncio.gather(*[client.__aexit__(None, None, None) for client in clients])
    assert await ground.proof() == ("6", 3)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_workers_killed_again_and_again_are_charged_for_what_they_finished(ground: Ground) -> None:
    """In the midst of reserving, recording, settling and settling for each other, and while connections are cut."""
    done: list[str] = []
    for number in count():
        if len(done) >= 30:
            break
        ground.proxy.before = ground.proxy.after = lambda _: random.random() < 0.02
        with ExitStack() as workers:
            started = [workers.enter_context(working(ground, f"queue-{number}-{each}")) for each in range(3)]
            await asyncio.sleep(random.random())
            for process, output in started:
                process.kill()
                process.wait()
                done += [line.split()[1] for line in output.read_text().splitlines()]
    ground.proxy.before = ground.proxy.after = None
    async with ground.worker() as purser:
        assert await purser.flush(60) == 0
        assert purser.unsettled() == []
    charged, calls = await ground.proof()
    rows = await ground.application.across_tenants.fetch("SELECT task_key FROM reservation WHERE state = 'CONSUMED'")
    settled = [task_key for (task_key,) in rows]
    assert set(done) <= set(settled)
    assert len(settled) == len(set(settled)) == int(charged)
    assert calls >= len(settled)
