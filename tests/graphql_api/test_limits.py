"""What one request may ask for, and that finding out costs little."""

from time import process_time
from typing import Any

import pytest
from graphql import GraphQLError, get_introspection_query

from graphql_api import limits
from graphql_api.documents import LONGEST_KEPT, MOST_KEPT, Documents, InvalidDocumentError, Prepared
from graphql_api.schema import create_schema

SCHEMA = create_schema()
ENTRIES = "edges { node { id lots { lot { id } } } }"


def prepared(query: str) -> Prepared:
    return Documents(SCHEMA).prepared(query)


def test_usual_requests_are_within_every_limit() -> None:
    prepared(get_introspection_query())
    prepared(f"{{ wallets {{ lots {{ id }} entries(first: 100) {{ {ENTRIES} }} }} }}")
    prepared(
        "mutation ($i: [ReserveInput!]!) { reserveMany(inputs: $i) { __typename ... on Refusal { code message }"
        " ... on Reservation { id state holds { amount wallet { key available } } warnings { scope usedPercent } } } }"
    )[None].cost.check({"i": [{}] * 500})


def test_a_breakdown_costs_by_its_groups() -> None:
    totals = "costUsd calls events"
    query = (
        'query ($top: Int) { usageBreakdown(filter: {from: "2026-11-01T00:00:00Z", to: "2026-12-01T00:00:00Z"},'
        f" groupBy: [MODEL], top: $top) {{ rows {{ keys {{ value name }} totals {{ {totals} }} previous {{ {totals} }} }}"
        f" total {{ {totals} }} previous {{ {totals} }} }} }}"
    )
    prepared(query)[None].cost.check({"top": 1_000})
    with pytest.raises(GraphQLError, match="would read up to"):
        prepared(query)[None].cost.check({"top": 5_000})


TOO_COMPLEX = {
    "tokens": '{ wallet(key: "' + '") { id } wallet(key: "'.join("x" * 1000) + '") { id } }',
    "selections": "{ wallets { " + "id " * 600 + "} }",
    "aliases": "{ " + " ".join(f"a{number}: wallets {{ id }}" for number in range(31)) + " }",
    "aliases in fragments": "{ wallets { ...f } } fragment f on Wallet { "
    + " ".join(f"a{number}: id" for number in range(31))
    + " }",
    "depth": "{ wallets { entries { edges { node { reservation { holds { wallet { entries { edges { node {"
    " reservation { holds { wallet { id } } } } } } } } } } } } } }",
    "nesting": "{ a" * 3000 + " }" * 3000,
    "nested values": "{ wallet(key: " + "[" * 3000 + "]" * 3000 + ") { id } }",
    "cost": "{ wallets { entries(first: 100) { edges { node { reservation { holds { wallet { lots { id } entries(first:"
    " 100) { pageInfo { endCursor } } } } } } } } } }".replace(
        "endCursor", "endCursor startCursor hasNextPage hasPreviousPage"
    ),
    "fragments in fragments": "{ wallets { ...f0 } } "
    + " ".join(f"fragment f{n} on Wallet {{ id ...f{n + 1} lots {{ id }} ...f{n + 1} }}" for n in range(60))
    + " fragment f60 on Wallet { id }",
}


@pytest.mark.parametrize("query", TOO_COMPLEX.values(), ids=TOO_COMPLEX.keys())
def test_too_much_is_refused_quickly(query: str) -> None:
    begun = process_time()
    with pytest.raises(GraphQLError) as raised:
        prepared(query)
    assert process_time() - begun < 0.5
    nested_too_deeply_to_be_parsed = "nested too deeply" in raised.value.message
    assert nested_too_deeply_to_be_parsed or raised.value.extensions == {"code": "TOO_COMPLEX"}


def test_the_cost_counts_pages_by_their_length_wherever_it_is_said() -> None:
    query = "query ($n: Int) { wallets { entries(first: $n) { edges { node { id hash } } } } }"
    cost = prepared(query)[None].cost
    assert cost.depends_on_variables
    cost.check({"n": 100})
    with pytest.raises(GraphQLError, match="would read up to 20000006 fields, 100000 are allowed"):
        cost.check({"n": 1_000_000})
    with pytest.raises(GraphQLError, match="allowed"):
        prepared(query.replace("$n)", "1000000)").replace("($n: Int)", ""))
    cost.check({"n": None})
    cost.check({"n": "nonsense"})


def test_validation_of_many_errors_ends() -> None:
    begun = process_time()
    with pytest.raises(InvalidDocumentError):
        prepared("{ " + " ".join(f"nonsense{number}" for number in range(490)) + " }")
    assert process_time() - begun < 1


def test_a_fragment_that_spreads_itself_is_invalid() -> None:
    with pytest.raises(InvalidDocumentError) as raised:
        prepared("{ wallets { ...a } } fragment a on Wallet { id ...b } fragment b on Wallet { ...a }")
    assert "within itself" in raised.value.found[0].message


def test_documents_are_kept_but_not_for_ever() -> None:
    documents = Documents(SCHEMA)
    first = documents.prepared("{ wallets { id } }")
    assert documents.prepared("{ wallets { id } }") is first
    for number in range(MOST_KEPT):
        documents.prepared(f"query q{number} {{ wallets {{ id }} }}")
        assert documents.prepared("{ wallets { id } }") is first, "what is used stays"
    long = "{ wallets { id } }" + " " * LONGEST_KEPT
    assert documents.prepared(long) is not documents.prepared(long)
    kept: dict[str, Any] = documents._kept
    assert len(kept) == MOST_KEPT


def test_a_document_with_two_operations_needs_a_name() -> None:
    operations = prepared("query a { wallets { id } } query b { providers { id } }")
    assert set(operations) == {"a", "b"}
    assert limits.GREATEST_DEPTH == 12
