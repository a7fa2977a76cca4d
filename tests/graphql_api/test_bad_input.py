"""Bad input gets a clear error that names the field, and nothing is lost or moved."""

from typing import Any

import pytest

from infra.application import Application
from tests.graphql_api.client import mutation
from tests.graphql_api.conftest import Clients
from tests.infra.builders import nothing_moves

pytestmark = pytest.mark.anyio

RESERVE: dict[str, Any] = {"idempotencyKey": "r", "feature": "blog_post"}
CONSUME: dict[str, Any] = {"idempotencyKey": "c", "reservationId": "rsv_0"}

MALFORMED: list[tuple[str, dict[str, Any], str, str]] = [
    ("reserve", RESERVE | {"quantity": "0.1234567891"}, ".quantity", "at most 9 fractional digits"),
    ("reserve", RESERVE | {"quantity": "1e5"}, ".quantity", "a plain decimal"),
    ("reserve", RESERVE | {"quantity": "NaN"}, ".quantity", "a plain decimal"),
    ("reserve", RESERVE | {"quantity": "Infinity"}, ".quantity", "a plain decimal"),
    ("reserve", RESERVE | {"quantity": "+1"}, ".quantity", "a plain decimal"),
    ("reserve", RESERVE | {"quantity": " 1"}, ".quantity", "a plain decimal"),
    ("reserve", RESERVE | {"quantity": ""}, ".quantity", "a plain decimal"),
    ("reserve", RESERVE | {"quantity": "1,5"}, ".quantity", "a plain decimal"),
    ("reserve", RESERVE | {"quantity": "٣"}, ".quantity", "a plain decimal"),
    ("reserve", RESERVE | {"quantity": 2}, ".quantity", "in a string: send '2'"),
    ("reserve", RESERVE | {"quantity": 0.5}, ".quantity", "in a string"),
    ("reserve", RESERVE | {"quantity": True}, ".quantity", "in a string"),
    ("reserve", RESERVE | {"quantity": ["1"]}, ".quantity", "in a string"),
    ("reserve", RESERVE | {"quantity": "1" + "0" * 40}, ".quantity", "a plain decimal"),
    ("reserve", RESERVE | {"quantity": "1000000001"}, ".quantity", "at most 1000000000"),
    ("reserve", RESERVE | {"estimate": {"costUsd": 0.1}}, ".estimate.costUsd", "in a string"),
    ("reserve", RESERVE | {"estimate": {"inputTokens": 2**31}}, ".estimate.inputTokens", "32-bit"),
    ("reserve", RESERVE | {"estimate": {"inputTokens": "10"}}, ".estimate.inputTokens", "non-integer"),
    ("reserve", RESERVE | {"estimate": {"inputTokens": 1.5}}, ".estimate.inputTokens", "non-integer"),
    ("reserve", RESERVE | {"ttlSeconds": 10**20}, ".ttlSeconds", "32-bit"),
    ("reserve", RESERVE | {"feature": None}, ".feature", "not to be None"),
    ("reserve", RESERVE | {"feature": 3}, ".feature", "non string"),
    ("reserve", {"idempotencyKey": "r"}, "", "'feature'"),
    ("reserve", RESERVE | {"colour": "red"}, "", "'colour'"),
    ("reserve", RESERVE | {"model": {"model": "gpt-4o"}}, ".model", "'provider'"),
    ("reserve", RESERVE | {"attribution": {"tags": [{"key": "a"}]}}, ".attribution.tags[0]", "'value'"),
    ("consume", CONSUME | {"usage": [{"costUsd": "1"}, {"costUsd": 1.5}]}, ".usage[1].costUsd", "in a string"),
    ("consume", CONSUME | {"usage": [{"kind": "MAGIC"}]}, ".usage[0].kind", "MAGIC"),
    ("consume", CONSUME | {"usage": [{"occurredAt": "yesterday"}]}, ".usage[0].occurredAt", "a moment is a string"),
    ("consume", CONSUME | {"usage": [{"occurredAt": "2026-11-21T10:00:00"}]}, ".usage[0].occurredAt", "offset"),
    ("consume", CONSUME | {"usage": [{"occurredAt": 1795226400}]}, ".usage[0].occurredAt", "a moment is a string"),
    (
        "consume",
        CONSUME | {"usage": [{"occurredAt": "2026-02-30T10:00:00Z"}]},
        ".usage[0].occurredAt",
        "no such moment",
    ),
]


async def test_malformed_variables_are_named(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        for operation, given, place, message in MALFORMED:
            error = await clients.service.refused(operation, **given)
            at = f" at {place}" if place else ""
            assert error["extensions"] == {"code": "BAD_USER_INPUT"}, given
            assert error["message"].startswith(f"Variable '$input' has invalid value{at}: "), given
            assert message in error["message"], given


INVALID: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("reserve", RESERVE | {"quantity": "-1"}, {"quantity": "must be more than 0"}),
    ("reserve", RESERVE | {"quantity": "0"}, {"quantity": "must be more than 0"}),
    ("reserve", RESERVE | {"idempotencyKey": ""}, {"idempotencyKey": "must be 1 to 200 characters"}),
    ("reserve", RESERVE | {"idempotencyKey": "x" * 201}, {"idempotencyKey": "must be 1 to 200 characters"}),
    ("reserve", RESERVE | {"taskKey": ""}, {"taskKey": "must be 1 to 200 characters"}),
    ("reserve", RESERVE | {"ttlSeconds": 0}, {"ttlSeconds": "must be 1 to"}),
    ("reserve", RESERVE | {"ttlSeconds": -5}, {"ttlSeconds": "must be 1 to"}),
    ("reserve", RESERVE | {"estimate": {"costUsd": "-1"}}, {"estimate.costUsd": "must be 0 to"}),
    (
        "reserve",
        RESERVE | {"model": {"provider": "openai", "model": "gpt-4o"}, "estimate": {"inputTokens": -1}},
        {"estimate.inputTokens": "must be 0 to"},
    ),
    ("reserve", RESERVE | {"estimate": {"inputTokens": 5}}, {"model": "tokens are priced by their model"}),
    (
        "reserve",
        RESERVE | {"attribution": {"campaign": " spring", "agentRole": "a\nb"}},
        {"attribution.campaign": "must be 1 to", "attribution.agentRole": "must be 1 to"},
    ),
    (
        "reserve",
        RESERVE | {"attribution": {"tags": [{"key": "a=b", "value": "c"}]}},
        {"attribution.tags": "without '='"},
    ),
    ("reserve", RESERVE | {"feature": "store_lead", "quantity": "0.5"}, {"quantity": "must be a whole number"}),
    ("consume", CONSUME | {"quantity": "-1"}, {"quantity": "must not be negative"}),
    (
        "consume",
        CONSUME | {"usage": [{"costUsd": "-1"}, {"calls": -1, "promptHash": "abc"}]},
        {"usage.0.costUsd": "must be 0 to", "usage.1.calls": "must be 0 to", "usage.1.promptHash": "SHA-256"},
    ),
    ("consume", CONSUME | {"usage": [{"occurredAt": "2099-01-01T00:00:00Z"}]}, {"usage.0.occurredAt": "in the future"}),
    ("consume", CONSUME | {"usage": [{"source": "w"}]}, {"usage.0.eventId": "given together"}),
    ("release", CONSUME | {"idempotencyKey": ""}, {"idempotencyKey": "must be 1 to 200 characters"}),
    ("release", CONSUME | {"reason": "x" * 1001}, {"reason": "at most 1000 characters"}),
    ("extend", CONSUME | {"ttlSeconds": -1}, {"ttlSeconds": "must be 1 to"}),
    (
        "setBudget",
        {"idempotencyKey": "b", "scope": "TENANT", "scopeId": "x", "period": "TOTAL", "cap": "-1", "thresholds": []},
        {
            "period": "has the period MONTH",
            "scopeId": "leave it out",
            "cap": "must not be negative",
            "thresholds": "1 to 10 percents",
        },
    ),
    ("setBudget", {"idempotencyKey": "b", "scope": "TASK", "period": "TASK", "cap": "1"}, {"scope": "AGENT"}),
    (
        "removeBudget",
        {"idempotencyKey": "b", "scope": "TENANT", "scopeId": "x", "period": "MONTH"},
        {"scopeId": "leave"},
    ),
    ("pauseScope", {"idempotencyKey": "p", "scope": "TAG", "scopeId": "a=b"}, {"scope": "TENANT, AGENT or CAMPAIGN"}),
    ("pauseScope", {"idempotencyKey": "p", "scope": "AGENT"}, {"scopeId": "must be 1 to 200 characters"}),
    ("resumeScope", {"idempotencyKey": "p", "scope": "TENANT", "scopeId": "x"}, {"scopeId": "leave it out"}),
    (
        "adjustWallet",
        {"idempotencyKey": "a", "walletKey": "credits", "amount": "0", "note": " "},
        {"amount": "must not be 0", "note": "say why"},
    ),
    ("setDefaultBudget", {"agentRole": "a", "period": "TOTAL", "cap": "1"}, {"period": "MONTH or TASK"}),
    ("setDefaultBudget", {"period": "MONTH", "cap": "1"}, {"agentRole": "name the agent"}),
    ("setDefaultBudget", {"agentRole": "", "period": "TASK", "cap": "1"}, {"agentRole": "must be 1 to 200"}),
    ("setDefaultBudget", {"agentRole": "", "period": "TASK", "cap": None}, {"agentRole": "must be 1 to 200"}),
    *(
        (operation, {"idempotencyKey": "b", "scope": scope, "scopeId": "", "period": period, **cap}, {"scopeId": words})
        for operation, cap in (("setBudget", {"cap": "1"}), ("removeBudget", {}))
        for scope, period, words in (
            ("AGENT", "TASK", "must be 1 to 200 characters"),
            ("AGENT", "MONTH", "must be 1 to 200 characters"),
            ("CAMPAIGN", "TOTAL", "must be 1 to 200 characters"),
            ("TAG", "MONTH", "key=value"),
            ("TENANT", "MONTH", "leave it out"),
        )
    ),
    *(
        (operation, {"idempotencyKey": "p", "scope": scope, "scopeId": ""}, {"scopeId": words})
        for operation in ("pauseScope", "resumeScope")
        for scope, words in (("TENANT", "leave it out"), ("AGENT", "must be 1 to 200"), ("CAMPAIGN", "must be 1 to"))
    ),
    *(
        (
            "setBudget",
            {"idempotencyKey": "b", "scope": "TENANT", "period": "MONTH", "cap": "1", "thresholds": thresholds},
            {"thresholds": "1 to 10 percents above 0 and up to 1000"},
        )
        for thresholds in ([-1], [80, -0.5], [0], [1000.01], [1e307], [-1e308], [1e300], [50] * 11)
    ),
]


async def test_invalid_fields_are_all_named(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        for operation, given, problems in INVALID:
            answer = await clients.operator.do(operation, **given)
            assert answer["__typename"] == "InvalidInput", (given, answer)
            found = {field["path"]: field["message"] for field in answer["fields"]}
            assert found.keys() == problems.keys(), given
            for path, words in problems.items():
                assert words in found[path], given


LITERALS = [
    (
        'mutation { reserve(input: {idempotencyKey: "r", feature: "blog_post", quantity: 1.5}) { __typename } }',
        "quantity",
    ),
    (
        'mutation { reserve(input: {idempotencyKey: "r", feature: "x", estimate: {costUsd: "1e5"}}) { __typename } }',
        "estimate.costUsd",
    ),
    (
        'mutation { reserve(input: {idempotencyKey: "r", feature: "blog_post", ttlSeconds: 3000000000}) { __typename } }',
        "ttlSeconds",
    ),
]


async def test_null_is_none_where_an_empty_string_is_not(clients: Clients) -> None:
    every_role = {"agentRole": None, "period": "TASK", "cap": "1"}
    assert (await clients.operator.do("setDefaultBudget", **every_role))["__typename"] == "DefaultBudget"
    tenant = {"scope": "TENANT", "scopeId": None}
    assert (await clients.admin.do("pauseScope", idempotencyKey="p", **tenant))["status"] == "PAUSED"
    assert (await clients.admin.do("resumeScope", idempotencyKey="r", **tenant))["status"] == "ACTIVE"
    highest = {"period": "MONTH", "cap": "1", "thresholds": [0.01, 1000]}
    assert (await clients.admin.do("setBudget", idempotencyKey="b", **tenant, **highest))["thresholds"] == [0.01, 1000]


async def test_malformed_literals_are_named_too(clients: Clients) -> None:
    for query, path in LITERALS:
        (error,) = (await clients.service.send(query))["errors"]
        assert error["message"].startswith(f"input.{path}: "), query
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}, query
        assert error["locations"], query


ARGUMENTS = [
    ('{ wallet(key: "credits") { entries(first: 0) { pageInfo { hasNextPage } } } }', "first must be 1 to 100"),
    ('{ wallet(key: "credits") { entries(first: 101) { pageInfo { hasNextPage } } } }', "first must be 1 to 100"),
    ('{ wallet(key: "credits") { entries(first: -1) { pageInfo { hasNextPage } } } }', "first must be 1 to 100"),
    ('{ wallet(key: "credits") { entries(after: "x") { pageInfo { hasNextPage } } } }', "after must be a cursor"),
    ("{ budgets(first: 1000) { id } }", "first must be 1 to 100"),
    ("{ budgets(atOrAbovePercent: -1) { id } }", "atOrAbovePercent: a percent is"),
    ('{ rateCard(at: "1999-01-01T00:00:00Z") { id } }', "no rate card was in force"),
    ('{ checkTask(reservationId: "rsv_0", inputTokens: -1) }', "inputTokens: must be 0 to"),
    ('{ checkTask(reservationId: "rsv_0", runningCostUsd: "-1") }', "runningCostUsd: must be 0 to"),
]


async def test_arguments_out_of_range_are_named(clients: Clients) -> None:
    for query, message in ARGUMENTS:
        (error,) = (await clients.member.send(query))["errors"]
        assert message in error["message"], query
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}, query


async def test_a_batch_has_its_limit(clients: Clients, application: Application) -> None:
    reserves = [{"idempotencyKey": str(number), "feature": "blog_post"} for number in range(501)]
    releases = [{"idempotencyKey": str(number), "reservationId": "rsv_0"} for number in range(501)]
    events = [
        {"source": "w", "eventId": str(number), "kind": "TOOL", "usage": {"provider": "x"}} for number in range(1001)
    ]
    async with nothing_moves(application):
        for query, variables, message in (
            (mutation("reserveMany"), {"inputs": reserves}, "inputs: at most 500 at once, these are 501"),
            (mutation("releaseMany"), {"inputs": releases}, "inputs: at most 500 at once, these are 501"),
            (mutation("recordUsage"), {"input": {"events": events}}, "events: at most 1000 at once, these are 1001"),
        ):
            (error,) = (await clients.service.send(query, variables))["errors"]
            assert error["message"] == message
            assert error["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_strings_that_cannot_be_stored_are_refused(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        for given in (
            RESERVE | {"idempotencyKey": "a\0b"},
            RESERVE | {"feature": "a\0b"},
            RESERVE | {"taskKey": "a\0b"},
            RESERVE | {"attribution": {"tags": [{"key": "a", "value": "\0"}]}},
        ):
            error = await clients.service.refused("reserve", **given)
            assert "holds the character NUL" in error["message"]
            assert error["message"].startswith("variables.input.")
        for query in (
            '{ wallet(key: "a\\u0000") { id } }',
            '{ wallet(key: "a\\u{0}") { id } }',
            '{ wallet(key: "a\0") { id } }',
        ):
            (error,) = (await clients.service.send(query))["errors"]
            assert "holds the character NUL" in error["message"]
        (error,) = (await clients.service.send('{ wallet(key: "a\\ud800") { id } }'))["errors"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert (await clients.service.reserve("\\u0000"))["__typename"] == "Reservation"


async def test_nul_is_found_in_names_and_however_deep_it_lies(clients: Clients) -> None:
    for variables, message in (
        ({"k": {"l": [{"m": ["\0"]}]}}, "variables.k.l.0.m.0 holds the character NUL"),
        ({"k": {"a\0b": 1}}, "a name in variables.k holds the character NUL"),
        ({"\0": 1}, "a name in variables holds the character NUL"),
    ):
        (error,) = (await clients.service.send("{ __typename }", variables))["errors"]
        assert message in error["message"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    headers = {"Authorization": f"Bearer {clients.service.token}", "Content-Type": "application/json"}
    for innermost, status in (("\\u0000", 400), ("\\\\u0000", 200)):
        body = '{"query": "{ __typename }", "variables": {"k": ' + "[" * 1000 + f'"{innermost}"' + "]" * 1000 + "}}"
        response = await clients.service.http.post("/graphql", content=body, headers=headers)
        assert response.status_code == status
        assert ("holds the character NUL" in response.text) == (status == 400)


UNUSUAL = ["\u202e", "🧾" * 200, "ﬁ", "'; DROP TABLE wallet; --", "{}", "null", "%s", "\\", "\ud7ff"]


async def test_unusual_strings_are_only_strings(clients: Clients) -> None:
    for text in UNUSUAL:
        answer = await clients.service.reserve(text, "in_editor_action", attribution={"campaign": text})
        assert answer["__typename"] == ("Reservation" if text.isprintable() else "InvalidInput"), text
        found = await clients.member.ask("query ($key: String!) { wallet(key: $key) { id } }", key=text)
        assert found == {"wallet": None}, text
