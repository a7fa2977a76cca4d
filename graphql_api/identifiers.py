"""Public identifiers of what has no UUID of its own: made from what it is addressed by, and read back.

`led_<wallet>_<number>`, `bud_<address>`, `scp_<address>`, `rcd_<version>`, `prv_<slug>`. An address is JSON in
URL-safe base64. Whatever cannot be read back is the id of nothing.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from uuid import UUID

import orjson

from domain import ids
from domain.budgets import BudgetKey, BudgetPeriod, ScopeKey, ScopeKind
from domain.refusals import BudgetScope

LARGEST_SEQUENCE: Final = 2**63 - 1


def parse_or_nobodys(kind: str, text: str) -> UUID:
    """A client's id; one that is none of ours becomes an id that nobody has, and is then simply not found."""
    return ids.parse(kind, text) or ids.NIL


def scope_part(text: str | None) -> str:
    """A client's scope id in an address, where none is the empty string. An empty one is not none: it becomes a blank,
    which the rules of every scope refuse."""
    return "" if text is None else text or " "


def ledger_entry_id(wallet_id: UUID, sequence: int) -> str:
    """The id of a wallet's entry by its number."""
    return f"led_{wallet_id.hex}_{sequence}"


def parse_ledger_entry_id(text: str) -> tuple[UUID, int] | None:
    """Wallet and number of an entry."""
    prefix, _, rest = text.partition("_")
    wallet, _, number = rest.partition("_")
    wallet_id = ids.parse("wallet", f"wal_{wallet}")
    sequence = parse_sequence(number)
    if prefix != "led" or wallet_id is None or sequence is None:
        return None
    return wallet_id, sequence


def parse_sequence(text: str) -> int | None:
    """A positive number that a bigint holds."""
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    sequence = int(text)
    return sequence if 0 < sequence <= LARGEST_SEQUENCE else None


def budget_id(key: BudgetKey) -> str:
    """The id of a budget by its address."""
    return _pack("bud", [key.scope.value, key.scope_id, key.period.value])


def parse_budget_id(text: str) -> BudgetKey | None:
    """The address of a budget."""
    match _unpack("bud", text):
        case [str(scope), str(scope_id), str(period)] if (
            scope in BudgetScope.__members__ and period in BudgetPeriod.__members__ and "\0" not in scope_id
        ):
            return BudgetKey(BudgetScope(scope), scope_id, BudgetPeriod(period))
    return None


def scope_id(key: ScopeKey) -> str:
    """The id of a scope by its address."""
    return _pack("scp", [key.kind.value, key.id])


def parse_scope_id(text: str) -> ScopeKey | None:
    """The address of a scope."""
    match _unpack("scp", text):
        case [str(kind), str(identifier)] if kind in ScopeKind.__members__ and "\0" not in identifier:
            return ScopeKey(ScopeKind(kind), identifier)
    return None


def _pack(prefix: str, address: list[str]) -> str:
    return f"{prefix}_{urlsafe_b64encode(orjson.dumps(address)).decode().rstrip('=')}"


def _unpack(prefix: str, text: str) -> object:
    if not text.startswith(f"{prefix}_") or len(text) > 2_000:
        return None
    packed = text[len(prefix) + 1 :]
    try:
        return orjson.loads(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except ValueError:
        return None
