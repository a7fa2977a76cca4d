"""The jobs in a process whose present is the time that the event is for: `tests.lambdas.timely_jobs.start_cycles`.

No run may be for a time to come; so tests that need months to pass let them pass for the process too.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

from lambdas import runtime
from lambdas.runtime import Answer, LambdaContext


def __getattr__(name: str) -> Callable[[Mapping[str, Any], LambdaContext], Answer]:
    handler: runtime.Job = import_module(f"lambdas.{name}").handler

    def timely(event: Mapping[str, Any], context: LambdaContext) -> Answer:
        present = datetime.fromisoformat(event.get("at") or event["time"])
        runtime.now = lambda: present
        return handler(event, context)

    return timely
