"""MCP: agents ask at /mcp, over streamable HTTP, with the same keys as everybody.

    POST JSON-RPC with a key -> the SDK reads the message by the protocol version of its header -> one of our tools

Nothing is kept between two requests, each is answered by one JSON document, and there is no stream to listen to: GET and
DELETE are answered with 405, as the protocol has it. Key, tenant, body size and time are checked as at /graphql. A page in
a browser may come from our own address only (Origin), so that no site that a person visits reaches a server on their
machine or network.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from graphql_api import errors
from graphql_api.context import Context
from graphql_api.errors import ErrorCode, RequestError
from graphql_api.execution import Engine
from graphql_api.http import Header, HttpError, address_of, authenticated, credentials_in, whole_body
from graphql_api.toolbox import INSTRUCTIONS, TOOLS
from graphql_api.tools import Call, FailedError, OfferedTool
from infra.services.api_keys import Keyring
from infra.services.callers import Caller

CALLER: Final = "purser.caller"
READS_ONLY: Final = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


class McpEndpoint:
    """The ASGI application at /mcp. `public_url`: the address whose pages may ask; None: no page may."""

    def __init__(
        self, engine: Engine, keyring: Keyring, context_of: Callable[[Caller], Context], public_url: str | None = None
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._context_of = context_of
        self._origin = None if public_url is None else _origin(public_url)
        self._tools = {tool.name: OfferedTool(engine.schema, tool) for tool in TOOLS}
        server = Server(
            "purser",
            version=version("purser"),
            title="Purser",
            instructions=INSTRUCTIONS,
            get_tool_input_schema=self._takes,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        self._manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Answers are given within this block, once."""
        return self._manager.run()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            self._check(scope["method"], headers)
            scope[CALLER] = await authenticated(self._keyring, *credentials_in(headers), address_of(scope))
            body = await whole_body(headers, receive)
        except HttpError as error:
            await _refuse(send, error.status, RequestError(error.code, str(error)), *error.headers)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001  # masked, and logged in full
            await _refuse(send, 500, errors.internal(error))
        else:
            await self._manager.handle_request(scope, _replayed(body, receive), send)

    def _check(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() != self._origin:
            message = "this Origin may not ask here: agents send none, and pages only that of PURSER_PUBLIC_URL"
            raise HttpError(403, ErrorCode.FORBIDDEN, message)
        if method != "POST":
            message = "send POST with a JSON-RPC message: there are no sessions and no streams here"
            raise HttpError(405, ErrorCode.BAD_USER_INPUT, message, (b"allow", b"POST"))

    async def _list(self, _context: Any, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name,
                    title=tool.tool.title,
                    description=tool.tool.description,
                    input_schema=tool.takes,
                    output_schema=tool.answers,
                    annotations=READS_ONLY,
                )
                for name, tool in self._tools.items()
            ]
        )

    async def _call(
        self, context: ServerRequestContext[Any, Request], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = self._tools.get(params.name)
        if tool is None:
            message = f"there is no tool {params.name[:80]!r}; the tools are: {', '.join(self._tools)}"
            raise MCPError(types.INVALID_PARAMS, message)
        assert context.request is not None, "it came by HTTP"
        caller: Caller = context.request.scope[CALLER]
        try:
            data, text = await Call(self._engine, self._context_of(caller)).answer(tool, params.arguments or {})
        except FailedError as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        # The data as text too, for clients that do not know structured content.
        as_json = orjson.dumps(data).decode()
        content: list[types.ContentBlock] = [types.TextContent(text=text), types.TextContent(text=as_json)]
        return types.CallToolResult(content=content, structured_content=data)

    def _takes(self, name: str) -> Mapping[str, Any] | None:
        tool = self._tools.get(name)
        return None if tool is None else tool.takes


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, and then whatever follows it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


async def _refuse(send: Send, status: int, error: RequestError, *headers: Header) -> None:
    """Answer without handing the request on, by an error of JSON-RPC that belongs to no message."""
    (shown,) = errors.formatted([error])
    body = orjson.dumps(
        {
            "jsonrpc": "2.0",
            "id": None,
            "error": {"code": types.INVALID_REQUEST, "message": shown["message"], "data": shown["extensions"]},
        }
    )
    said = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": said})
    await send({"type": "http.response.body", "body": body})
