"""Purser for workers: may this call run, what did it cost, and nothing of it is ever lost.

async with Purser("http://127.0.0.1:8000", key, journal="purser.journal") as purser:
    async with purser.reservation("blog_post", task_key="post-42", campaign="spring") as work:
        answer = await call_the_model()
        work.record(provider="openai", model="gpt-4o-mini", input_tokens=900, output_tokens=400)
"""

from purser_client.client import Purser, Unsettled
from purser_client.facts import Attribution, Usage
from purser_client.refusals import (
    BudgetExceeded,
    InsufficientFunds,
    JournalError,
    PurserError,
    Refused,
    ScopePaused,
    Unauthenticated,
    Unavailable,
)
from purser_client.work import BudgetWarning, Work

__all__ = [
    "Attribution",
    "BudgetExceeded",
    "BudgetWarning",
    "InsufficientFunds",
    "JournalError",
    "Purser",
    "PurserError",
    "Refused",
    "ScopePaused",
    "Unauthenticated",
    "Unavailable",
    "Unsettled",
    "Usage",
    "Work",
]
