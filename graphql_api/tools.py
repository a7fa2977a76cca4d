"""Tools: what agents may ask over MCP, each a GraphQL document with a name and a text that teaches when to use it.

A tool decides nothing: its document is executed as any other of the same caller's, so permissions, limits and masking are
those of GraphQL. What it takes and answers is derived from the document (tool_schemas.py).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import GraphQLSchema, parse

from graphql_api.context import Context
from graphql_api.errors import RequestError, bad_input, formatted, internal
from graphql_api.execution import Engine
from graphql_api.http import HttpError, read_request
from graphql_api.tool_schemas import JsonSchema, input_schema, output_schema

Arguments = Mapping[str, Any]
Data = dict[str, Any]


class FailedError(Exception):
    """A call that has no answer; the message is for the agent: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """Variables that a caller need not give although the document needs them: what is said of each, and what finds
    their values when a call comes."""

    said: Mapping[str, str]
    find: Callable[["Call"], Awaitable[Arguments]]


@dataclass(frozen=True, slots=True)
class Tool:
    """One thing that agents may ask. `text` says an answer in a sentence or two; it raises RequestError where the answer
    is nothing."""

    name: str
    title: str
    description: str
    document: str
    text: Callable[[Data], str]
    defaults: Defaults | None = None


class OfferedTool:
    """A tool of one schema, with what it takes and answers there."""

    def __init__(self, schema: GraphQLSchema, tool: Tool) -> None:
        document = parse(tool.document)
        self.tool = tool
        self.takes: JsonSchema = input_schema(schema, document)
        self.answers: JsonSchema = output_schema(schema, document)
        if tool.defaults is not None:
            for name, said in tool.defaults.said.items():
                self.takes["properties"][name]["description"] += f" {said}"
            needed = [name for name in self.takes.pop("required") if name not in tool.defaults.said]
            self.takes |= {"required": needed} if needed else {}


class Call:
    """One call of a tool by one caller."""

    def __init__(self, engine: Engine, context: Context) -> None:
        self._engine = engine
        self.context = context

    async def answer(self, offered: OfferedTool, arguments: Arguments) -> tuple[Data, str]:
        """What the tool answers, as data and in words. Raises FailedError."""
        tool = offered.tool
        try:
            unknown = [name for name in arguments if name not in offered.takes["properties"]]
            if unknown:
                there_are = ", ".join(offered.takes["properties"]) or "none"
                raise bad_input(f"there is no argument {unknown[0][:80]!r}; the arguments are: {there_are}")
            given = {name: value for name, value in arguments.items() if value is not None}
            if tool.defaults is not None and not given.keys() >= tool.defaults.said.keys():
                given = {**await tool.defaults.find(self), **given}
            data = await self.ask(tool.document, given)
            return data, tool.text(data)
        except FailedError:
            raise
        except RequestError as error:
            raise _failed([error]) from error
        except Exception as error:
            raise _failed([internal(error)]) from error

    async def ask(self, document: str, arguments: Arguments) -> Data:
        """The data of a document that is executed without errors. Raises FailedError for one that is not."""
        try:
            # Whatever JSON may hold and PostgreSQL or UTF-8 may not is found as in any other request.
            body = orjson.dumps(arguments)
            query, variables, _ = read_request({"query": document, "variables": arguments}, body)
        except orjson.JSONEncodeError as error:
            raise _failed([bad_input(f"the arguments are no JSON that can be read here: {error}")]) from error
        except HttpError as error:
            raise _failed([bad_input(str(error))]) from error
        answer = await self._engine.answer(query, variables, None, self.context)
        if "errors" in answer:
            raise FailedError("\n".join(map(_sentence, answer["errors"])))
        data: Data = answer["data"]
        return data


def _failed(found: list[RequestError]) -> FailedError:
    return FailedError("\n".join(map(_sentence, formatted(found))))


def _sentence(error: Mapping[str, Any]) -> str:
    extensions: Mapping[str, Any] = error["extensions"]
    log = f", {extensions['errorId']}" if "errorId" in extensions else ""
    return f"{error['message']} ({extensions['code']}{log})"
