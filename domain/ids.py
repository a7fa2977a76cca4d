"""Identifiers: time-ordered UUIDs (version 7) inside, a prefix that names the kind outside."""

import re
from typing import Final
from uuid import UUID

PREFIXES: Final = {
    "tenant": "ten",
    "wallet": "wal",
    "lot": "lot",
    "ledger_entry": "led",
    "reservation": "rsv",
    "usage_event": "use",
    "budget": "bud",
    "scope": "scp",
    "refusal": "ref",
    "rate_card": "rcd",
    "provider": "prv",
    "api_key": "key",
    "top_up": "top",
    "alert": "alt",
    "channel": "chn",
    "event": "evt",
    "audit_event": "aud",
    "identity_provider": "idp",
    "expense": "exp",
}
KINDS: Final = {prefix: kind for kind, prefix in PREFIXES.items()}

# Nobody and no tenant; it sorts before every other.
NIL: Final = UUID(int=0)
# It sorts after every other: where a list of the newest begins.
AFTER_ALL: Final = UUID(int=2**128 - 1)

_PUBLIC: Final = re.compile(r"([a-z]{3})_([0-9a-f]{32})", re.ASCII)


def uuid7(milliseconds: int, random_bits: int) -> UUID:
    """A version 7 UUID of this moment (since 1970, RFC 9562); only 74 of the random bits are used."""
    high = (milliseconds & (1 << 48) - 1) << 80
    low = random_bits & (1 << 62) - 1
    middle = random_bits >> 62 & (1 << 12) - 1
    return UUID(int=high | 0x7 << 76 | middle << 64 | 0b10 << 62 | low)


def milliseconds_of(identifier: UUID) -> int:
    """The moment that a version 7 UUID carries, in milliseconds since 1970."""
    return identifier.int >> 80


def following(identifier: UUID, index: int) -> UUID:
    """The id that comes so many after this one: for a command that makes several things and was given one id."""
    return UUID(int=identifier.int + index)


def public(kind: str, identifier: UUID) -> str:
    """The form that clients see: `rsv_0198...`."""
    return f"{PREFIXES[kind]}_{identifier.hex}"


def parse(kind: str, text: str) -> UUID | None:
    """Read a client's identifier of this kind; None where it is none of ours."""
    match = _PUBLIC.fullmatch(text)
    if match is None or match.group(1) != PREFIXES[kind]:
        return None
    return UUID(hex=match.group(2))
