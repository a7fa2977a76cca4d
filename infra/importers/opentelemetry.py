"""Spans of OpenTelemetry by its conventions for generative AI: OTLP as JSON, or spans as plain JSON objects.

Input tokens include what a cache served or stored, output tokens include reasoning: both are taken out. What a span
cost is for our price list to say. Calls of models and tools, and queries of data, become events. Spans of agents and
workflows are skipped: the tokens on them are the sums of the calls below them, which have spans of their own.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from domain.attribution import Attribution
from domain.prices import Tokens
from domain.usage import Usage, UsageKind
from infra.importers.values import ValueProblem, count, milliseconds, moment, nanoseconds, record, text, without
from infra.services.usage import ReportedUsage
from infra.services.usage_intake import Unreadable

SOURCE: Final = "opentelemetry"

# The conventions' names of providers that our catalog names otherwise.
_PROVIDERS: Final = {
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "vertex_ai": "google",
}
_SUMS: Final = frozenset({"invoke_agent", "create_agent", "invoke_workflow", "plan"})
_KINDS: Final = {"execute_tool": UsageKind.TOOL, "retrieval": UsageKind.DATA_QUERY}

# Each by its present name first, then by those that it had before.
_INPUT: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_READ: Final = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")
_WRITE: Final = ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens")
_REASONING: Final = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens")
_FAILED: Final = ("2", "STATUS_CODE_ERROR", "ERROR")


def spans(document: object) -> Iterator[object]:
    """The spans of a document: of an OTLP export each one, else the document itself."""
    if not isinstance(document, Mapping) or not ("resourceSpans" in document or "resource_spans" in document):
        yield document
        return
    for resource in _list(document, "resourceSpans", "resource_spans"):
        for scope in _list(resource, "scopeSpans", "scope_spans"):
            yield from _list(scope, "spans")


def read_span(span: Mapping[str, Any]) -> ReportedUsage | Unreadable | None:
    """The event that a span stands for, or what is wrong with it; None for a span that is not about a call."""
    attributes = _attributes(span.get("attributes"))
    operation = text(attributes.get("gen_ai.operation.name"))
    kind = _KINDS.get(operation or "", UsageKind.LLM)
    called = any(name in attributes for name in (*_INPUT, *_OUTPUT, "gen_ai.request.model", "gen_ai.response.model"))
    if operation in _SUMS or (kind is UsageKind.LLM and not called):
        return None
    trace_id, span_id = _ids(span)
    event_id = f"{trace_id or ''}:{span_id or ''}"
    try:
        if trace_id is None or span_id is None:
            raise ValueProblem("traceId" if trace_id is None else "spanId", "is required: the event is known by both")
        start, end = _times(span)
        provider, model, operation = _called(kind, attributes, operation)
        usage = Usage(
            kind=kind,
            provider=provider,
            model=model,
            operation=operation,
            tokens=_tokens(attributes),
            source=SOURCE,
            event_id=event_id,
            duration_ms=milliseconds(start, end),
            success=_succeeded(span),
            trace_id=trace_id,
            occurred_at=start,
        )
    except ValueProblem as error:
        return Unreadable(event_id, (error.problem,))
    session = text(attributes.get("gen_ai.conversation.id"))
    return ReportedUsage(
        usage, attribution=Attribution(session=session, agent_role=text(attributes.get("gen_ai.agent.name")))
    )


def _called(
    kind: UsageKind, attributes: Mapping[str, Any], operation: str | None
) -> tuple[str | None, str | None, str | None]:
    """Provider, model and operation. Of a tool: the tool, none, and the method that it was called by."""
    if kind is UsageKind.TOOL:
        return text(attributes.get("gen_ai.tool.name")), None, text(attributes.get("mcp.method.name")) or operation
    named = text(attributes.get("gen_ai.provider.name")) or text(attributes.get("gen_ai.system"))
    if named is None and kind is UsageKind.DATA_QUERY:
        named = text(attributes.get("gen_ai.data_source.id"))
    model = text(attributes.get("gen_ai.response.model")) or text(attributes.get("gen_ai.request.model"))
    return (None if named is None else _PROVIDERS.get(named, named)), model, operation


def _tokens(attributes: Mapping[str, Any]) -> Tokens:
    read, write, reasoning = count(attributes, *_READ), count(attributes, *_WRITE), count(attributes, *_REASONING)
    return Tokens(
        without(count(attributes, *_INPUT), _INPUT[0], (read, "cached"), (write, "written to the cache")),
        without(count(attributes, *_OUTPUT), _OUTPUT[0], (reasoning, "of reasoning")),
        read,
        write,
        reasoning,
    )


def _attributes(given: object) -> Mapping[str, Any]:
    """Attributes as an object, or as OTLP's list of keys and typed values."""
    if isinstance(given, Mapping):
        return given
    found: dict[str, Any] = {}
    for each in given if isinstance(given, list) else ():
        value = record(each).get("value")
        if isinstance(value, Mapping):
            scalars = [value[name] for name in ("stringValue", "intValue", "doubleValue", "boolValue") if name in value]
            value = scalars[0] if scalars else None
        found[str(record(each).get("key"))] = value
    return found


def _ids(span: Mapping[str, Any]) -> tuple[str | None, str | None]:
    context = record(span.get("context")) or record(span.get("spanContext"))
    trace_id = span.get("traceId") or span.get("trace_id") or context.get("trace_id") or context.get("traceId")
    span_id = span.get("spanId") or span.get("span_id") or context.get("span_id") or context.get("spanId")
    return _hexadecimal(trace_id), _hexadecimal(span_id)


def _hexadecimal(value: object) -> str | None:
    """An id as OTLP writes it; some exporters write 0x before it."""
    found = text(value)
    return None if found is None else found.removeprefix("0x")


def _times(span: Mapping[str, Any]) -> tuple[Any, Any]:
    if "startTimeUnixNano" in span or "start_time_unix_nano" in span:
        old = "startTimeUnixNano" not in span
        names = ("start_time_unix_nano", "end_time_unix_nano") if old else ("startTimeUnixNano", "endTimeUnixNano")
        return nanoseconds(span, names[0]), nanoseconds(span, names[1])
    return moment(span, "start_time"), moment(span, "end_time")


def _succeeded(span: Mapping[str, Any]) -> bool:
    status = record(span.get("status"))
    return str(status.get("code", status.get("status_code"))) not in _FAILED


def _list(holder: object, *names: str) -> Iterator[Any]:
    for name in names:
        found = record(holder).get(name)
        if isinstance(found, list):
            yield from found
