"""Rows of `ledger_entry`, read into values."""

from typing import Any, Final
from uuid import UUID

import orjson

from domain.ledger import Entry, EntryType, Repayment, Voucher
from infra.reservation_rows import draws_of

ENTRY_COLUMNS: Final = """tenant_id, wallet_id, sequence, type, amount, granted_after, available_after, reserved_after,
    consumed_after, expired_after, draws, repayments, actor, created_at, reservation_id, reference, note,
    idempotency_key, previous_hash, hash"""


def entry_of(row: tuple[Any, ...]) -> Entry:
    """An entry from the values of ENTRY_COLUMNS."""
    tenant_id, wallet_id, sequence, entry_type, *amounts, draws, repayments = row[:12]
    repaid = [] if repayments is None else orjson.loads(repayments)
    return Entry._make(
        (
            tenant_id,
            wallet_id,
            sequence,
            EntryType(entry_type),
            *amounts,
            draws_of(orjson.loads(draws)),
            tuple([Repayment(UUID(hex=lot), consumed, granted) for lot, consumed, granted in repaid]),
            Voucher._make(row[12:18]),
            *row[18:20],
        )
    )
