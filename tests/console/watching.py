"""What goes wrong in a page that nobody would see on it: each such fault fails the test."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, Response, WebError, WebSocket

# What the page stopped by itself: it was left, or asked for something newer.
ABORTED: Final = "net::ERR_ABORTED"
_OPERATION: Final = re.compile(r"\b(?:query|mutation)\s+(\w+)")


@dataclass(frozen=True, slots=True)
class Question:
    """A GraphQL request of a page. `name` is the operation's; "": it has none."""

    name: str
    variables: dict[str, Any]
    document: str


@dataclass  # without slots: Playwright keeps its handlers on the object
class Watch:
    """Of all pages of a test: their faults, and what they asked over HTTP."""

    origin: str
    faults: list[str] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """A fault that the test provokes, by a regular expression. It must come about."""
        self._expected.append(pattern)

    def verdict(self) -> list[str]:
        """The faults that were not expected, and the expected ones that did not come about."""
        unexpected = [fault for fault in self.faults if not any(re.search(p, fault) for p in self._expected)]
        missing = [p for p in self._expected if not any(re.search(p, fault) for fault in self.faults)]
        return unexpected + [f"expected, but did not happen: {pattern}" for pattern in missing]

    def names(self) -> list[str]:
        """The operations that were asked, in order."""
        return [question.name for question in self.asked]

    def attach(self, context: BrowserContext) -> Callable[[], None]:
        """From here on, see what its pages do, until what is returned is called. Violations of the
        Content-Security-Policy are errors on the console."""
        handlers: dict[Any, Callable[..., None]] = {
            "console": self._said,
            "weberror": self._threw,
            "request": self._requested,
            "requestfailed": self._failed,
            "response": self._answered,
            "page": self._opened,
        }
        for event, handler in handlers.items():
            context.on(event, handler)

        def detach() -> None:
            for event, handler in handlers.items():
                context.remove_listener(event, handler)

        return detach

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            self.faults.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _threw(self, thrown: WebError) -> None:
        self.faults.append(f"uncaught: {thrown.error.stack or thrown.error.message}")

    def _requested(self, request: Request) -> None:
        self._check_host(request.url)
        if request.method == "POST" and urlsplit(request.url).path == "/graphql":
            body: dict[str, Any] = request.post_data_json or {}
            document = body.get("query", "")
            name = body.get("operationName") or next(iter(_OPERATION.findall(document)), "")
            self.asked.append(Question(name, body.get("variables") or {}, document))

    def _failed(self, request: Request) -> None:
        if request.failure != ABORTED:
            self.faults.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status == 404 or response.status >= 500:
            self.faults.append(f"status {response.status}: {response.request.method} {response.url}")

    def _opened(self, page: Page) -> None:
        page.on("websocket", self._connected)

    def _connected(self, websocket: WebSocket) -> None:
        self._check_host(websocket.url)

    def _check_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != urlsplit(self.origin).netloc:
            self.faults.append(f"foreign: {url}")
