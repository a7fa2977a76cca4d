"""Top-ups and recharges as rows, and back."""

from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from domain.money import Money
from domain.payments import (
    AutoRecharge,
    Dispute,
    DisputeStatus,
    Outcome,
    PaymentFacts,
    Refund,
    RefundStatus,
    TopUp,
    TopUpOrigin,
    TopUpState,
)
from infra.reservation_rows import json

TOP_UP_NAMES: Final = (
    "tenant_id",
    "id",
    "wallet_key",
    "amount",
    "price",
    "currency",
    "bundle",
    "origin",
    "actor",
    "created_at",
    "state",
    "checkout_url",
    "session_id",
    "payment_id",
    "facts",
    "credited",
    "taken_back",
    "credited_at",
)
TOP_UP_COLUMNS: Final = ", ".join(TOP_UP_NAMES)
RECHARGE_NAMES: Final = (
    "tenant_id",
    "wallet_key",
    "enabled",
    "threshold",
    "amount",
    "monthly_limit",
    "in_flight",
    "declines",
    "retry_at",
    "disabled_reason",
    "month",
    "month_amount",
)
RECHARGE_COLUMNS: Final = ", ".join(RECHARGE_NAMES)


def top_up_of(row: "asyncpg.Record | tuple[Any, ...]") -> tuple[UUID, TopUp]:
    """A tenant's id and its top-up from TOP_UP_COLUMNS."""
    tenant_id, identifier, wallet_key, amount, price, currency, bundle, origin, actor, created_at = row[:10]
    state, checkout_url, session_id, payment_id, facts, credited, taken_back, credited_at = row[10:]
    top_up = TopUp(
        identifier,
        wallet_key,
        amount,
        Money(price, currency),
        bundle,
        TopUpOrigin(origin),
        actor,
        created_at,
        TopUpState(state),
        checkout_url,
        _facts_of(orjson.loads(facts), session_id, payment_id),
        credited,
        taken_back,
        credited_at,
    )
    return tenant_id, top_up


def top_up_row(tenant_id: UUID, top_up: TopUp) -> tuple[Any, ...]:
    """A top-up as TOP_UP_COLUMNS."""
    facts = top_up.facts
    return (
        tenant_id,
        top_up.id,
        top_up.wallet_key,
        top_up.amount,
        top_up.price.minor,
        top_up.price.currency,
        top_up.bundle,
        top_up.origin,
        top_up.actor,
        top_up.created_at,
        top_up.state,
        top_up.checkout_url,
        facts.session_id,
        facts.payment_id,
        json(
            {
                "outcome": facts.outcome,
                "received": None if facts.received is None else tuple(facts.received),
                "failure": facts.failure,
                "card": facts.card,
                "refundedAtLeast": facts.refunded_at_least,
                "refunds": [tuple(refund) for refund in facts.refunds],
                "disputes": [tuple(dispute) for dispute in facts.disputes],
            }
        ),
        top_up.credited,
        top_up.taken_back,
        top_up.credited_at,
    )


def recharge_of(row: "asyncpg.Record | tuple[Any, ...]") -> tuple[UUID, AutoRecharge]:
    """A tenant's id and its recharge from RECHARGE_COLUMNS."""
    return row[0], AutoRecharge(*row[1:])


def recharge_row(tenant_id: UUID, recharge: AutoRecharge) -> tuple[Any, ...]:
    """A recharge as RECHARGE_COLUMNS."""
    return (
        tenant_id,
        recharge.wallet_key,
        recharge.enabled,
        recharge.threshold,
        recharge.amount,
        recharge.monthly_limit,
        recharge.in_flight,
        recharge.declines,
        recharge.retry_at,
        recharge.disabled_reason,
        recharge.month,
        recharge.month_amount,
    )


def _facts_of(facts: dict[str, Any], session_id: str | None, payment_id: str | None) -> PaymentFacts:
    received, card = facts["received"], facts["card"]
    return PaymentFacts(
        Outcome(facts["outcome"]),
        session_id,
        payment_id,
        None if received is None else Money(*received),
        facts["failure"],
        None if card is None else (card[0], card[1]),
        facts["refundedAtLeast"],
        tuple([Refund(name, amount, RefundStatus(status)) for name, amount, status in facts["refunds"]]),
        tuple([Dispute(name, amount, DisputeStatus(status)) for name, amount, status in facts["disputes"]]),
    )
