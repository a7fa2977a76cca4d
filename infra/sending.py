"""Sending: what became of one attempt to reach a channel."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sent:
    """`error` None: it arrived. It may be shown to the channel's owner. `reached`: somebody answered. `gone`: the channel
    wants no more, ever."""

    error: str | None = None
    reached: bool = True
    gone: bool = False


DELIVERED: Final = Sent()
