"""What a credit is worth, the markup and margins are operators': no tenant role reads them through any field, error or
description.

Tenants do see what they were charged and what providers charged for their work (PRODUCT.md 5). Where both stand side by
side, one is the other times the markup: that is in these figures, and allowed. What no answer may do is show the setting
itself, or stand dollars beside credits that differ by a credit's value alone.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import permutations
from typing import Any, Final

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
)

from domain.ids import NIL
from domain.money import format_amount
from graphql_api.permissions import ALLOWED, OPERATORS
from infra import catalog as data_files
from infra.application import Application
from infra.services import catalog
from infra.services.callers import Caller, Role
from infra.services.catalog import Published
from infra.services.margins import check_margins
from tests.graphql_api.client import SCHEMA
from tests.graphql_api.conftest import Clients
from tests.graphql_api.test_contract import default_of, open_to_tenants, parts_of, types_of

pytestmark = pytest.mark.anyio

TENANTS: Final = (Role.ADMIN, Role.MEMBER, Role.SERVICE)
# No other figure is like these.
VALUE: Final = "0.617283945"
MARKUP: Final = "1.918273647"
CARRIERS: Final = re.compile(
    r"credit_?value|markup|margin|revenue|least_?percent|default_?estimate|metering|metered_?by", re.IGNORECASE
)
FIGURE: Final = re.compile(r"\d+(?:\.\d+)?")
AMOUNT: Final = re.compile(r"-?\d+(?:\.\d+)?")
SPAN: Final = '{from: "2026-01-01T00:00:00Z", to: "2030-01-01T00:00:00Z"}'
FOR_OPERATORS: Final = (
    f"{{ margins(filter: {SPAN}, groupBy: [FEATURE]) {{ total {{ revenueUsd }} }} }}",
    f"{{ metering(filter: {SPAN}) {{ total {{ costUsd }} }} }}",
    f"{{ unmetered(filter: {SPAN}) {{ edges {{ node {{ costUsd }} }} }} }}",
    "{ rateCards { creditValue markup } }",
    f'{{ backTestMargins(input: {{month: "{datetime.now(UTC):%Y-%m}", markup: "2"}}) {{ __typename }} }}',
    'mutation { publishRateCard(input: {idempotencyKey: "k", basedOn: 1, markup: "2"}) { __typename } }',
)
HOLDS: Final = "holds { amount wallet { key unit available } }"
RESERVED: Final = f"__typename ... on Reservation {{ id heldUsd maxCostUsd warnings {{ spent held cap }} {HOLDS} }}"
REFUSED: Final = """... on Refusal { code message }
  ... on InsufficientFunds { walletKey wanted: requested available shortBy }
  ... on BudgetExceeded { scope cap spent held requested retryable }"""
OUTCOME: Final = """{
  costUsd charges { walletKey amount } balances { walletKey amount } refusals { code scope walletKey costUsd } stops { reason }
}"""
BACK_TEST: Final = f'''{{ backTest(input: {{
        month: "{datetime.now(UTC):%Y-%m}", plan: "starter", caps: [{{scope: TENANT, period: MONTH, cap: null}}]
    }}) {{ ... on BackTest {{ facts differences asItWas {OUTCOME} asAssumed {OUTCOME} }} }} }}'''
QUESTIONS: Final = (
    BACK_TEST,
    "{ rateCard { version rates { feature name chargeType walletKey credits floor agents note } } }",
    "{ wallets { key unit granted available reserved consumed usedPercent debt } }",
    "{ plans { key name allocations { walletKey unit amount } price { amount currency } } }",
    "{ bundles { key } }",
    '{ planFit(deliverables: [{feature: "blog_post", quantity: "4"}]) { __typename } }',
    "{ prices { provider model inputPer1M } }",
    "{ alerts { edges { node { kind message threshold action } } } }",
    f"{{ usageBreakdown(filter: {SPAN}, groupBy: [FEATURE, PROVIDER]) {{ rows {{ totals {{ costUsd creditsCharged usdCharged }} }} }} }}",
    f"{{ usageEvents(filter: {SPAN}) {{ edges {{ node {{ costUsd charges {{ amount wallet {{ key }} }} }} }} }} }}",
)


def carriers() -> Iterator[tuple[str, GraphQLNamedType]]:
    """Every type of the schema with a field, input field, argument or value that speaks of them, and itself by its name."""
    for named in types_of(SCHEMA):
        if isinstance(named, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType | GraphQLEnumType):
            if named in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type):
                continue
            for path, _ in parts_of(named):
                if CARRIERS.search(path):
                    yield path, named


def test_every_type_that_carries_them_is_reached_by_operators_alone() -> None:
    found = dict(carriers())
    assert {
        "PublishedRateCard.creditValue",
        "PublishRateCardInput.markup",
        "MarginSums.marginPercent",
        "Metering",
    } <= set(found)
    open_types = {named.name for named in open_to_tenants()}
    assert [path for path, named in found.items() if named.name in open_types] == []
    for root in filter(None, (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type)):
        for name, field in root.fields.items():
            told = [name, *field.args]
            if any(CARRIERS.search(each) for each in told) or name == "unmetered":
                assert ALLOWED[f"{root.name}.{name}"] == OPERATORS, name


def test_no_description_and_no_default_has_a_figure_of_a_card() -> None:
    """Descriptions can be read by everybody who can ask for the schema."""
    secrets = {"0.15", "0.3", "0.30", "0.40", "0.4", "0.60", "0.6"}
    for card in data_files.load().rate_cards:
        secrets |= {format_amount(card.credit_value), format_amount(card.markup)}
    secrets.discard("1")
    found = {
        path: figures
        for named in types_of(SCHEMA)
        for path, part in parts_of(named)
        if (figures := secrets.intersection(FIGURE.findall(f"{part.description} {default_in(part)}")))
    }
    assert found == {}
    assert SCHEMA.query_type is not None
    target = SCHEMA.query_type.fields["margins"].args["targetPercent"]
    assert default_of(target) in (None, "null"), "the usual target is not told"
    assert "50" not in FIGURE.findall(target.description or "")


def default_in(part: Any) -> str | None:
    return default_of(part) if isinstance(part, GraphQLArgument | GraphQLInputField) else None


@pytest.fixture
async def card(application: Application, clients: Clients) -> None:
    """The tenant's own card, with figures that are like no others."""
    row = {
        "credit_value": VALUE,
        "markup": MARKUP,
        "effective_from": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
    }
    operator = Caller(NIL, Role.OPERATOR, "key:anna")
    answer = await catalog.publish_rate_card(application, operator, "card", row, tenant="acme", based_on=1)
    assert isinstance(answer, Published), answer


async def answers(clients: Clients, role: Role) -> list[tuple[str, Any]]:
    """What a tenant's key is answered, refusals and errors too."""
    client = clients.of(role)
    found: list[tuple[str, Any]] = [(query, await client.send(query)) for query in (*QUESTIONS, *FOR_OPERATORS)]
    for feature, estimate in (
        ("profile_draft", None),
        ("profile_draft", "0.05"),
        ("llm_call", "0.0001"),
        ("blog_post", "9999999"),
    ):
        given = {"feature": feature} | ({} if estimate is None else {"estimate": {"costUsd": estimate}})
        preview = f"query ($input: PreviewInput!) {{ previewReservation(input: $input) {{ ... on ReservationPreview {{ estimatedCostUsd {HOLDS} }} {REFUSED} }} }}"
        found.append((f"preview {feature}", await client.send(preview, {"input": given})))
        reserve = f"mutation ($input: ReserveInput!) {{ reserve(input: $input) {{ {RESERVED} {REFUSED} }} }}"
        whole = given | {"idempotencyKey": f"{role} {feature} {estimate}"}
        found.append((f"reserve {feature}", await client.send(reserve, {"input": whole})))
    # More than there is in each wallet, and more than the budget.
    for feature, cost in (("profile_draft", "140"), ("llm_call", "40"), ("llm_call", "9000")):
        poor = {"idempotencyKey": f"{role} poor {feature} {cost}", "feature": feature, "estimate": {"costUsd": cost}}
        reserve = f"mutation ($input: ReserveInput!) {{ reserve(input: $input) {{ {RESERVED} {REFUSED} }} }}"
        found.append((f"refused {feature}", await client.send(reserve, {"input": poor})))
    return found


@pytest.mark.usefixtures("card")
async def test_no_answer_to_a_tenants_key_shows_them_or_tells_a_credits_value(
    application: Application, clients: Clients
) -> None:
    await clients.admin.do("setBudget", idempotencyKey="b", scope="TENANT", period="MONTH", cap="150")
    work = await clients.service.reserve("w", "profile_draft", estimate={"costUsd": "0.01"})
    usage = [{"provider": "openai", "costUsd": "0.012345679"}]
    settled = await clients.service.do("consume", idempotencyKey="c", reservationId=work["id"], usage=usage)
    assert settled["costUsd"] == "0.012345679"
    stray = {
        "source": "w",
        "eventId": "1",
        "kind": "LLM",
        "feature": "blog_post",
        "usage": {"provider": "x", "costUsd": "3"},
    }
    await clients.service.ask(
        "mutation ($input: RecordUsageInput!) { recordUsage(input: $input) { accepted } }", input={"events": [stray]}
    )
    assert (await check_margins(application, application.clock() + timedelta(seconds=1))).progress.done > 0
    value, markup = Fraction(VALUE), Fraction(MARKUP)
    for role in TENANTS:
        seen = await answers(clients, role)
        refused = [answer for asked, answer in seen if asked in FOR_OPERATORS]
        assert [answer["errors"][0]["extensions"]["code"] for answer in refused] == ["FORBIDDEN"] * len(FOR_OPERATORS)
        not_for_it = [BACK_TEST] if role is Role.SERVICE else []
        assert [asked for asked, answer in seen if asked in QUESTIONS and "errors" in answer] == not_for_it
        codes = {code for _, answer in seen for code in named(answer, "code")}
        if role is not Role.MEMBER:
            assert {"INSUFFICIENT_FUNDS", "BUDGET_EXCEEDED", "FORBIDDEN"} <= codes
        for asked, answer in seen:
            text = str(answer)
            for secret in (VALUE, MARKUP, "negative_margin", "NEGATIVE_MARGIN"):
                assert secret not in text, (role, asked)
            figures = {Fraction(figure) for figure in AMOUNT.findall(text) if Fraction(figure) > 0}
            for one, other in permutations(figures, 2):
                assert not close(one / other, value), (role, asked, one, other)
                if not asked.startswith(("preview", "reserve")) and not re.search("usage|backTest", asked):
                    assert not close(one / other, markup), (role, asked, one, other)


def close(ratio: Fraction, secret: Fraction) -> bool:
    """Amounts are rounded to nano-units."""
    return abs(ratio - secret) < secret / 10**5


def named(answer: Any, name: str) -> Iterator[str]:
    if isinstance(answer, dict):
        for key, part in answer.items():
            if key == name and isinstance(part, str):
                yield part
            yield from named(part, name)
    elif isinstance(answer, list):
        for part in answer:
            yield from named(part, name)


async def test_operators_alerts_are_read_by_operators_who_name_no_tenant_alone(
    application: Application, clients: Clients
) -> None:
    work = await clients.service.reserve("r")
    call = [{"provider": "anthropic", "costUsd": "1.25"}]
    await clients.service.do("consume", idempotencyKey="c", reservationId=work["id"], usage=call)
    assert (await check_margins(application, application.clock() + timedelta(seconds=1))).progress.done == 3
    alerts = (
        "query ($kinds: [String!]) { alerts(kinds: $kinds) { edges { node { id kind scopeId threshold message } } } }"
    )
    everybodys = type(clients.operator)(clients.operator.http, clients.operator.token)
    every = (await everybodys.ask(alerts))["alerts"]["edges"]
    told = (await everybodys.ask(alerts, kinds=["negative_margin"]))["alerts"]["edges"]
    assert told == every
    about = {edge["node"]["scopeId"] for edge in told}
    assert about == {"tenant acme", "provider anthropic", "feature blog_post"}
    assert {edge["node"]["kind"] for edge in told} == {"negative_margin"}
    assert "1.00 USD came in, 1.25 USD were paid to providers" in told[0]["node"]["message"]
    for client in (clients.operator, clients.admin, clients.member, clients.service, clients.stranger):
        assert "negative_margin" not in str(await client.ask(alerts))
        asked = await client.send(alerts, {"kinds": ["negative_margin"]})
        assert asked["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert "margin" not in asked["errors"][0]["message"]
        node = "query ($id: ID!) { node(id: $id) { id } }"
        assert (await client.ask(node, id=told[0]["node"]["id"]))["node"] is None
