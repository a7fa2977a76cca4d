"""Usage: what a call cost, and what is wrong with a report."""

from datetime import timedelta

import pytest

from domain.attribution import IDENTIFIER_RULE, NOBODY, Attribution
from domain.prices import Tokens
from domain.refusals import FieldProblem
from domain.usage import EARLIEST, Priced, Usage, UsageKind, attributed, price, problems
from tests.domain.builders import CATALOG, NOW, nano

FULL = Usage(
    kind=UsageKind.API,
    provider="leadmagic",
    model="finder",
    operation="find",
    calls=3,
    tokens=Tokens(1, 2, 3, 4, 5),
    units=nano("1.5"),
    results=0,
    cost=nano("0.036"),
    source="worker",
    event_id="e-1",
    own_key=True,
    duration_ms=120,
    prompt_hash="0" * 64,
    response_hash="abcdef0123456789" * 4,
    trace_id="trace",
    occurred_at=NOW,
)


def priced(call: Usage) -> Priced:
    return price(call, CATALOG.prices, NOW, NOW)


def test_the_providers_own_figure_goes_before_the_list() -> None:
    assert priced(Usage(provider="openai", model="gpt-4o", tokens=Tokens(10**6), cost=nano("0.42"))) == Priced(
        nano("0.42")
    )
    assert priced(Usage(provider="openai", model="gpt-99", cost=0)) == Priced(0)


def test_tokens_are_priced_by_class_and_the_price_names_its_version() -> None:
    found = priced(Usage(provider="openai", model="gpt-4o", tokens=Tokens(1_000_000, 100_000, 1_000_000)))
    assert found.cost == nano("2.5") + nano("1") + nano("1.25")
    assert found.effective_from is not None
    assert found.effective_from.date().isoformat() == "2026-04-01"


def test_calls_without_tokens_are_priced_per_call() -> None:
    assert priced(Usage(UsageKind.API, "leadmagic", calls=600)).cost == nano("7.2")
    assert priced(Usage(UsageKind.API, "tavily", operation="search", calls=0)).cost == 0


def test_a_local_model_costs_nothing_and_keeps_its_tokens() -> None:
    call = Usage(provider="ollama", model="llama3.2", tokens=Tokens(5_000, 5_000))
    assert priced(call).cost == 0
    assert priced(call).effective_from is not None


@pytest.mark.parametrize("kind", [UsageKind.LLM, UsageKind.API])
def test_a_paid_call_that_the_list_does_not_know_is_unpriced_and_not_free(kind: UsageKind) -> None:
    assert priced(Usage(kind, "openai", "gpt-99", tokens=Tokens(1))) == Priced(None)
    assert priced(Usage(kind)) == Priced(None)


@pytest.mark.parametrize("kind", [UsageKind.TOOL, UsageKind.DATA_QUERY])
def test_a_tool_or_query_that_nobody_is_paid_for_costs_nothing_unless_it_used_tokens(kind: UsageKind) -> None:
    assert priced(Usage(kind, "our-own-scraper", operation="fetch")) == Priced(0)
    assert priced(Usage(kind, "our-own-scraper", tokens=Tokens(1))) == Priced(None)


def test_a_tool_that_the_list_knows_is_priced() -> None:
    assert priced(Usage(UsageKind.TOOL, "firecrawl", calls=4)).cost == nano("0.004")


def test_a_full_report_has_no_problems() -> None:
    assert problems(FULL, "usage.0", NOW) == ()
    assert problems(Usage(), "usage.0", NOW) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"calls": 0},
        {"calls": 10**9},
        {"cost": 0},
        {"cost": 10**15},
        {"units": 0},
        {"results": 10**12},
        {"duration_ms": 10**12},
        {"tokens": Tokens(10**12, 10**12, 10**12, 10**12, 10**12)},
    ],
)
def test_counts_may_reach_their_bounds(change: dict[str, object]) -> None:
    assert problems(FULL._replace(**change), "usage.0", NOW) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"provider": ""}, "provider", IDENTIFIER_RULE),
        ({"model": "x" * 201}, "model", IDENTIFIER_RULE),
        ({"operation": "a\0"}, "operation", IDENTIFIER_RULE),
        ({"source": " "}, "source", IDENTIFIER_RULE),
        ({"event_id": ""}, "eventId", IDENTIFIER_RULE),
        ({"trace_id": "\n"}, "traceId", IDENTIFIER_RULE),
        ({"tokens": Tokens(input=-1)}, "inputTokens", "must be 0 to 1000000000000"),
        ({"tokens": Tokens(output=10**12 + 1)}, "outputTokens", "must be 0 to 1000000000000"),
        ({"tokens": Tokens(cache_read=-1)}, "cacheReadTokens", "must be 0 to 1000000000000"),
        ({"tokens": Tokens(cache_write=-1)}, "cacheWriteTokens", "must be 0 to 1000000000000"),
        ({"tokens": Tokens(reasoning=-1)}, "reasoningTokens", "must be 0 to 1000000000000"),
        ({"results": -1}, "results", "must be 0 to 1000000000000"),
        ({"duration_ms": -1}, "durationMs", "must be 0 to 1000000000000"),
        ({"calls": -1}, "calls", "must be 0 to 1000000000"),
        ({"calls": 10**9 + 1}, "calls", "must be 0 to 1000000000"),
        ({"cost": -1}, "costUsd", "must be 0 to 1000000"),
        ({"cost": 10**15 + 1}, "costUsd", "must be 0 to 1000000"),
        ({"units": -1}, "units", "must not be negative"),
        ({"prompt_hash": "A" * 64}, "promptHash", "must be a SHA-256 in lower-case hexadecimal"),
        ({"response_hash": "0" * 63}, "responseHash", "must be a SHA-256 in lower-case hexadecimal"),
        ({"occurred_at": EARLIEST - timedelta(seconds=1)}, "occurredAt", "must not lie before the year 2000"),
        ({"source": None}, "eventId", "source and eventId are given together or not at all"),
        ({"event_id": None}, "eventId", "source and eventId are given together or not at all"),
    ],
)
def test_each_bad_field_is_named(change: dict[str, object], field: str, message: str) -> None:
    bad = FULL._replace(**change)  # type: ignore[arg-type]
    assert problems(bad, "usage.3", NOW) == (FieldProblem(f"usage.3.{field}", message),)


def test_a_clock_may_run_five_minutes_ahead_and_no_more() -> None:
    ahead = NOW + timedelta(minutes=5)
    assert problems(FULL._replace(occurred_at=ahead), "u", NOW) == ()
    assert problems(FULL._replace(occurred_at=ahead + timedelta(microseconds=1)), "u", NOW) == (
        FieldProblem("u.occurredAt", "must not lie in the future"),
    )
    assert problems(FULL._replace(occurred_at=EARLIEST), "u", NOW) == ()


def test_an_event_has_its_own_attribution_or_that_of_its_reservation() -> None:
    own, inherited = Attribution(campaign="own"), Attribution(campaign="inherited")
    assert attributed(own, inherited) == own
    assert attributed(NOBODY, inherited) == inherited
