"""Rows of LiteLLM's table LiteLLM_SpendLogs: as its API answers them, or as CSV.

`spend` is the cost, exactly. LiteLLM also writes 0 where it knows no price: a call that worked, used tokens and came
out of no cache of LiteLLM's has no cost of its own then, and our price list says what it cost. `prompt_tokens` includes
what the provider's cache served or stored, `completion_tokens` includes reasoning: both are taken out.

The end user becomes the client, the team the project; the user and the request's tags become labels, the first ten.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from domain.attribution import MOST_TAGS, Attribution
from domain.prices import Tokens
from domain.usage import Usage, UsageKind
from infra.importers.values import ValueProblem, count, dollars, load_json, milliseconds, moment, record, text, without
from infra.services.usage import ReportedUsage
from infra.services.usage_intake import Unreadable

SOURCE: Final = "litellm"
COLUMNS: Final = ("request_id", "call_type", "model", "spend", "prompt_tokens", "completion_tokens", "startTime")
TOOL_CALL: Final = "call_mcp_tool"

# LiteLLM's names of providers that our catalog names otherwise.
_PROVIDERS: Final = {
    "gemini": "google",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "ollama_chat": "ollama",
    "text-completion-openai": "openai",
    "anthropic_text": "anthropic",
}
# The same operations, awaited.
_AWAITED: Final = frozenset(
    {
        "acompletion",
        "atext_completion",
        "aembedding",
        "aresponses",
        "aimage_generation",
        "aimage_edit",
        "amoderation",
        "atranscription",
        "aspeech",
        "arerank",
        "asearch",
        "aocr",
    }
)
# LiteLLM adds it by itself.
_AUTOMATIC: Final = "User-Agent:"


def rows_of(document: object) -> Sequence[object]:
    """The rows of a document: of a page that the API answered each one, else the document itself."""
    page = document.get("data") if isinstance(document, Mapping) else None
    return page if isinstance(page, list) else [document]


def read_row(row: Mapping[str, Any]) -> ReportedUsage | Unreadable:
    """The event that a row stands for, or what is wrong with it."""
    try:
        return ReportedUsage(_usage(row), attribution=_attribution(row))
    except ValueProblem as error:
        return Unreadable(text(row.get("request_id")) or "", (error.problem,))


def _usage(row: Mapping[str, Any]) -> Usage:
    start = moment(row, "startTime")
    metadata = record(row.get("metadata"))
    tokens = _tokens(row, record(metadata.get("usage_object")) or record(metadata.get("additional_usage_values")))
    success = "failure" not in (text(row.get("status")), text(metadata.get("status")))
    operation = text(row.get("call_type"))
    if operation in _AWAITED:
        operation = operation[1:]
    provider, model = _model(row)
    kind = UsageKind.LLM
    if operation == TOOL_CALL:
        kind, model = UsageKind.TOOL, None
        provider, operation = _tool(row, metadata)
    cost = dollars(row, "spend")
    if cost == 0 and success and tokens != Tokens() and str(row.get("cache_hit")).lower() != "true":
        cost = None
    return Usage(
        kind=kind,
        provider=provider,
        model=model,
        operation=operation,
        tokens=tokens,
        cost=cost,
        source=SOURCE,
        event_id=_required(row, "request_id"),
        duration_ms=milliseconds(start, moment(row, "endTime")),
        success=success,
        occurred_at=start,
    )


def _tokens(row: Mapping[str, Any], details: Mapping[str, Any]) -> Tokens:
    of_input = record(details.get("prompt_tokens_details"))
    of_output = record(details.get("completion_tokens_details"))
    read = count(details, "cache_read_input_tokens") or count(of_input, "cached_tokens")
    write = count(details, "cache_creation_input_tokens") or count(of_input, "cache_creation_tokens")
    reasoning = count(of_output, "reasoning_tokens")
    return Tokens(
        without(count(row, "prompt_tokens"), "prompt_tokens", (read, "cached"), (write, "written to the cache")),
        without(count(row, "completion_tokens"), "completion_tokens", (reasoning, "of reasoning")),
        read,
        write,
        reasoning,
    )


def _model(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Provider and model as our catalog names them: LiteLLM may write the provider before the model."""
    called, model = text(row.get("custom_llm_provider")), text(row.get("model"))
    if model is not None and "/" in model:
        first, _, rest = model.partition("/")
        if called in (None, first):
            called, model = first, rest
    return (None if called is None else _PROVIDERS.get(called, called)), model


def _tool(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """A tool of an MCP server: the server, and which of its tools."""
    call = record(metadata.get("mcp_tool_call_metadata"))
    name = text(row.get("mcp_namespaced_tool_name")) or text(call.get("namespaced_tool_name")) or text(call.get("name"))
    server, slash, tool = (name or "").partition("/")
    return (server, tool) if slash and server and tool else (name, None)


def _attribution(row: Mapping[str, Any]) -> Attribution:
    labels: dict[str, str] = {}
    user = text(row.get("user"))
    if user is not None:
        labels["user"] = user
    for tag in _tags(row.get("request_tags")):
        key, colon, value = tag.partition(":")
        key, value = (key.strip(), value.strip()) if colon else (tag, "true")
        if key and value and "=" not in key and len(labels) < MOST_TAGS:
            labels.setdefault(key, value)
    return Attribution(
        project=text(row.get("team_id")),
        client=text(row.get("end_user")),
        agent_role=text(row.get("agent_id")),
        session=text(row.get("session_id")),
        tags=tuple(sorted(labels.items())),
    )


def _tags(value: object) -> list[str]:
    if isinstance(value, str):
        try:
            value = load_json(value) if value.strip() else []
        except ValueError as error:
            raise ValueProblem("request_tags", "must be a JSON list of texts") from error
    found = [text(tag) for tag in value] if isinstance(value, list) else []
    return [tag for tag in found if tag is not None and not tag.startswith(_AUTOMATIC)]


def _required(row: Mapping[str, Any], name: str) -> str:
    found = text(row.get(name))
    if found is None:
        raise ValueProblem(name, "is required: it is what the event is known by")
    return found
