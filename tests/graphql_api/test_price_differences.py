"""`priceDifferences`: operators see where our prices and the package's differ, and publish from what they see."""

from typing import Any, Final

import pytest

from infra.application import Application
from infra.services.catalog import publish_prices
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.test_prices_report import OPERATOR, OUTDATED

pytestmark = pytest.mark.anyio

FIGURES: Final = (
    "inputPer1M outputPer1M cacheReadPer1M cacheWritePer1M reasoningPer1M contextAbove effectiveFrom effectiveTo"
)
DIFFERENCES: Final = f"""
query ($provider: String, $unlisted: Boolean, $first: Int, $after: String) {{
  priceDifferences(provider: $provider, unlisted: $unlisted, first: $first, after: $after) {{
    release
    edges {{ cursor node {{ kind provider model effectiveFrom kept ours {{ {FIGURES} }} theirs {{ {FIGURES} }} }} }}
    pageInfo {{ hasNextPage hasPreviousPage endCursor }}
  }}
}}"""
PUBLISH: Final = """mutation ($input: PublishPriceInput!) { publishPrice(input: $input) {
    __typename ... on Refusal { message } } }"""


async def differences(asker: Client, **asked: Any) -> list[dict[str, Any]]:
    """The first page."""
    found = (await asker.ask(DIFFERENCES, **asked))["priceDifferences"]
    return [edge["node"] for edge in found["edges"]]


async def test_an_operator_sees_what_changed_and_publishes_it(application: Application, clients: Clients) -> None:
    await publish_prices(application, OPERATOR, [OUTDATED])
    (found,) = await differences(clients.operator, provider="openai")
    assert (found["kind"], found["model"], found["kept"]) == ("CHANGED", "gpt-5-nano", False)
    assert [(tier["inputPer1M"], tier["outputPer1M"]) for tier in found["ours"]] == [("9", "10")]
    (row,) = found["theirs"]
    assert (row["inputPer1M"], row["effectiveFrom"]) == ("0.05", found["effectiveFrom"])
    given = {"idempotencyKey": "p", "provider": "openai", "model": "gpt-5-nano", **row}
    assert (await clients.operator.ask(PUBLISH, input=given))["publishPrice"]["__typename"] == "PublishedPrice"
    assert await differences(clients.operator, provider="openai") == []


async def test_figures_of_our_own_are_marked(clients: Clients) -> None:
    found = await differences(clients.operator)
    assert {(each["kind"], each["kept"]) for each in found} == {("CHANGED", True)}
    assert "claude-opus-4-6" in {each["model"] for each in found}


async def test_models_that_our_list_does_not_have_come_last_page_by_page(clients: Clients) -> None:
    listed = await differences(clients.operator, provider="anthropic", unlisted=False)
    whole = await differences(clients.operator, provider="anthropic", unlisted=True, first=100)
    kinds = [each["kind"] for each in whole]
    assert kinds == ["CHANGED"] * len(listed) + ["NEW"] * (len(whole) - len(listed))
    assert whole[-1]["ours"] == []
    turned: list[str] = []
    after = None
    while True:
        page = (await clients.operator.ask(DIFFERENCES, provider="anthropic", unlisted=True, first=3, after=after))[
            "priceDifferences"
        ]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        turned.extend(edge["node"]["model"] for edge in page["edges"])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert turned == [each["model"] for each in whole]


async def test_what_is_no_cursor_is_refused(clients: Clients) -> None:
    for after in ("", "x", "NEW/openai/gpt", "OLD/openai/0/gpt", "NEW/openai/0/"):
        (error,) = (await clients.operator.send(DIFFERENCES, {"after": after}))["errors"]
        assert error["message"] == "after must be a cursor of this list", after
