"""A server with the console, and browsers of people: they keep cookies, and say from which page they ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from graphql_api.app import create_app
from graphql_api.serving import configuration
from infra.application import Application
from tests.graphql_api.client import SCHEMA
from tests.in_process import Listener


@asynccontextmanager
async def serving_console(application: Application, *, demo: bool = False) -> AsyncIterator[str]:
    """The address of a server that knows it as its public one."""
    listener = Listener()
    settings = replace(application.settings, public_url=listener.origin)
    app = create_app(replace(application, settings=settings), SCHEMA, demo=demo)
    async with listener.serving(app, configuration(app)):
        yield listener.origin


@dataclass(frozen=True, slots=True)
class Browser:
    """On a page of the server's."""

    http: httpx.AsyncClient
    origin: str

    async def post(self, path: str, document: Any, **headers: str) -> httpx.Response:
        """What a script of the page sends; a header that is empty is left out."""
        said = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"} | headers
        return await self.http.post(path, json=document, headers={name: text for name, text in said.items() if text})

    async def sign_in(self, key: str) -> None:
        """With a key, which must be taken."""
        response = await self.post("/sign-in", {"key": key})
        assert response.status_code == 204, response.text

    async def send(self, query: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to a query."""
        response = await self.post("/graphql", {"query": query}, **headers)
        return response.status_code, response.json()

    async def ask(self, query: str, **headers: str) -> Any:
        """The data of a query that must be answered."""
        status, answer = await self.send(query, **headers)
        assert (status, answer.get("errors")) == (200, None), answer
        return answer["data"]

    def cookies(self) -> dict[str, str]:
        """What it keeps."""
        return {cookie.name: cookie.value or "" for cookie in self.http.cookies.jar}


@asynccontextmanager
async def opened(origin: str) -> AsyncIterator[Browser]:
    """A browser without cookies."""
    async with httpx.AsyncClient(base_url=origin, timeout=30) as http:
        yield Browser(http, origin)
