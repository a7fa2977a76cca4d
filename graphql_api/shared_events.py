"""Shared events: what a subscription tells many at once, and the answers that were made of it.

Where all that a document selects are plain attributes, its answer depends on the event and the document alone, so whoever
sent the same document gets the same answer, which is made once.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from infra.topics import State

Value = TypeVar("Value")
Shown = TypeVar("Shown")


class SharedEvent:
    """An event; `answers`: the responses that were made of it, as JSON, by the plans that made them."""

    __slots__ = ("answers", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.answers: dict[Callable[[Any], Any] | None, str] = {}


def shown(state: State[Value], name: object, show: Callable[[Value], Shown]) -> Shown:
    """What is shown of a state under a name, the same for all who follow. It is a SharedEvent, which stands for its value
    wherever a subscription tells it."""
    return cast("Shown", state.once(name, lambda value: SharedEvent(show(value))))
