"""What a worker is told when its work may not run, or when nobody answers."""

from collections.abc import Mapping
from typing import Any, Final


class PurserError(Exception):
    """All that this package raises by itself."""


class JournalError(PurserError):
    """The journal cannot be written: work that would need it must not begin."""


class Unavailable(PurserError):
    """Purser did not answer, or could not decide: what was asked may or may not have happened.

    `wait` is how many seconds the server wants to be left alone; `lasting` says that asking again soon will not help;
    `nothing_done`, that what was asked has certainly not happened.
    """

    def __init__(self, message: str, *, wait: float = 0, lasting: bool = False, nothing_done: bool = False) -> None:
        super().__init__(message)
        self.wait = wait
        self.lasting = lasting
        self.nothing_done = nothing_done


class Unauthenticated(Unavailable):
    """The key is unknown, expired or revoked, or may not do this."""


class Refused(PurserError):
    """An expected no: nothing was held or moved.

    `code` is Purser's RefusalCode, or BAD_USER_INPUT or TOO_COMPLEX for what could not even be read. `figures` are those
    of the refusal, in snake case and amounts as decimal text. `refusal_id` finds it later (query `receipt`).
    """

    def __init__(self, code: str, message: str, figures: Mapping[str, Any], refusal_id: str | None = None) -> None:
        # All of it, so that it can be handed to another process.
        super().__init__(code, message, figures, refusal_id)
        self.code = code
        self.message = message
        self.figures = figures
        self.refusal_id = refusal_id

    def __str__(self) -> str:  # type: ignore[explicit-override]  # from Python 3.12 on typing has override
        return self.message

    @property
    def retryable(self) -> bool:
        """Whether the same request may fit as soon as other work has settled."""
        return bool(self.figures.get("retryable"))


class InsufficientFunds(Refused):
    """A wallet does not hold what the work needs."""


class BudgetExceeded(Refused):
    """A budget has no room. Unless it is `retryable`: stop taking work of this scope until it is heard of again."""


class ScopePaused(Refused):
    """The tenant, the agent role or the campaign is paused: stop taking its work until it is resumed."""


_KINDS: Final[Mapping[str, type[Refused]]] = {
    "INSUFFICIENT_FUNDS": InsufficientFunds,
    "BUDGET_EXCEEDED": BudgetExceeded,
    "SCOPE_PAUSED": ScopePaused,
}


def refused(code: str, message: str, figures: Mapping[str, Any], refusal_id: str | None = None) -> Refused:
    """A refusal as the exception of its code."""
    return _KINDS.get(code, Refused)(code, message, figures, refusal_id)
