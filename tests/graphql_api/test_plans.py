"""Plans over GraphQL: what is sold, and which plan holds what a tenant wants to make."""

from typing import Any

import pytest

from infra.application import Application
from tests.graphql_api.client import MONEY, PLAN, WALLET_AMOUNT, Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import nothing_moves

pytestmark = pytest.mark.anyio

PLANS = f"query ($region: String) {{ plans(region: $region) {{ {PLAN} }} }}"
PLAN_FIT = f"""query ($deliverables: [DeliverableInput!]!) {{ planFit(deliverables: $deliverables) {{ __typename
    ... on PlanFit {{ lines {{ feature name chargeType walletKey unit quantity amount estimated }}
        totals {WALLET_AMOUNT} credits
        plans {{ plan {{ key price {MONEY} }} fits shortBy {WALLET_AMOUNT} leftOver {WALLET_AMOUNT} }} }}
    ... on UnknownFeature {{ feature }} ... on InvalidInput {{ fields {{ path message }} }}
    ... on Refusal {{ code message refusalId }} }} }}"""


async def plan_fit(client: Client, *deliverables: dict[str, str]) -> Any:
    return (await client.ask(PLAN_FIT, deliverables=list(deliverables)))["planFit"]


async def test_shows_the_plans_of_the_tenants_region_unless_another_is_named(clients: Clients) -> None:
    own = (await clients.member.ask(PLANS))["plans"]
    assert own == (await clients.member.ask(PLANS, region="india"))["plans"]
    starter = next(plan for plan in own if plan["key"] == "starter")
    assert starter["allocations"][0] == {"walletKey": "credits", "unit": "CREDIT", "amount": "100"}
    del starter["allocations"]
    assert starter == {
        "key": "starter",
        "name": "Starter",
        "region": "india",
        "price": {"amount": "34999", "currency": "INR"},
        "seats": 5,
        "agents": 10,
        "unlimited": False,
    }
    there = (await clients.member.ask(PLANS, region="middle_east"))["plans"]
    assert [(plan["key"], plan["price"]) for plan in there] == [
        ("growth", {"amount": "2800", "currency": "AED"}),
        ("professional", {"amount": "3500", "currency": "AED"}),
    ]
    assert (await clients.member.ask(PLANS, region="atlantis"))["plans"] == []


async def test_an_operator_without_a_tenant_sees_the_plans_of_a_region_or_of_all(clients: Clients) -> None:
    operator = Client(clients.operator.http, clients.operator.token)
    assert [plan["key"] for plan in (await operator.ask(PLANS, region="india"))["plans"]] == ["starter", "professional"]
    assert [(plan["region"], plan["key"]) for plan in (await operator.ask(PLANS))["plans"]] == [
        ("india", "starter"),
        ("india", "professional"),
        ("middle_east", "growth"),
        ("middle_east", "professional"),
        ("global", "unlimited"),
    ]


async def test_the_plan_of_document_004_fits_starter_with_60_left(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        found = await plan_fit(
            clients.member,
            {"feature": "blog_post", "quantity": "4"},
            {"feature": "gbp_post", "quantity": "8"},
            {"feature": "social_post", "quantity": "12"},
            {"feature": "email_newsletter", "quantity": "4"},
            {"feature": "google_ads_rsa"},
            {"feature": "report"},
        )
    assert found["credits"] == "40"
    assert found["totals"] == [{"walletKey": "credits", "unit": "CREDIT", "amount": "40"}]
    assert found["lines"][0] == {
        "feature": "blog_post",
        "name": "SEO Blog Post",
        "chargeType": "FIXED",
        "walletKey": "credits",
        "unit": "CREDIT",
        "quantity": "4",
        "amount": "8",
        "estimated": False,
    }
    assert found["plans"][0] == {
        "plan": {"key": "starter", "price": {"amount": "34999", "currency": "INR"}},
        "fits": True,
        "shortBy": [],
        "leftOver": [{"walletKey": "credits", "unit": "CREDIT", "amount": "60"}],
    }


async def test_says_what_a_plan_is_short_of_and_what_is_prepaid(clients: Clients) -> None:
    found = await plan_fit(
        clients.member, {"feature": "blog_post", "quantity": "60"}, {"feature": "email_find", "quantity": "1000"}
    )
    assert found["credits"] == "120"
    assert found["totals"][1] == {"walletKey": "metered", "unit": "USD", "amount": "20"}
    assert found["plans"][0]["shortBy"] == [{"walletKey": "credits", "unit": "CREDIT", "amount": "20"}]


async def test_refuses_with_the_name_or_the_place(clients: Clients) -> None:
    unknown = await plan_fit(clients.member, {"feature": "statue"})
    assert (unknown["code"], unknown["feature"], unknown["refusalId"]) == ("UNKNOWN_FEATURE", "statue", None)
    invalid = await plan_fit(clients.member, {"feature": "blog_post", "quantity": "-1"}, {"feature": ""})
    assert [field["path"] for field in invalid["fields"]] == ["deliverables.0.quantity", "deliverables.1.feature"]
    assert (await plan_fit(clients.member))["fields"] == [{"path": "deliverables", "message": "must be 1 to 100"}]
