"""Usage: the provider calls, tool calls and data queries that happened, and what each one cost.

An event is priced by the provider's own figure where it reports one, else by the dated price list. An
LLM or API call without a price is *unpriced*: its cost is unknown (None) until it is re-rated, and never
zero (PRODUCT.md 5). Costs are nano-dollars.
"""

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from domain import prices
from domain.attribution import IDENTIFIER_RULE, NOBODY, Attribution, is_identifier
from domain.budget_steps import Counted
from domain.ids import milliseconds_of
from domain.money import NANO
from domain.prices import NO_TOKENS, PriceList, Tokens
from domain.refusals import FieldProblem

MOST_COST: Final = 1_000_000 * NANO
MOST_COUNT: Final = 10**12
MOST_CALLS: Final = 10**9
MOST_EVENTS: Final = 1_000
FUTURE_TOLERANCE: Final = timedelta(minutes=5)
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS: Final = ("provider", "model", "operation", "source", "eventId", "traceId")
_COUNTS: Final = (
    "inputTokens",
    "outputTokens",
    "cacheReadTokens",
    "cacheWriteTokens",
    "reasoningTokens",
    "results",
    "durationMs",
)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class UsageKind(StrEnum):
    """What happened: a model call, a tool call (provider is the tool, operation its method), a paid API call, or a
    query of public data."""

    LLM = "LLM"
    TOOL = "TOOL"
    API = "API"
    DATA_QUERY = "DATA_QUERY"


class Route(StrEnum):
    """On whose key a call runs: ours (MANAGED), the tenant's own (BYOK), or nothing is charged at all (FREE)."""

    MANAGED = "MANAGED"
    BYOK = "BYOK"
    FREE = "FREE"


class Usage(NamedTuple):
    """The facts of one call as the worker reports them.

    `cost` is what the provider reports in nano-dollars, `units` nano-units, `results` a plain count. `source` and
    `event_id` identify the event for ever; without them it belongs to the consume that carries it.
    """

    kind: UsageKind = UsageKind.LLM
    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    calls: int = 1
    tokens: Tokens = NO_TOKENS
    units: int | None = None
    results: int | None = None
    cost: int | None = None
    source: str | None = None
    event_id: str | None = None
    own_key: bool | None = None
    duration_ms: int | None = None
    success: bool = True
    prompt_hash: str | None = None
    response_hash: str | None = None
    trace_id: str | None = None
    occurred_at: datetime | None = None


class Priced(NamedTuple):
    """What an event cost: None if the price list does not know; `effective_from` names the price version."""

    cost: int | None
    effective_from: datetime | None = None


class UsageEvent(NamedTuple):
    """An event as it is kept. `charges` are (wallet key, nano-units, number of the CONSUMED entry; 0: it was charged with
    others of its batch). `counted` is what budgets count for an event without a price (nano-dollars): what was left of its
    hold, until it is re-rated; None: its cost. `under_reservation`: it was recorded while its reservation was open, or by its
    consume, so that its prices, month and charges are that one's. `steps`: what it counted in which budgets, if it was
    recorded by itself."""

    id: UUID
    usage: Usage
    occurred_at: datetime
    recorded_at: datetime
    feature: str | None
    reservation_id: UUID | None
    attribution: Attribution
    route: Route
    priced: Priced
    charges: tuple[tuple[str, int, int], ...] = ()
    counted: int | None = None
    under_reservation: bool = False
    steps: Counted | None = None


class Amendment(NamedTuple):
    """What is added to usage beside its events, with the same attribution, so that sums stay complete.

    Either the charge of a settled reservation that no event carries (`event_id` None, `id` the reservation's), or the
    correction of an event: signed nano-dollars of `cost` and of what budgets `counted`, signed `charges`, `unpriced` -1
    where the event got its price, `price_effective_from` of the price that holds now.
    """

    id: UUID
    occurred_at: datetime
    recorded_at: datetime
    event_id: UUID | None
    reservation_id: UUID | None
    kind: UsageKind | None
    provider: str | None
    model: str | None
    operation: str | None
    feature: str | None
    attribution: Attribution
    route: Route
    charges: tuple[tuple[str, int, int], ...] = ()
    cost: int = 0
    counted: int = 0
    unpriced: int = 0
    price_effective_from: datetime | None = None


def price(usage: Usage, price_list: PriceList, at: datetime, known_at: datetime) -> Priced:
    """What a call cost: the provider's own figure, else tokens by class and calls at the list's price of `at` as it
    was known at `known_at`. A tool call or data query that is not on the list has no provider to pay: it cost 0."""
    if usage.cost is not None:
        return Priced(usage.cost)
    found = None
    if usage.provider is not None:
        found = price_list.find(usage.provider, usage.model, usage.operation, at, known_at, usage.tokens.context)
    if found is not None:
        return Priced(prices.cost(found, usage.tokens, usage.calls), found.effective_from)
    unpaid = usage.kind in (UsageKind.TOOL, UsageKind.DATA_QUERY) and usage.tokens == NO_TOKENS
    return Priced(0 if unpaid else None)


def occurred(identifier: UUID, reported: Usage) -> datetime:
    """When a call happened: as reported, else the moment of its id; either way the id's milliseconds are its own."""
    if reported.occurred_at is not None:
        return reported.occurred_at
    return EPOCH + timedelta(milliseconds=milliseconds_of(identifier))


def problems(usage: Usage, path: str, now: datetime) -> tuple[FieldProblem, ...]:
    """What is wrong with a report: counts out of range, over-long names, hashes that are none, times in the future."""
    found: list[FieldProblem] = []
    texts = (usage.provider, usage.model, usage.operation, usage.source, usage.event_id, usage.trace_id)
    if not all(map(is_identifier, filter(None, texts))) or "" in texts:
        wrong = [name for name, text in zip(_TEXTS, texts, strict=True) if text is not None and not is_identifier(text)]
        found.extend(FieldProblem(f"{path}.{name}", IDENTIFIER_RULE) for name in wrong)
    tokens = usage.tokens
    counts = (
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write,
        tokens.reasoning,
        usage.results or 0,
        usage.duration_ms or 0,
    )
    if min(counts) < 0 or max(counts) > MOST_COUNT:
        wrong = [name for name, count in zip(_COUNTS, counts, strict=True) if not 0 <= count <= MOST_COUNT]
        found.extend(FieldProblem(f"{path}.{name}", f"must be 0 to {MOST_COUNT}") for name in wrong)
    if not 0 <= usage.calls <= MOST_CALLS:
        found.append(FieldProblem(f"{path}.calls", f"must be 0 to {MOST_CALLS}"))
    if usage.cost is not None and not 0 <= usage.cost <= MOST_COST:
        found.append(FieldProblem(f"{path}.costUsd", f"must be 0 to {MOST_COST // NANO}"))
    if usage.units is not None and usage.units < 0:
        found.append(FieldProblem(f"{path}.units", "must not be negative"))
    for name, digest in (("promptHash", usage.prompt_hash), ("responseHash", usage.response_hash)):
        if digest is not None and _SHA256.fullmatch(digest) is None:
            found.append(FieldProblem(f"{path}.{name}", "must be a SHA-256 in lower-case hexadecimal"))
    if usage.occurred_at is not None and not EARLIEST <= usage.occurred_at <= now + FUTURE_TOLERANCE:
        early = usage.occurred_at < EARLIEST
        rule = "must not lie before the year 2000" if early else "must not lie in the future"
        found.append(FieldProblem(f"{path}.occurredAt", rule))
    if (usage.source is None) != (usage.event_id is None):
        found.append(FieldProblem(f"{path}.eventId", "source and eventId are given together or not at all"))
    return tuple(found)


def attributed(own: Attribution, inherited: Attribution) -> Attribution:
    """An event's attribution: its own, else that of its reservation."""
    return inherited if own == NOBODY else own
