"""Websockets: subscriptions by the protocol graphql-transport-ws (of the library graphql-ws).

    client                                    server
    connection_init {payload: credentials} -> connection_ack
    subscribe {id, payload: request}       -> next {id, payload: response} ..., then complete {id}; or error {id, payload}
    complete {id}                             ends it
    ping                                   -> pong: whatever was subscribed before has begun

Credentials come as `authorization` and, for operators, `purserTenant` in the payload of connection_init, or as the
headers of a request; pages of our own send their session cookie. They are checked again and again: a key that ends ends the connection, and one that expires ends it
at that moment. A connection whose client takes nothing for too long is dropped. Queries and mutations go by POST.

Codes of closing: 4400 what was sent is malformed, 4401 subscribed before connection_ack, 4403 the credentials are none,
4406 another subprotocol, 4408 no connection_init, 4409 an id is used twice, 4429 too many of something, or too often, 1009
a message is too large, 1011 a mistake of ours, 1012 the server restarts, 1013 it is full, or credentials cannot be checked.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson
from starlette.types import Message, Receive, Scope, Send

from graphql_api.errors import ErrorCode, RequestError, bad_input, internal
from graphql_api.execution import Answer, Engine, failed
from graphql_api.http import (
    ContextOf,
    HttpError,
    address_of,
    count,
    credentials_in,
    identified,
    read_request,
)
from graphql_api.session_cookie import SessionCookie
from infra.services.api_keys import Keyring
from infra.services.callers import Caller
from infra.transaction import UNANSWERED

PROTOCOL: Final = "graphql-transport-ws"
SECONDS_TO_INITIALISE: Final = 10.0
SECONDS_BETWEEN_CHECKS: Final = 30.0
SECONDS_TO_SEND: Final = 30.0
MOST_CONNECTIONS: Final = 10_000
MOST_CONNECTIONS_OF_A_KEY: Final = 1_000
MOST_SUBSCRIPTIONS: Final = 50
LONGEST_ID: Final = 128
LONGEST_REASON: Final = 123  # bytes, in a frame that closes
NO_KEY: Final = 'name a key in the payload of connection_init: {"authorization": "Bearer psk_..."}'

MALFORMED: Final = 4400
UNAUTHORIZED: Final = 4401
FORBIDDEN: Final = 4403
OTHER_PROTOCOL: Final = 4406
NOT_INITIALISED: Final = 4408
USED_TWICE: Final = 4409
TOO_MANY: Final = 4429
INTERNAL: Final = 1011
FULL: Final = 1013

EXPIRED: Final = "the key or token has expired"

# How a connection is closed for what HTTP has a status for; all else says that the credentials are none.
_CODES: Final = {429: TOO_MANY, 503: FULL}

_log: Final = logging.getLogger(__name__)


class ClosedError(Exception):
    """The connection is to be closed, with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class GoneError(Exception):
    """There is nobody to say anything to."""


class WebsocketEndpoint:
    """The ASGI application for websockets at /graphql."""

    def __init__(self, engine: Engine, keyring: Keyring, context_of: ContextOf, session: SessionCookie) -> None:
        self.engine = engine
        self.keyring = keyring
        self.context_of = context_of
        self.session = session
        self._open = 0
        self._open_by_caller: Counter[Caller] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = _Connection(self, scope, receive, send)
        self._open += 1
        try:
            await receive()
            await connection.accept(scope["subprotocols"])
            if self._open > MOST_CONNECTIONS:
                raise ClosedError(FULL, "there are too many connections: try again later")
            await connection.serve()
        except GoneError:
            return
        except ClosedError as closed:
            await connection.close(closed.code, str(closed))
        except Exception as error:  # noqa: BLE001  # masked, and logged in full
            await connection.close(INTERNAL, str(internal(error)))
        finally:
            self._open -= 1

    @contextmanager
    def counted(self, caller: Caller) -> Iterator[None]:
        """One more connection of a key. Raises ClosedError where there are too many."""
        if self._open_by_caller[caller] >= MOST_CONNECTIONS_OF_A_KEY:
            raise ClosedError(TOO_MANY, f"a key has at most {MOST_CONNECTIONS_OF_A_KEY} connections")
        self._open_by_caller[caller] += 1
        try:
            yield
        finally:
            self._open_by_caller[caller] -= 1
            if not self._open_by_caller[caller]:
                del self._open_by_caller[caller]


class _Connection:
    def __init__(self, endpoint: WebsocketEndpoint, scope: Scope, receive: Receive, send: Send) -> None:
        self._endpoint = endpoint
        self._receive_event = receive
        self._send_event = send
        self._address = address_of(scope)
        self._authorization, self._tenant = credentials_in(dict(scope["headers"]), endpoint.session)
        self._running: dict[str, asyncio.Task[None]] = {}

    async def accept(self, protocols: Sequence[str]) -> None:
        """Take a connection that speaks our protocol."""
        offered = PROTOCOL in protocols
        await self._pass({"type": "websocket.accept", "subprotocol": PROTOCOL if offered else None})
        if not offered:
            raise ClosedError(OTHER_PROTOCOL, f"speak the subprotocol {PROTOCOL}")

    async def serve(self) -> None:
        """Until the client leaves, or is to be told to: by GoneError or ClosedError."""
        try:
            async with asyncio.timeout(SECONDS_TO_INITIALISE):
                caller = await self._initialised()
        except TimeoutError as error:
            raise ClosedError(NOT_INITIALISED, "send connection_init first") from error
        with self._endpoint.counted(caller):
            await self._send({"type": "connection_ack"})
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._check(caller))
                    await self._obey(tasks, caller)
            except ExceptionGroup as ended:
                raise _why(ended) from ended

    async def close(self, code: int, reason: str) -> None:
        """Say why, to whoever is still there."""
        shortened = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
        with suppress(GoneError):
            await self._pass({"type": "websocket.close", "code": code, "reason": shortened})

    async def _initialised(self) -> Caller:
        message = await self._receive()
        if message["type"] == "subscribe":
            raise ClosedError(UNAUTHORIZED, "send connection_init first")
        if message["type"] != "connection_init":
            raise ClosedError(MALFORMED, "send connection_init first")
        given = message.get("payload") or {}
        if not isinstance(given, dict):
            raise ClosedError(MALFORMED, "the payload of connection_init is an object")
        # As with headers, the case of their names does not matter: clients write Authorization, too.
        named = {name.lower(): value for name, value in given.items()}
        authorization, tenant = named.get("authorization"), named.get("pursertenant")
        if not isinstance(authorization, str | None) or not isinstance(tenant, str | None):
            raise ClosedError(MALFORMED, "authorization and purserTenant are strings")
        self._authorization = authorization or self._authorization
        self._tenant = tenant or self._tenant
        if not self._authorization:
            raise ClosedError(FORBIDDEN, NO_KEY)
        return await self._caller(self._address)

    async def _caller(self, address: str | None) -> Caller:
        try:
            return await identified(self._endpoint.keyring, self._authorization, self._tenant, address)
        except HttpError as error:
            raise ClosedError(_CODES.get(error.status, FORBIDDEN), str(error)) from error
        except UNANSWERED as error:
            # Not a mistake of ours (1011), after which clients do not come again.
            raise ClosedError(FULL, "credentials cannot be checked now: try again later") from error

    async def _check(self, caller: Caller) -> None:
        """See that the credentials stay what they were. One that ends by itself ends the connection at that moment."""
        while True:
            await asyncio.sleep(_seconds_to_check(caller))
            if caller.has_ended(datetime.now(UTC)):
                raise ClosedError(FORBIDDEN, EXPIRED)
            try:
                # As one who is let in already: else its other connections would spend what may be wrong, and this one stay.
                found = await self._caller(None)
            except ClosedError as error:
                if error.code == FORBIDDEN:
                    # It may have ended while it was looked up.
                    reason = EXPIRED if caller.has_ended(datetime.now(UTC)) else str(error)
                    raise ClosedError(FORBIDDEN, reason) from error
                # Nothing speaks against it, and a token has its end. Nothing new is told either while the database does not
                # answer.
                _log.warning("a websocket's key could not be checked: %s", error)
                continue
            if found != caller:
                raise ClosedError(FORBIDDEN, "the key stands for somebody else by now")
            # A key may have been given an end.
            caller = found

    async def _obey(self, tasks: asyncio.TaskGroup, caller: Caller) -> None:
        context = self._endpoint.context_of(caller)
        while True:
            message = await self._receive()
            match message["type"]:
                case "subscribe":
                    await self._subscribe(tasks, message, caller, context)
                case "complete":
                    task = self._running.pop(_id_of(message), None)
                    if task is not None:
                        task.cancel()
                case "ping":
                    await self._send({"type": "pong"})
                case "pong":
                    pass
                case "connection_init":
                    raise ClosedError(TOO_MANY, "connection_init was sent before")
                case _:
                    raise ClosedError(MALFORMED, "the message has no type that a client sends")

    async def _subscribe(
        self, tasks: asyncio.TaskGroup, message: dict[str, Any], caller: Caller, context: object
    ) -> None:
        """Begin a subscription; what is sent after it is looked at once it has begun."""
        identifier, payload = _id_of(message), message.get("payload")
        if not isinstance(payload, dict):
            raise ClosedError(MALFORMED, 'the payload of subscribe is an object: {"query": "..."}')
        if identifier in self._running:
            raise ClosedError(USED_TWICE, f"the id {identifier} is in use")
        if len(self._running) >= MOST_SUBSCRIPTIONS:
            full = f"a connection has at most {MOST_SUBSCRIPTIONS} subscriptions: complete one, or connect once more"
            await self._refuse(identifier, failed(RequestError(ErrorCode.TOO_COMPLEX, full)))
            return
        try:
            count(self._endpoint.keyring, caller)
        except HttpError as error:
            await self._refuse(identifier, failed(RequestError(error.code, str(error))))
            return
        begun = asyncio.Event()
        task = tasks.create_task(self._run(identifier, payload, context, begun))
        self._running[identifier] = task
        await begun.wait()

    async def _run(self, identifier: str, payload: dict[str, Any], context: object, begun: asyncio.Event) -> None:
        try:
            await self._follow(identifier, payload, context, begun)
        finally:
            begun.set()
            if self._running.get(identifier) is asyncio.current_task():
                del self._running[identifier]

    async def _follow(self, identifier: str, payload: dict[str, Any], context: object, begun: asyncio.Event) -> None:
        try:
            query, variables, operation_name = read_request(payload, orjson.dumps(payload))
        except HttpError as error:
            await self._refuse(identifier, failed(RequestError(error.code, str(error))))
            return
        except orjson.JSONEncodeError:
            await self._refuse(identifier, failed(bad_input("the payload of subscribe nests too many levels")))
            return
        answers = await self._endpoint.engine.follow(query, variables, operation_name, context)
        if isinstance(answers, dict):
            await self._refuse(identifier, answers)
            return
        begun.set()
        try:
            await self._pass_on(identifier, answers)
        except GoneError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told
            await self._refuse(identifier, failed(error))
            return
        await self._send({"type": "complete", "id": identifier})

    async def _pass_on(self, identifier: str, answers: AsyncGenerator[str, None]) -> None:
        before = f'{{"type":"next","id":{orjson.dumps(identifier).decode()},"payload":'
        async with aclosing(answers):
            async for answer in answers:
                await self._pass({"type": "websocket.send", "text": f"{before}{answer}}}"})

    async def _refuse(self, identifier: str, answer: Answer) -> None:
        await self._send({"type": "error", "id": identifier, "payload": answer["errors"]})

    async def _send(self, message: dict[str, Any]) -> None:
        await self._pass({"type": "websocket.send", "text": orjson.dumps(message).decode()})

    async def _pass(self, event: Message) -> None:
        """Raises GoneError where the client takes nothing any more."""
        try:
            async with asyncio.timeout(SECONDS_TO_SEND):
                await self._send_event(event)
        except OSError as error:  # a TimeoutError is one too
            raise GoneError from error

    async def _receive(self) -> dict[str, Any]:
        received = await self._receive_event()
        if received["type"] == "websocket.disconnect":
            raise GoneError
        try:
            message = orjson.loads(received.get("text") or b"")
        except orjson.JSONDecodeError as error:
            raise ClosedError(MALFORMED, "a message is JSON in a text frame") from error
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise ClosedError(MALFORMED, "a message is a JSON object with a type")
        return cast("dict[str, Any]", message)


def _seconds_to_check(caller: Caller) -> float:
    ends = None if caller.credential is None else caller.credential.expires_at
    if ends is None:
        return SECONDS_BETWEEN_CHECKS
    return min(SECONDS_BETWEEN_CHECKS, max(0.0, (ends - datetime.now(UTC)).total_seconds()))


def _id_of(message: dict[str, Any]) -> str:
    identifier = message.get("id")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= LONGEST_ID:
        raise ClosedError(MALFORMED, f"an id is a string of 1 to {LONGEST_ID} characters")
    return identifier


def _why(ended: ExceptionGroup[Exception]) -> Exception:
    """What ended a connection: a mistake of ours before all else, and whoever is gone is told nothing."""
    causes = [error for error in ended.exceptions if not isinstance(error, ClosedError | GoneError)]
    causes += [error for error in ended.exceptions if isinstance(error, GoneError)]
    return [*causes, *ended.exceptions][0]
