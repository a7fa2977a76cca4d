"""Every field that asks who asks, times every role: executed over the wire and compared with permissions.csv, cell by cell.

The table is for people: whoever changes a permission changes it there too. A cell says `yes`, `null` (the field is there
and empty), or the code of the error. The arguments are made from the schema's types, and a mutation's idempotency key is
empty, so that what is allowed is refused for that alone.
"""

import ast
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    is_leaf_type,
)

import graphql_api
from infra.application import Application
from tests.graphql_api.client import SCHEMA, Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.websockets_client import watching

pytestmark = pytest.mark.anyio

TABLE: Final = Path(__file__).with_name("permissions.csv")
NOBODY: Final = "no key"
# Fields below the operations that look at the role.
BELOW: Final = {"TopUp.checkoutUrl": "{ topUps { edges { node { checkoutUrl } } } }"}
# Answers that hold more for operators; the tests beside them say what.
MORE_FOR_OPERATORS: Final = {"receipts"}
# Answers with the role, and nothing depends on it.
TELLS_THE_ROLE: Final = {"viewer"}
VALUES: Final = {
    "Boolean": "false",
    "Int": "1",
    "Float": "1",
    "DateTime": '"2026-11-21T00:00:00Z"',
    "Date": '"2026-11-21"',
    "JSON": "{}",
}

Table = dict[str, dict[str, str]]


@pytest.fixture
def application(paid_application: Application) -> Application:
    return paid_application


async def test_who_may_do_what_is_what_the_table_says(
    clients: Clients, application: Application, http: httpx.AsyncClient, api_url: str
) -> None:
    await clients.admin.do("startTopUp", idempotencyKey="t", walletKey="metered", amount="20")
    asking: dict[str, Client | None] = {
        "operator of the tenant": clients.operator,
        "operator of none": Client(http, clients.operator.token),
        "admin": clients.admin,
        "member": clients.member,
        "service": clients.service,
        NOBODY: None,
    }
    found: Table = {}
    for operation, query in documents().items():
        found[operation] = {}
        for role, client in asking.items():
            if query.startswith("subscription"):
                found[operation][role] = await watched(api_url, client, query)
            else:
                found[operation][role] = await answered(http, client, query, below=operation in BELOW)
    expected = table()
    wrong = {name: cells for name, cells in found.items() if expected.get(name) != cells}
    lines = "\n".join(",".join([name, *cells.values()]) for name, cells in wrong.items())
    assert not wrong, f"{TABLE.name} says otherwise, or nothing. Found:\n{lines}"
    assert expected.keys() == found.keys(), "the table has rows of what there is no more"


def test_the_table_has_every_field_that_looks_at_the_role() -> None:
    """Nothing below the operations does, but what is named here."""
    looking = set()
    for path in Path(str(graphql_api.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "role" and "caller" in ast.unparse(node.value):
                looking.add(path.stem)
    below = {name.partition(".")[0].lower() + "s" for name in BELOW}
    assert looking == {"permissions", *below, *MORE_FOR_OPERATORS, *TELLS_THE_ROLE}
    assert table().keys() >= BELOW.keys()


def table() -> Table:
    """By field and role, what the committed table says."""
    with TABLE.open(newline="") as file:
        return {row.pop("field"): row for row in csv.DictReader(file)}


def documents() -> dict[str, str]:
    """A request for each field."""
    made = dict(BELOW)
    roots = {"query": SCHEMA.query_type, "mutation": SCHEMA.mutation_type, "subscription": SCHEMA.subscription_type}
    for kind, root in roots.items():
        assert root is not None
        for name, field in root.fields.items():
            place = f"{root.name}.{name}"
            made[place] = f"{kind} {{ {name}{arguments_of(field)}{selection_of(field)} }}"
    return made


def arguments_of(field: GraphQLField) -> str:
    needed = [f"{name}: {value_of(name, each.type)}" for name, each in field.args.items() if must_be_given(each)]
    return f"({', '.join(needed)})" if needed else ""


def must_be_given(argument: Any) -> bool:
    return isinstance(argument.type, GraphQLNonNull) and argument.default is None


def value_of(name: str, of: GraphQLInputType) -> str:
    """A value of a type; of a mutation's key one that is refused."""
    if isinstance(of, GraphQLNonNull):
        of = of.of_type
    if isinstance(of, GraphQLList):
        return f"[{value_of(name, of.of_type)}]"
    if isinstance(of, GraphQLEnumType):
        return str(next(iter(of.values)))
    if isinstance(of, GraphQLInputObjectType):
        needed = [f"{part}: {value_of(part, each.type)}" for part, each in of.fields.items() if must_be_given(each)]
        return f"{{{', '.join(needed)}}}"
    if name == "idempotencyKey":
        return '""'
    return VALUES.get(str(of), '"1"')


def selection_of(field: GraphQLField) -> str:
    named = field.type
    while isinstance(named, GraphQLNonNull | GraphQLList):
        named = named.of_type
    if is_leaf_type(named):
        return ""
    assert not isinstance(named, GraphQLObjectType) or named.fields
    return " { __typename }"


async def answered(http: httpx.AsyncClient, client: Client | None, query: str, *, below: bool) -> str:
    if client is None:
        response = await http.post("/graphql", json={"query": query})
        answer: Mapping[str, Any] = response.json()
    else:
        answer = await client.send(query)
    code = code_of(answer)
    if code != "yes" or not below:
        return code
    (edge,) = answer["data"]["topUps"]["edges"]
    return "null" if edge["node"]["checkoutUrl"] is None else "yes"


def code_of(answer: Mapping[str, Any]) -> str:
    """The code of the error; `yes` also where a resolver found fault with what was made up: then it was asked."""
    for error in answer.get("errors", ()):
        code: str = error["extensions"]["code"]
        if code != "BAD_USER_INPUT" or "path" not in error:
            return code
    return "yes"


async def watched(api_url: str, client: Client | None, query: str) -> str:
    """Whether a subscription begins."""
    async with watching(api_url) as watcher:
        if client is None:
            await watcher.send("connection_init")
            code, _ = await watcher.closed()
            return {4403: "UNAUTHENTICATED"}[code]
        await watcher.initialise(client.token, **({} if client.tenant is None else {"purserTenant": client.tenant}))
        await watcher.send("subscribe", "1", {"query": query})
        await watcher.send("ping")
        message = await watcher.receive()
        if message["type"] == "error":
            return code_of({"errors": message["payload"]})
        return "yes"
