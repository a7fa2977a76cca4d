"""Rows of usage, in the order of `infra.statements`' columns."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from domain.attribution import Attribution
from domain.usage import Amendment, UsageEvent
from domain.wallets import METERED_KEY
from infra.reservation_rows import json

Charges = Iterable[tuple[str, int, int]]


def event_row(tenant_id: UUID, event: UsageEvent) -> tuple[Any, ...]:
    """The values of USAGE_COLUMNS."""
    usage, tokens, charges = event.usage, event.usage.tokens, event.charges
    return (
        tenant_id,
        event.id,
        event.occurred_at,
        event.recorded_at,
        usage.kind,
        usage.provider,
        usage.model,
        usage.operation,
        event.feature,
        event.reservation_id,
        *_attribution(event.attribution),
        event.route,
        usage.calls,
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write,
        tokens.reasoning,
        usage.units,
        usage.results,
        event.priced.cost,
        event.priced.effective_from,
        json(charges) if charges else None,
        usage.duration_ms,
        usage.success,
        usage.prompt_hash,
        usage.response_hash,
        usage.trace_id,
        usage.source,
        usage.event_id,
        credits_of(charges) if charges else 0,
        dollars_of(charges) if charges else 0,
        event.counted,
        event.under_reservation,
        None if event.steps is None else json(tuple(event.steps)),
    )


def amendment_row(tenant_id: UUID, amendment: Amendment) -> tuple[Any, ...]:
    """The values of AMENDMENT_COLUMNS."""
    return (
        tenant_id,
        *amendment[:10],
        *_attribution(amendment.attribution),
        amendment.route,
        amendment.cost,
        amendment.counted,
        amendment.unpriced,
        amendment.price_effective_from,
        json(amendment.charges) if amendment.charges else None,
        credits_of(amendment.charges),
        dollars_of(amendment.charges),
    )


def credits_of(charges: Charges) -> int:
    """What was charged in credits, of every platform wallet."""
    return sum([amount for key, amount, _ in charges if key != METERED_KEY])


def dollars_of(charges: Charges) -> int:
    """What was charged to the metered wallet, in nano-dollars."""
    return sum([amount for key, amount, _ in charges if key == METERED_KEY])


def _attribution(attribution: Attribution) -> tuple[Any, ...]:
    return (
        attribution.project,
        attribution.research,
        attribution.campaign,
        attribution.account,
        attribution.client,
        attribution.agent_role,
        attribution.session,
        attribution.task_run,
        json(dict(attribution.tags)) if attribution.tags else None,
    )
