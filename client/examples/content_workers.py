"""Document 003, pattern A: metering is wired once, and each content worker only names its credit type.

PURSER_KEY=psk_... python content_workers.py
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from purser_client import BudgetExceeded, Purser, Refused, ScopePaused, Usage


class Task(NamedTuple):
    """What the queue hands out; a task that is handed out twice keeps its id."""

    id: str
    campaign: str
    brief: str


async def call_the_model(prompt: str) -> tuple[str, Usage]:
    """Stands for your provider's SDK."""
    usage: Usage = {"provider": "openai", "model": "gpt-4o-mini", "input_tokens": len(prompt), "output_tokens": 400}
    return f"Dear reader, {prompt}", usage


def create_content_worker(role: str, credit_type: str) -> Callable[[Purser, Task], Awaitable[str | None]]:
    """A worker of one role. It answers None for a task that was done before."""

    async def worker(purser: Purser, task: Task) -> str | None:
        work = purser.reservation(credit_type, task_key=task.id, agent_role=role, campaign=task.campaign)
        async with work:
            if work.already_done:
                return None
            text, usage = await call_the_model("\n".join(filter(None, (work.prompt_notice, task.brief))))
            work.record(**usage)
            return text

    return worker


email_writer = create_content_worker("email-writer", "email_newsletter")
blog_writer = create_content_worker("blog-writer", "blog_post")


async def main(url: str, key: str, journal: str) -> None:
    """Work a queue off; a scope that is paused is drained, and what only lacks room now comes again later."""
    tasks = [
        (email_writer, Task("mail-1", "spring", "the crocus")),
        (blog_writer, Task("blog-1", "spring", "the tulip")),
    ]
    again: list[str] = []
    async with Purser(url, key, journal=journal) as purser:
        for worker, task in [*tasks, tasks[0]]:
            try:
                print(task.id, await worker(purser, task) or "was done before")
            except (BudgetExceeded, ScopePaused) as no:
                if not no.retryable:
                    raise
                again.append(task.id)
            except Refused as no:
                print(task.id, "stays in the queue:", no)


if __name__ == "__main__":
    asyncio.run(main(os.environ.get("PURSER_URL", "http://127.0.0.1:8000"), os.environ["PURSER_KEY"], "purser.journal"))
