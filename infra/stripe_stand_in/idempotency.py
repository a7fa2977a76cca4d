"""Idempotency keys as Stripe honours them (https://docs.stripe.com/api/idempotent_requests, /error-low-level).

The answer to a request that was executed is kept under its key, errors too. The same key with other parameters is
refused, and so is the same key while the first request is still running; neither is kept.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from infra.stripe_stand_in.errors import StripeRefusal, invalid

_LONGEST_KEY: Final = 255


class Answer(NamedTuple):
    """What goes back to the caller."""

    status: int
    body: dict[str, Any]
    was_replayed: bool = False


class KeptAnswers:
    """The answers by their keys."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, Answer | None]] = {}

    async def once(self, key: str | None, asked: object, execute: Callable[[], Awaitable[dict[str, Any]]]) -> Answer:
        """Execute a request, or give the answer that it had. Without a key it is executed each time."""
        if key is None:
            return await _answered(execute)
        if len(key) > _LONGEST_KEY:
            raise invalid("Idempotency keys are up to 255 characters long.")
        if key in self._kept:
            return self._replayed(key, asked)
        self._kept[key] = (asked, None)
        try:
            answer = await _answered(execute)
        except BaseException:
            del self._kept[key]
            raise
        self._kept[key] = (asked, answer)
        return answer

    def _replayed(self, key: str, asked: object) -> Answer:
        before, answer = self._kept[key]
        if before != asked:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
            )
            raise StripeRefusal(400, "idempotency_error", message, was_executed=False)
        if answer is None:
            message = "There is currently another in-progress request using this Idempotent Key."
            raise StripeRefusal(409, "idempotency_error", message, was_executed=False, code="idempotency_key_in_use")
        return answer._replace(was_replayed=True)


async def _answered(execute: Callable[[], Awaitable[dict[str, Any]]]) -> Answer:
    try:
        return Answer(200, await execute())
    except StripeRefusal as refusal:
        if not refusal.was_executed:
            raise
        return Answer(refusal.status, refusal.body)
