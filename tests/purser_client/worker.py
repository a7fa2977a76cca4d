"""A worker as a process of its own, to be killed: it does one piece of work and says how far it is."""

import asyncio
import random
import sys
from pathlib import Path

from purser_client import Purser
from tests.purser_client.test_work import CALL


async def main(url: str, token: str, journal: str, task_key: str) -> None:
    """Reserve, call a model, and settle; an `endless` task does not end, a `gated` one not before it is told to, an `idle`
    worker has none, and a `queue` has always another."""
    async with Purser(url, token, journal=journal) as purser:
        if task_key == "idle":
            await asyncio.Event().wait()
        number = 0
        while task_key.startswith("queue"):
            number += 1
            async with purser.reservation("social_post", task_key=f"{task_key}-{number}") as work:
                work.record(**CALL)
                await asyncio.sleep(random.random() / 20)
            sys.stdout.write(f"done {task_key}-{number}\n")
            sys.stdout.flush()
        async with purser.reservation("blog_post", task_key=task_key) as work:
            work.record(**CALL)
            sys.stdout.write("recorded\n")
            sys.stdout.flush()
            if task_key == "endless":
                await asyncio.Event().wait()
            while task_key.startswith("gated") and not Path(journal).with_name("go").exists():  # noqa: ASYNC110  # another process tells nobody
                await asyncio.sleep(0.01)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
