"""Statements: a wallet's ledger, or a period of it, as records that its tenant verifies with nothing of ours.

    opening   whose ledger it is, the period, where the chain stood before its first entry and where its head was
    entry     all that an entry's hash covers, and the two hashes
    closing   where the chain stood after the last entry: without it the statement is not whole

A period holds the entries from the first one that was made in it up to the first one that was made after it, by their
numbers: so periods that follow each other have every entry once, even if two machines' clocks disagreed.

Ids, names and amounts are those of the API. `graphql_api/verify_statement.py` reads all of this, and knows nothing of it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from domain.ids import public
from domain.ledger import Entry, timestamp
from domain.money import format_amount
from domain.wallets import GENESIS_HASH, Unit

FORMAT: Final = "purser-statement-1"
BALANCES: Final = ("grantedAfter", "availableAfter", "reservedAfter", "consumedAfter", "expiredAfter")
COLUMNS: Final = (
    "record",
    "sequence",
    "createdAt",
    "type",
    "amount",
    *BALANCES,
    "reservation",
    "reference",
    "note",
    "actor",
    "idempotencyKey",
    "lots",
    "repayments",
    "tenant",
    "wallet",
    "previousHash",
    "hash",
    "format",
    "walletKey",
    "unit",
    "from",
    "to",
    "timeZone",
    "lastSequence",
    "headSequence",
    "headHash",
    "madeAt",
)

Value = str | list[dict[str, str]]
Record = dict[str, Value]


class Standing(NamedTuple):
    """Where a wallet's chain stood after an entry: its number, its hash, and granted, available, reserved, consumed and
    expired, in nano-units."""

    sequence: int
    hash: bytes
    balances: tuple[int, int, int, int, int]


BEGINNING: Final = Standing(0, GENESIS_HASH, (0, 0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said of a wallet's entries from `start` (None: from the first) up to `end` (None: to the newest).

    `opening`: before the first of them. `closing`: after the last of them. `head`: after the newest entry that there was
    at `made_at`, whatever the period."""

    tenant_id: UUID
    wallet_id: UUID
    wallet_key: str
    unit: Unit
    start: datetime | None
    end: datetime | None
    zone: str
    opening: Standing
    closing: Standing
    head: Standing
    made_at: datetime


def opening_record(statement: Statement) -> Record:
    """What heads the statement."""
    return {
        "record": "opening",
        **_standing(statement, statement.opening),
        "format": FORMAT,
        "walletKey": statement.wallet_key,
        "unit": statement.unit.value,
        "from": "" if statement.start is None else timestamp(statement.start),
        "to": "" if statement.end is None else timestamp(statement.end),
        "timeZone": statement.zone,
        "lastSequence": str(statement.closing.sequence),
        "headSequence": str(statement.head.sequence),
        "headHash": statement.head.hash.hex(),
        "madeAt": timestamp(statement.made_at),
    }


def entry_record(entry: Entry) -> Record:
    """All that an entry's hash covers (`domain.ledger.entry_bytes`), the hash, and the one before it."""
    actor, at, reservation_id, reference, note, idempotency_key = entry.voucher
    return {
        "record": "entry",
        "sequence": str(entry.sequence),
        "createdAt": timestamp(at),
        "type": entry.type.value,
        "amount": format_amount(entry.amount),
        **_balances(entry[5:10]),
        "reservation": "" if reservation_id is None else public("reservation", reservation_id),
        "reference": reference,
        "note": note,
        "actor": actor,
        "idempotencyKey": idempotency_key,
        "lots": [{"lot": public("lot", lot), "amount": format_amount(amount)} for lot, amount in entry.draws],
        "repayments": [
            {"lot": public("lot", lot), "consumed": format_amount(consumed), "granted": format_amount(granted)}
            for lot, consumed, granted in entry.repayments
        ],
        "tenant": public("tenant", entry.tenant_id),
        "wallet": public("wallet", entry.wallet_id),
        "previousHash": entry.previous_hash.hex(),
        "hash": entry.hash.hex(),
    }


def closing_record(statement: Statement) -> Record:
    """What closes the statement."""
    return {"record": "closing", **_standing(statement, statement.closing)}


def _standing(statement: Statement, standing: Standing) -> Record:
    return {
        "sequence": str(standing.sequence),
        **_balances(standing.balances),
        "tenant": public("tenant", statement.tenant_id),
        "wallet": public("wallet", statement.wallet_id),
        "hash": standing.hash.hex(),
    }


def _balances(balances: tuple[int, int, int, int, int]) -> dict[str, str]:
    granted, available, reserved, consumed, expired = balances
    return {
        "grantedAfter": format_amount(granted),
        "availableAfter": format_amount(available),
        "reservedAfter": format_amount(reserved),
        "consumedAfter": format_amount(consumed),
        "expiredAfter": format_amount(expired),
    }
