"""Usage that others have kept: LiteLLM's spend log and OpenTelemetry's spans, row by row."""

import csv
import json
from datetime import UTC, datetime
from io import BytesIO, StringIO
from typing import Any

import pytest

from domain.attribution import Attribution
from domain.prices import NO_TOKENS, Tokens
from domain.refusals import FieldProblem
from domain.usage import Usage, UsageKind
from infra.file_errors import UnreadableFileError
from infra.importers import files, litellm, opentelemetry
from infra.importers.reading import Format, Read, read_events
from infra.services.usage import ReportedUsage
from infra.services.usage_intake import Unreadable

AT = datetime(2026, 11, 20, 10, 15, 0, 250_000, tzinfo=UTC)
TRACE = "5b8efff798038103d269b633813fc60c"
SPAN = "eee19b7ec3c1b174"

SPEND: dict[str, Any] = {
    "request_id": "chatcmpl-7f3a",
    "call_type": "acompletion",
    "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
    "spend": 0.00031275,
    "total_tokens": 1380,
    "prompt_tokens": 1200,
    "completion_tokens": 180,
    "startTime": "2026-11-20T10:15:00.250000Z",
    "endTime": "2026-11-20T10:15:01.750000Z",
    "model": "gpt-4o-mini",
    "model_group": "cheap",
    "custom_llm_provider": "openai",
    "user": "u-17",
    "metadata": {
        "status": "success",
        "usage_object": {
            "prompt_tokens": 1200,
            "completion_tokens": 180,
            "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": 64},
        },
        "additional_usage_values": {"prompt_tokens_details": {"cached_tokens": 1024}},
    },
    "cache_hit": "False",
    "request_tags": ["team:growth", "nightly", "User-Agent: python-httpx", "team:sales"],
    "team_id": "t-4",
    "end_user": "customer-9",
    "session_id": "s-1",
    "status": "success",
}


def usage_of(row: dict[str, Any]) -> Usage:
    read = litellm.read_row(row)
    assert isinstance(read, ReportedUsage), read
    return read.usage


def wrong(row: dict[str, Any]) -> tuple[str, str]:
    read = litellm.read_row(SPEND | row)
    assert isinstance(read, Unreadable), read
    (problem,) = read.problems
    return problem.path, problem.message


def test_a_spend_log_row_keeps_its_cost_and_its_tokens_become_disjoint() -> None:
    tags = (("nightly", "true"), ("team", "growth"), ("user", "u-17"))
    assert litellm.read_row(SPEND) == ReportedUsage(
        Usage(
            UsageKind.LLM,
            "openai",
            "gpt-4o-mini",
            "completion",
            tokens=Tokens(176, 116, 1024, 0, 64),
            cost=312_750,
            source="litellm",
            event_id="chatcmpl-7f3a",
            duration_ms=1500,
            occurred_at=AT,
        ),
        attribution=Attribution(project="t-4", client="customer-9", session="s-1", tags=tags),
    )


def test_a_row_of_a_csv_export_is_the_same_event() -> None:
    texts = {name: json.dumps(value) if isinstance(value, dict | list) else str(value) for name, value in SPEND.items()}
    texts |= {"startTime": "2026-11-20 10:15:00.25", "endTime": "2026-11-20 10:15:01.75"}
    written = StringIO()
    writer = csv.DictWriter(written, texts)
    writer.writeheader()
    writer.writerow(texts)
    ((line, read),) = events(written.getvalue().encode(), Format.LITELLM)
    assert (line, read) == (2, litellm.read_row(SPEND))


def test_the_cache_of_anthropic_is_inside_the_prompt_read_and_written_alike() -> None:
    details = {"cache_read_input_tokens": 700, "cache_creation_input_tokens": 200}
    row = SPEND | {
        "model": "anthropic/claude-sonnet-4-6",
        "custom_llm_provider": "anthropic",
        "prompt_tokens": 1000,
        "metadata": json.dumps({"additional_usage_values": details}),
    }
    usage = usage_of(row)
    assert (usage.provider, usage.model) == ("anthropic", "claude-sonnet-4-6")
    assert usage.tokens == Tokens(100, 180, 700, 200, 0)


def test_what_cannot_be_inside_is_rejected_with_the_figures() -> None:
    assert wrong({"prompt_tokens": 1000}) == ("prompt_tokens", "is 1000, which cannot include 1024 cached")
    assert wrong({"completion_tokens": 63}) == ("completion_tokens", "is 63, which cannot include 64 of reasoning")


@pytest.mark.parametrize(
    ("spend", "nano"),
    [
        (0.00031275, 312_750),
        ("0.1", 100_000_000),
        ("3.0000000001e-05", 30_001),
        ("1e-12", 1),
        ("1e-300", 1),
        (12, 12_000_000_000),
        (None, None),
        ("", None),
    ],
)
def test_spend_is_exact_and_rounded_up_at_the_ninth_digit(spend: object, nano: int | None) -> None:
    assert usage_of(SPEND | {"spend": spend}).cost == nano


@pytest.mark.parametrize(
    "spend",
    [
        -0.1,
        "nan",
        "Infinity",
        "1e9",
        "free",
        True,
        "1" * 5_000,
        "1_0",
        "\uff11",
        "1e99999999999999999999",
        "1e-99999",
        ".",
    ],
)
def test_spend_that_is_no_amount_is_rejected(spend: object) -> None:
    assert wrong({"spend": spend})[0] == "spend"


def test_spend_of_zero_is_a_cost_only_where_there_was_nothing_to_pay() -> None:
    assert usage_of(SPEND | {"spend": 0}).cost is None, "LiteLLM knew no price"
    assert usage_of(SPEND | {"spend": 0.0, "cache_hit": "True"}).cost == 0
    assert usage_of(SPEND | {"spend": "0", "cache_hit": True}).cost == 0
    assert usage_of(SPEND | {"spend": 0, "prompt_tokens": 0, "completion_tokens": 0, "metadata": {}}).cost == 0
    failed = usage_of(SPEND | {"spend": 0, "status": "failure"})
    assert (failed.cost, failed.success) == (0, False)
    assert not usage_of(SPEND | {"status": None, "metadata": {"status": "failure"}}).success


@pytest.mark.parametrize(
    ("called", "model", "expected"),
    [
        ("gemini", "gemini/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("vertex_ai", "gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("openrouter", "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("openrouter", "openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("ollama_chat", "llama3", ("ollama", "llama3")),
        ("azure", "gpt-4o", ("azure", "gpt-4o")),
        ("", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("", "", (None, None)),
    ],
)
def test_providers_and_models_are_named_as_in_our_catalog(called: str, model: str, expected: tuple[str, str]) -> None:
    usage = usage_of(SPEND | {"custom_llm_provider": called, "model": model})
    assert (usage.provider, usage.model) == expected


def test_a_tool_call_names_its_server_and_its_tool() -> None:
    row = SPEND | {"call_type": "call_mcp_tool", "model": "MCP: search", "spend": 0.002, "metadata": {}}
    row |= {"prompt_tokens": 0, "completion_tokens": 0, "mcp_namespaced_tool_name": "crm/search_contacts"}
    usage = usage_of(row)
    assert (usage.kind, usage.provider, usage.model, usage.operation) == (
        UsageKind.TOOL,
        "crm",
        None,
        "search_contacts",
    )
    assert (usage.tokens, usage.cost) == (NO_TOKENS, 2_000_000)
    alone = usage_of(
        row | {"mcp_namespaced_tool_name": None, "metadata": {"mcp_tool_call_metadata": {"name": "fetch"}}}
    )
    assert (alone.provider, alone.operation) == ("fetch", None)


def test_labels_beyond_ten_and_those_that_are_none_are_left_out() -> None:
    read = litellm.read_row(
        SPEND | {"request_tags": json.dumps([f"k{n}:v" for n in range(20)] + ["a=b:c", ":", "", 3])}
    )
    assert isinstance(read, ReportedUsage)
    assert len(read.attribution.tags) == 10
    assert dict(read.attribution.tags)["user"] == "u-17"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"request_id": " "}, "request_id"),
        ({"prompt_tokens": -1}, "prompt_tokens"),
        ({"prompt_tokens": 1.5}, "prompt_tokens"),
        ({"completion_tokens": "many"}, "completion_tokens"),
        ({"completion_tokens": 10**13}, "completion_tokens"),
        ({"startTime": "yesterday"}, "startTime"),
        ({"request_tags": "[nightly"}, "request_tags"),
    ],
)
def test_a_value_that_cannot_be_read_rejects_its_row_by_name(row: dict[str, Any], field: str) -> None:
    assert wrong(row)[0] == field


def otlp(attributes: dict[str, Any], **span: Any) -> dict[str, Any]:
    """A span as OTLP writes it in JSON."""

    def value(given: object) -> dict[str, Any]:
        if isinstance(given, int):
            return {"intValue": str(given)}
        return {"stringValue": given} if isinstance(given, str) else {"arrayValue": {"values": []}}

    return {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "chat gpt-4o-mini",
        "kind": 3,
        "startTimeUnixNano": "1795169700250000000",
        "endTimeUnixNano": "1795169701750999999",
        "attributes": [{"key": name, "value": value(given)} for name, given in attributes.items()],
        "status": {},
        **span,
    }


CHAT: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.cache_read.input_tokens": 1000,
    "gen_ai.usage.cache_creation.input_tokens": 50,
    "gen_ai.usage.output_tokens": 300,
    "gen_ai.usage.reasoning.output_tokens": 120,
    "gen_ai.conversation.id": "conv-1",
    "gen_ai.agent.name": "writer",
}
CHATTED = ReportedUsage(
    Usage(
        UsageKind.LLM,
        "openai",
        "gpt-4o-mini-2024-07-18",
        "chat",
        tokens=Tokens(150, 180, 1000, 50, 120),
        source="opentelemetry",
        event_id=f"{TRACE}:{SPAN}",
        duration_ms=1500,
        trace_id=TRACE,
        occurred_at=AT,
    ),
    attribution=Attribution(session="conv-1", agent_role="writer"),
)


def test_a_span_of_a_model_call_has_disjoint_tokens_and_no_cost_of_its_own() -> None:
    assert opentelemetry.read_span(otlp(CHAT)) == CHATTED


def test_a_span_as_a_console_exporter_writes_it_is_the_same_event() -> None:
    span = {
        "name": "chat gpt-4o-mini",
        "context": {"trace_id": f"0x{TRACE}", "span_id": f"0x{SPAN}", "trace_state": "[]"},
        "start_time": "2026-11-20T10:15:00.250000Z",
        "end_time": "2026-11-20T10:15:01.750000Z",
        "status": {"status_code": "UNSET"},
        "attributes": CHAT,
    }
    assert opentelemetry.read_span(span) == CHATTED


@pytest.mark.parametrize("status", [{"code": 2}, {"code": "STATUS_CODE_ERROR"}, {"status_code": "ERROR"}])
def test_a_span_with_an_error_did_not_succeed(status: dict[str, Any]) -> None:
    read = opentelemetry.read_span(otlp(CHAT, status=status))
    assert isinstance(read, ReportedUsage)
    assert not read.usage.success


@pytest.mark.parametrize("system", ["gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai"])
def test_names_that_the_conventions_had_before_are_known_and_google_is_google(system: str) -> None:
    before = {
        "gen_ai.system": system,
        "gen_ai.request.model": "gemini-2.5-pro",
        "gen_ai.usage.prompt_tokens": 20,
        "gen_ai.usage.completion_tokens": 5,
    }
    read = opentelemetry.read_span(otlp(before))
    assert isinstance(read, ReportedUsage)
    usage = read.usage
    assert (usage.kind, usage.provider, usage.model, usage.operation) == (
        UsageKind.LLM,
        "google",
        "gemini-2.5-pro",
        None,
    )
    assert usage.tokens == Tokens(20, 5)


def test_tools_and_queries_of_data_are_events_of_their_kinds() -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search_contacts"}
    for attributes, method in ((tool, "execute_tool"), (tool | {"mcp.method.name": "tools/call"}, "tools/call")):
        read = opentelemetry.read_span(otlp(attributes))
        assert isinstance(read, ReportedUsage)
        assert (read.usage.kind, read.usage.provider, read.usage.operation) == (
            UsageKind.TOOL,
            "search_contacts",
            method,
        )
    query = {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "permits"}
    read = opentelemetry.read_span(otlp(query))
    assert isinstance(read, ReportedUsage)
    assert (read.usage.kind, read.usage.provider, read.usage.operation) == (
        UsageKind.DATA_QUERY,
        "permits",
        "retrieval",
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"http.request.method": "POST"},
        {"gen_ai.operation.name": "chat"},
        CHAT | {"gen_ai.operation.name": "invoke_agent"},
        CHAT | {"gen_ai.operation.name": "create_agent"},
    ],
)
def test_spans_that_are_no_calls_and_the_sums_of_agents_are_skipped(attributes: dict[str, Any]) -> None:
    assert opentelemetry.read_span(otlp(attributes)) is None


@pytest.mark.parametrize(
    ("attributes", "span", "problem"),
    [
        (
            {"gen_ai.usage.input_tokens": 1049},
            {},
            ("gen_ai.usage.input_tokens", "is 1049, which cannot include 1000 cached and 50 written to the cache"),
        ),
        (
            {"gen_ai.usage.output_tokens": 100},
            {},
            ("gen_ai.usage.output_tokens", "is 100, which cannot include 120 of reasoning"),
        ),
        ({}, {"traceId": ""}, ("traceId", "is required: the event is known by both")),
        ({}, {"spanId": None}, ("spanId", "is required: the event is known by both")),
        ({}, {"startTimeUnixNano": "-5"}, ("startTimeUnixNano", "must be nanoseconds since 1970, and is '-5'")),
    ],
)
def test_a_span_that_cannot_be_read_is_rejected_by_name(
    attributes: dict[str, Any], span: dict[str, Any], problem: tuple[str, str]
) -> None:
    read = opentelemetry.read_span(otlp(CHAT | attributes, **span))
    assert isinstance(read, Unreadable)
    assert read.problems == (FieldProblem(*problem),)


def test_a_span_without_attributes_or_with_odd_ones_is_skipped() -> None:
    oddities: list[Any] = [None, "x", [1, {"key": "gen_ai.request.model"}, {"value": 3}], [[]]]
    for odd in oddities:
        read = opentelemetry.read_span({"attributes": odd, "traceId": TRACE, "spanId": SPAN})
        assert not isinstance(read, Unreadable)


def events(content: bytes, form: Format) -> list[Read]:
    return list(read_events(BytesIO(content), form))


def test_an_otlp_export_is_read_span_by_span_whether_it_is_a_document_or_lines() -> None:
    export = {"resourceSpans": [{"scopeSpans": [{"spans": [otlp(CHAT), otlp({})]}, {}]}, {"resource": {}}]}
    line = json.dumps(export).encode()
    assert events(line, Format.OTEL) == [(1, CHATTED), (1, None)]
    assert events(line + b"\n\n" + line + b"\n", Format.OTEL) == [(1, CHATTED), (1, None), (3, CHATTED), (3, None)]
    assert events(json.dumps(export, indent=2).encode(), Format.OTEL) == [(1, CHATTED), (1, None)]


def test_rows_come_as_a_list_as_a_page_of_the_api_or_one_a_line() -> None:
    read = litellm.read_row(SPEND)
    another = SPEND | {"request_id": "b"}
    both = [read, litellm.read_row(another)]
    for content in (
        json.dumps([SPEND, another]),
        json.dumps([SPEND, another], indent=2),
        "\ufeff" + json.dumps({"data": [SPEND, another], "total": 2}),
        f"\n{json.dumps(SPEND)}\r\n{json.dumps(another)}",
    ):
        assert [each for _, each in events(content.encode(), Format.LITELLM)] == both
    assert events(b"", Format.LITELLM) == events(b" \n\n", Format.OTEL) == []


def test_lines_that_are_broken_are_rejected_where_they_stand() -> None:
    row = json.dumps(SPEND).encode()
    for content in (row + b"\n{broken\n" + row, b"{broken\n" + row + b"\n[1]\n3\n" + row):
        read = events(content, Format.LITELLM)
        assert [line for line, each in read if isinstance(each, ReportedUsage)] in ([1, 3], [2, 5])
        broken = [(line, each.problems[0].path) for line, each in read if isinstance(each, Unreadable)]
        assert broken in ([(2, "line")], [(1, "line"), (3, "line"), (4, "line")])


def test_a_number_that_no_amount_can_be_rejects_its_row_alone() -> None:
    row = json.dumps(SPEND)
    huge = row.replace("0.00031275", "1e99999999999999999999")
    assert huge != row
    (first, second) = events(f"{huge}\n{row}".encode(), Format.LITELLM)
    assert isinstance(first[1], Unreadable)
    assert first[1].problems[0].path == "spend"
    assert isinstance(second[1], ReportedUsage)


def test_our_own_lines_are_read_as_they_are() -> None:
    line = b'{"source": "w", "eventId": "1", "kind": "API", "usage": {"provider": "apollo", "costUsd": "0.05"}}'
    (first, second) = events(b"\xef\xbb\xbf" + line + b"\n\n{}\n", Format.LINES)
    assert first == (1, ReportedUsage(Usage(UsageKind.API, "apollo", cost=50_000_000, source="w", event_id="1")))
    assert second[0] == 3
    assert isinstance(second[1], Unreadable)


def test_csv_rows_are_known_by_the_line_where_they_begin() -> None:
    header = ",".join(litellm.COLUMNS).encode()
    row = b'a,completion,gpt-4o,0.1,1,1,"2026-11-20\n10:15:00"'
    good = b"b,completion,gpt-4o,0.1,1,1,2026-11-20 10:15:00"
    read = events(b"\n" + header + b"\r\n" + row + b"\n\n" + b"too,few\n" + good, Format.LITELLM)
    assert [line for line, _ in read] == [3, 6, 7]
    assert read[1] == (6, Unreadable("", (FieldProblem("line", "has 2 columns, the header has 7"),)))
    assert isinstance(read[2][1], ReportedUsage)


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        (b"TIMESTAMP,Tokens\n1,2", Format.LITELLM, "as CSV its header lacks request_id, call_type"),
        (b"name,trace\n1,2", Format.OTEL, "is no JSON: it must begin with"),
        (",".join(litellm.COLUMNS).encode() + b"\n\xff,1,2,3,4,5,6\n", Format.LITELLM, "is not in UTF-8, at line 2"),
        (",".join(litellm.COLUMNS).encode() + b'\n"a"b,1,2,3,4,5,6\n', Format.LITELLM, "as CSV, at line 2"),
    ],
)
def test_a_file_of_another_format_is_refused_with_the_reason(content: bytes, form: Format, message: str) -> None:
    with pytest.raises(UnreadableFileError, match=message):
        events(content, form)


def test_a_document_that_is_too_large_is_to_be_written_by_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_DOCUMENT", 300)
    with pytest.raises(UnreadableFileError, match="write one row a line"):
        events(b"[\n" + b'{"a": 1},\n' * 100 + b"]", Format.LITELLM)
    cut = events(b'{"a": "' + b"x" * 400 + b'"}\n{}', Format.OTEL)
    assert [(line, type(read)) for line, read in cut] == [(1, Unreadable), (2, type(None))]


def test_a_file_by_the_line_is_read_only_as_far_as_it_is_asked_for() -> None:
    line = json.dumps(SPEND).encode() + b"\n"
    file = BytesIO(line * 100)
    read = iter(read_events(file, Format.LITELLM))
    assert [next(read)[0] for _ in range(3)] == [1, 2, 3]
    assert file.tell() == len(line) * 3
