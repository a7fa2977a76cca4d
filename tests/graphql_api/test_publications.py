"""What operators publish over GraphQL, and what tenants see of it."""

from dataclasses import replace
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type

from graphql_api.schema import create_schema
from infra.application import Application
from infra.services.callers import Role
from tests.graphql_api.client import SCHEMA
from tests.graphql_api.conftest import Clients

pytestmark = pytest.mark.anyio

REFUSALS = "__typename ... on Refusal { code message } ... on InvalidInput { fields { path message } }"
SELECTED = {
    "publishRateCard": "... on PublishedRateCard { creditValue markup forTenant publishedAt rateCard { id version } }",
    "publishPrice": "... on PublishedPrice { forTenant publishedAt price { model inputPer1M contextAbove effectiveFrom } }",
    "publishProvider": "... on PublishedProvider { effectiveFrom provider { id slug products { name model } } }",
    "publishPlan": """... on PublishedPlan {
        withdrawn effectiveFrom plan { key price { amount currency } allocations { walletKey amount } seats agents }
    }""",
    "publishBundle": "... on PublishedBundle { withdrawn bundle { key walletKey amount price { amount currency } } }",
}
PRICES = '{ prices(provider: "openai") { model inputPer1M contextAbove } }'
RATES = "{ rateCard { id version rates { feature walletKey credits } } }"
RATE = {"feature": "blog_post", "name": "SEO Blog Post", "chargeType": "FIXED", "walletKey": "credits", "credits": "3"}
PLAN: dict[str, Any] = {
    "region": "india",
    "key": "team",
    "name": "Team",
    "price": "39999",
    "currency": "INR",
    "allocations": [{"walletKey": "credits", "amount": "200"}, {"walletKey": "email_sends", "amount": "5"}],
    "seats": 7,
    "agents": 12,
}
BUNDLE = {
    "region": "india",
    "key": "credits_500",
    "walletKey": "credits",
    "amount": "500",
    "price": "20000",
    "currency": "INR",
}
PROVIDER: dict[str, Any] = {"slug": "mistral", "name": "Mistral", "category": "LLM", "purpose": "Generation"}
PRICE = {"provider": "openai", "model": "gpt-4o", "inputPer1M": "5", "outputPer1M": "10"}


async def publish(clients: Clients, operation: str, request: str = "k", /, **given: Any) -> Any:
    """The answer of one of the operator's mutations."""
    kind = operation[0].upper() + operation[1:] + "Input"
    text = f"mutation ($input: {kind}!) {{ {operation}(input: $input) {{ {REFUSALS} {SELECTED[operation]} }} }}"
    return (await clients.operator.ask(text, input={"idempotencyKey": request, **given}))[operation]


async def wrong(clients: Clients, operation: str, /, **given: Any) -> tuple[str, str]:
    """The one field that is refused, and why."""
    answer = await publish(clients, operation, **given)
    assert answer["__typename"] == "InvalidInput", answer
    ((path, message),) = [(field["path"], field["message"]) for field in answer["fields"]]
    return path, message


async def test_a_price_is_published_with_its_tiers_and_seen_at_once(clients: Clients) -> None:
    answer = await publish(clients, "publishPrice", **PRICE, effectiveFrom="2026-06-01T00:00:00Z", note="contract")
    assert answer["price"]["effectiveFrom"] == "2026-06-01T00:00:00.000000Z"
    assert (answer["forTenant"], answer["price"]["inputPer1M"]) == (False, "5")
    tier = await publish(clients, "publishPrice", "tier", **{**PRICE, "inputPer1M": "8"}, contextAbove="100000")
    assert tier["price"]["contextAbove"] == "100000"
    for client in (clients.member, clients.stranger):
        found = [row for row in (await client.ask(PRICES))["prices"] if row["model"] == "gpt-4o"]
        assert found == [
            {"model": "gpt-4o", "inputPer1M": "8", "contextAbove": "100000"},
            {"model": "gpt-4o", "inputPer1M": "5", "contextAbove": None},
        ]


async def test_overrides_are_seen_by_their_tenant_and_by_no_other(clients: Clients) -> None:
    card = await publish(clients, "publishRateCard", basedOn=1, rates=[RATE], tenant="globex")
    await publish(clients, "publishPrice", **{**PRICE, "inputPer1M": "7"}, tenant="globex")
    assert (card["forTenant"], card["rateCard"]["version"]) == (True, 2)
    own, theirs = clients.stranger, clients.admin
    figures = []
    for client in (own, theirs):
        prices = {row["model"]: row["inputPer1M"] for row in (await client.ask(PRICES))["prices"]}
        rates = (await client.ask(RATES))["rateCard"]
        blog_post = next(rate["credits"] for rate in rates["rates"] if rate["feature"] == "blog_post")
        node = (await client.ask('{ node(id: "rcd_2") { id } }'))["node"]
        figures.append((prices["gpt-4o"], rates["version"], blog_post, node and node["id"]))
    assert figures == [("7", 2, "3", "rcd_2"), ("2.5", 1, "2", None)]


async def test_a_rate_card_is_based_on_another_or_states_all(clients: Clients) -> None:
    based = await publish(clients, "publishRateCard", basedOn=1, rates=[RATE], without=["llm_call"], markup="1.5")
    assert (based["creditValue"], based["markup"], based["rateCard"]) == ("0.5", "1.5", {"id": "rcd_2", "version": 2})
    whole = await publish(clients, "publishRateCard", "whole", rates=[RATE], creditValue="0.4", markup="1.2")
    assert (whole["creditValue"], whole["markup"], whole["rateCard"]["version"]) == ("0.4", "1.2", 3)
    card = (await clients.member.ask(RATES))["rateCard"]
    assert card["rates"] == [{"feature": "blog_post", "walletKey": "credits", "credits": "3"}]
    listed = (await clients.operator.ask("{ rateCards { creditValue rateCard { version } } }"))["rateCards"]
    assert [(row["rateCard"]["version"], row["creditValue"]) for row in listed] == [(3, "0.4"), (2, "0.5"), (1, "0.5")]


async def test_operators_see_the_floor_and_the_estimate_of_every_rate(clients: Clients) -> None:
    cost_plus = {"feature": "draft", "name": "Draft", "chargeType": "COST_PLUS", "walletKey": "credits"}
    rates = [RATE, {**cost_plus, "floor": "0.02", "defaultEstimateUsd": "0.07"}]
    await publish(clients, "publishRateCard", rates=rates, creditValue="0.4", markup="1.2")
    query = "{ rateCards { terms { floorUsd defaultEstimateUsd rate { feature } } } }"
    terms = (await clients.operator.ask(query))["rateCards"][0]["terms"]
    assert [(each["rate"]["feature"], each["floorUsd"], each["defaultEstimateUsd"]) for each in terms] == [
        ("blog_post", None, "0.9"),
        ("draft", "0.02", "0.07"),
    ]


async def test_plans_bundles_and_providers_are_published(clients: Clients) -> None:
    plan = await publish(clients, "publishPlan", **PLAN)
    assert plan["plan"]["price"] == {"amount": "39999", "currency": "INR"}
    assert plan["plan"]["allocations"] == PLAN["allocations"]
    assert (plan["plan"]["seats"], plan["plan"]["agents"], plan["withdrawn"]) == (7, 12, False)
    bundle = await publish(clients, "publishBundle", **BUNDLE)
    assert (bundle["bundle"]["amount"], bundle["bundle"]["price"]["amount"]) == ("500", "20000")
    products = [{"name": "Mistral Large", "model": "mistral-large", "category": "LLM", "purpose": "Generation"}]
    provider = await publish(clients, "publishProvider", **PROVIDER, products=products)
    assert provider["provider"] == {
        "id": "prv_mistral",
        "slug": "mistral",
        "products": [{"name": "Mistral Large", "model": "mistral-large"}],
    }
    assert "mistral" in {each["slug"] for each in (await clients.member.ask("{ providers { slug } }"))["providers"]}
    node = await clients.member.ask('{ node(id: "prv_mistral") { id } }')
    assert node == {"node": {"id": "prv_mistral"}}
    assert "team" in {each["key"] for each in (await clients.member.ask("{ plans { key } }"))["plans"]}
    assert "credits_500" in {each["key"] for each in (await clients.member.ask("{ bundles { key } }"))["bundles"]}
    await publish(clients, "publishPlan", "end", **PLAN, withdrawn=True)
    assert "team" not in {each["key"] for each in (await clients.member.ask("{ plans { key } }"))["plans"]}


async def test_what_is_wrong_is_said_by_the_fields_that_the_client_sent(clients: Clients) -> None:
    async def of_price(**changed: Any) -> str:
        return (await wrong(clients, "publishPrice", **{**PRICE, **changed}))[0]

    async def of_rate(**changed: Any) -> str:
        rates = [RATE, {**RATE, "feature": "other", **changed}]
        return (await wrong(clients, "publishRateCard", basedOn=1, rates=rates))[0]

    figures = ("inputPer1M", "outputPer1M", "cacheReadPer1M", "cacheWritePer1M", "reasoningPer1M", "perCall")
    for figure in figures:
        assert await of_price(**{figure: "-1"}) == figure
    assert await of_price(provider="nobody") == "provider"
    assert await of_price(contextAbove="99999999999") == "contextAbove"
    dates = {"effectiveFrom": "2026-06-01T00:00:00Z", "effectiveTo": "2026-05-01T00:00:00Z"}
    assert await of_price(**dates) == "effectiveTo"
    assert await of_rate(credits="-1") == "rates.1.credits"
    assert await of_rate(feature="") == "rates.1.feature"
    assert await of_rate(walletKey="") == "rates.1.walletKey"
    assert await of_rate(floor="1") == "rates.1.floor"
    assert await of_rate(defaultEstimateUsd="-1") == "rates.1.defaultEstimateUsd"
    assert await of_rate(chargeType="PER_UNIT") == "rates.1.defaultEstimateUsd", (
        "only fixed rates have one to fall back on"
    )
    assert await of_rate(agents=[""]) == "rates.1.agents"
    assert await of_rate(feature="blog_post") == "rates.1.feature"
    assert (await wrong(clients, "publishRateCard", rates=[RATE], creditValue="0.5"))[0] == "markup"
    assert (await wrong(clients, "publishRateCard", rates=[RATE], markup="1"))[0] == "creditValue"
    assert await wrong(clients, "publishRateCard", rates=[RATE]) == (
        "basedOn",
        "give basedOn, or creditValue, markup and rates",
    )
    gold = [{"walletKey": "credits", "amount": "1"}, {"walletKey": "gold_bar", "amount": "1"}]
    assert await wrong(clients, "publishPlan", **{**PLAN, "allocations": gold}) == (
        "allocations.1.walletKey",
        "no rate draws on wallet gold_bar: publish a rate card that has one first",
    )
    twice = [{"walletKey": "credits", "amount": "1"}] * 2
    assert (await wrong(clients, "publishPlan", **{**PLAN, "allocations": twice}))[0] == "allocations.1.walletKey"
    negative = [{"walletKey": "credits", "amount": "1"}, {"walletKey": "copy.leads", "amount": "-1"}]
    assert await wrong(clients, "publishPlan", **{**PLAN, "allocations": negative}) == (
        "allocations.1.amount",
        "must be 0 or more",
    )
    metered = [{"walletKey": "metered", "amount": "50"}]
    assert await wrong(clients, "publishPlan", **{**PLAN, "allocations": metered}) == (
        "allocations.0.walletKey",
        "metered is prepaid: a plan does not fill it",
    )
    assert (await wrong(clients, "publishBundle", **{**BUNDLE, "walletKey": "gold_bar"}))[0] == "walletKey"
    assert (await wrong(clients, "publishBundle", **{**BUNDLE, "amount": "0"}))[0] == "amount"
    products = [{"name": " ", "category": "LLM", "purpose": "p"}]
    assert (await wrong(clients, "publishProvider", **PROVIDER, products=products))[0] == "products.0.name"
    assert (await publish(clients, "publishProvider", "", **PROVIDER))["fields"][0]["path"] == "idempotencyKey"


async def test_an_unknown_tenant_or_version_and_a_reused_key_are_refused(clients: Clients) -> None:
    assert (await publish(clients, "publishPrice", **PRICE, tenant="no-such"))["__typename"] == "NotFound"
    assert (await publish(clients, "publishRateCard", rates=[], basedOn=7))["__typename"] == "NotFound"
    first = await publish(clients, "publishPrice", **PRICE)
    assert await publish(clients, "publishPrice", **PRICE) == first
    other = await publish(clients, "publishPrice", **{**PRICE, "inputPer1M": "6"})
    assert other["__typename"] == "IdempotencyKeyReused"


async def test_an_operator_needs_no_tenant_to_publish(clients: Clients, application: Application) -> None:
    alone = replace(clients, operator=replace(clients.operator, tenant=None))
    assert (await publish(alone, "publishPrice", **PRICE))["__typename"] == "PublishedPrice"
    assert len((await alone.operator.ask("{ rateCards { markup } }"))["rateCards"]) == 1
    now = application.clock()
    assert application.catalog.prices.find("openai", "gpt-4o", None, now, now) is not None


async def test_no_tenants_role_publishes_or_sees_what_a_credit_is_worth(clients: Clients) -> None:
    for role in (Role.ADMIN, Role.MEMBER, Role.SERVICE):
        for operation in SELECTED:
            kind = operation[0].upper() + operation[1:] + "Input"
            text = f"mutation ($input: {kind}!) {{ {operation}(input: $input) {{ __typename }} }}"
            given = {"publishPrice": PRICE, "publishProvider": PROVIDER, "publishPlan": PLAN, "publishBundle": BUNDLE}
            variables = {"input": {"idempotencyKey": "k", **given.get(operation, {})}}
            (error,) = (await clients.of(role).send(text, variables))["errors"]
            assert error["extensions"]["code"] == "FORBIDDEN"
        (error,) = (await clients.of(role).send("{ rateCards { creditValue } }"))["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"


def test_only_what_operators_are_answered_has_a_credit_value_or_a_markup() -> None:
    schema = create_schema()
    telling = {
        name
        for name, kind in schema.type_map.items()
        if isinstance(kind, GraphQLObjectType) and {"creditValue", "markup"} & kind.fields.keys()
    }
    assert telling == {"PublishedRateCard"}
    assert SCHEMA.query_type is not None
    pointing = {
        f"{kind.name}.{name}"
        for kind in schema.type_map.values()
        if isinstance(kind, GraphQLObjectType)
        for name, field in kind.fields.items()
        if get_named_type(field.type).name in {"PublishedRateCard", "PublishRateCardResult"}
    }
    assert pointing == {"Query.rateCards", "Mutation.publishRateCard"}
