"""One event as JSON: what is taken, and what is said of the rest."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from domain.attribution import LONGEST_ID, NOBODY, Attribution
from domain.money import NANO
from domain.prices import Tokens
from domain.refusals import FieldProblem
from domain.usage import Usage, UsageKind
from infra.services.usage import ReportedUsage
from infra.services.usage_intake import Unreadable
from infra.usage_lines import LONGEST_LINE, MOST_PROBLEMS, read_event, read_line

SMALL: dict[str, Any] = {"source": "worker", "eventId": "e1", "kind": "LLM", "usage": {}}


def problems_of(event: object) -> list[tuple[str, str]]:
    read = read_event(event)
    assert isinstance(read, Unreadable), read
    return [(problem.path, problem.message) for problem in read.problems]


def usage_problems(**facts: Any) -> list[tuple[str, str]]:
    return problems_of(SMALL | {"usage": facts})


def test_an_event_needs_little_and_the_rest_is_as_in_graphql() -> None:
    expected = ReportedUsage(Usage(UsageKind.LLM, source="worker", event_id="e1"))
    assert read_line(orjson.dumps(SMALL)) == expected
    nothing: dict[str, Any] = {"feature": None, "reservationId": None, "attribution": None}
    assert read_event(SMALL | nothing | {"usage": {"calls": None, "success": None, "costUsd": None}}) == expected


def test_every_field_is_read() -> None:
    line = orjson.dumps(
        {
            "source": "worker",
            "eventId": "e1",
            "kind": "TOOL",
            "feature": "enrich",
            "reservationId": "rsv_x",
            "attribution": {
                "project": "p",
                "research": "r",
                "campaign": "c",
                "account": "a",
                "client": "k",
                "agentRole": "w",
                "session": "s",
                "taskRun": "t",
                "tags": [{"key": "b", "value": "2"}, {"key": "a", "value": "1"}],
            },
            "usage": {
                "source": "another",
                "eventId": "another",
                "kind": "LLM",
                "ownKey": True,
                "provider": "openai",
                "model": "gpt-4o-mini",
                "operation": "chat",
                "calls": 2,
                "inputTokens": 1,
                "outputTokens": 2,
                "cacheReadTokens": 3,
                "cacheWriteTokens": 4,
                "reasoningTokens": 5,
                "units": "1.5",
                "results": 6,
                "costUsd": "0.000000001",
                "durationMs": 7,
                "success": False,
                "promptHash": "x",
                "responseHash": "y",
                "traceId": "z",
                "occurredAt": "2026-11-21T08:15:00+05:30",
            },
        }
    )
    usage = Usage(
        UsageKind.TOOL,
        "openai",
        "gpt-4o-mini",
        "chat",
        2,
        Tokens(1, 2, 3, 4, 5),
        3 * NANO // 2,
        6,
        1,
        "worker",
        "e1",
        True,
        7,
        False,
        "x",
        "y",
        "z",
        datetime(2026, 11, 21, 2, 45, tzinfo=UTC),
    )
    tags = (("a", "1"), ("b", "2"))
    whom = Attribution("p", "r", "c", "a", "k", "w", "s", "t", tags)
    assert read_line(line) == ReportedUsage(usage, "enrich", "rsv_x", whom)
    bare = read_event(SMALL | {"attribution": {}})
    assert isinstance(bare, ReportedUsage)
    assert bare.attribution is NOBODY


def test_amounts_are_strings_and_counts_are_numbers_as_everywhere() -> None:
    assert usage_problems(costUsd=0.25, units=3) == [
        ("usage.costUsd", "an amount is a plain decimal in a string: send '0.25', not 0.25"),
        ("usage.units", "an amount is a plain decimal in a string: send '3'"),
    ]
    assert usage_problems(costUsd="1e3")[0][1].startswith("an amount is a plain decimal in a string, such as")
    whole = "must be a whole number, such as 12 (a JSON number without a fraction)"
    assert usage_problems(inputTokens="12", calls=1.0, results=True) == [
        ("usage.inputTokens", whole),
        ("usage.calls", whole),
        ("usage.results", whole),
    ]


def test_other_values_of_the_wrong_form_are_named() -> None:
    assert usage_problems(provider=1, success="yes") == [
        ("usage.provider", "must be a string"),
        ("usage.success", "must be true or false"),
    ]
    assert usage_problems(occurredAt="2026-11-21")[0][0] == "usage.occurredAt"
    assert problems_of(SMALL | {"kind": "llm"}) == [("kind", "must be one of LLM, TOOL, API, DATA_QUERY")]
    assert problems_of(SMALL | {"usage": []}) == [("usage", "must be a JSON object")]
    assert problems_of(SMALL | {"attribution": "acme"}) == [("attribution", "must be a JSON object")]
    tags: list[Any]
    for tags in ([{"key": "a"}], [{"key": "a", "value": 1}], [["a", "b"]], [{"key": "a", "value": "b", "c": ""}]):
        assert problems_of(SMALL | {"attribution": {"tags": tags}}) == [
            ("attribution.tags", 'each is {"key": "...", "value": "..."}')
        ]
    longer = "x" * (LONGEST_ID + 1)
    for tags, message in (
        ([{"key": f"{number}", "value": "b"} for number in range(11)], "at most 10 tags"),
        ([{"key": "a", "value": longer}], "must have at most 200 characters"),
        ([{"key": longer, "value": "b"}], "must have at most 200 characters"),
    ):
        assert problems_of(SMALL | {"attribution": {"tags": tags}}) == [("attribution.tags", message)]
    for name in ("source", "eventId", "feature"):
        assert problems_of(SMALL | {name: longer}) == [(name, "must have at most 200 characters")]
    assert problems_of(SMALL | {"attribution": {"tags": {}}}) == [("attribution.tags", "must be a list")]


def test_unknown_and_missing_fields_are_named_and_the_event_too() -> None:
    read = read_event(
        {"eventId": "e1", "cost": "1", "kind": None, "usage": {"tokens": 1}, "attribution": {"team": "x"}}
    )
    assert read == Unreadable(
        "e1",
        (
            FieldProblem("cost", "there is no such field"),
            FieldProblem("usage.tokens", "there is no such field"),
            FieldProblem("attribution.team", "there is no such field"),
            FieldProblem("source", "is required"),
            FieldProblem("kind", "is required"),
        ),
    )


def test_what_is_said_of_a_line_stays_short() -> None:
    read = read_event({"x" * 50_000: 1} | {f"f{number}": 1 for number in range(10_000)})
    assert isinstance(read, Unreadable)
    assert len(read.problems) == MOST_PROBLEMS
    assert read.problems[0].path == "x" * 80


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "is no valid JSON"),
        (b"{", "is no valid JSON: unexpected end of data at character 2"),
        (b'{"source": "\xff"}', "is no valid JSON"),
        (b'{"source": NaN}', "is no valid JSON"),
        (b"[" * 50_000, "is no valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"12", "must be a JSON object"),
        (b" " * LONGEST_LINE + b"{", "must have at most 100000 bytes"),
    ],
)
def test_a_line_that_is_no_object_is_explained(line: bytes, message: str) -> None:
    read = read_line(line)
    assert isinstance(read, Unreadable)
    (problem,) = read.problems
    assert (read.event_id, problem.path) == ("", "line")
    assert problem.message.startswith(message)


def test_an_event_with_every_field_at_its_longest_fits_a_line() -> None:
    longest = "\U0001f600" * 200
    tags = [{"key": longest, "value": longest}] * 10
    whom = dict.fromkeys(
        ["project", "research", "campaign", "account", "client", "agentRole", "session", "taskRun"], longest
    )
    facts = dict.fromkeys(["provider", "model", "operation", "traceId", "source", "eventId"], longest)
    event = SMALL | {"source": longest, "eventId": longest, "feature": longest, "attribution": whom | {"tags": tags}}
    escaped = orjson.dumps(event | {"usage": facts}).decode().replace("\U0001f600", "\\ud83d\\ude00").encode()
    assert len(escaped) < LONGEST_LINE
    assert isinstance(read_line(escaped), ReportedUsage)
