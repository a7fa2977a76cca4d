"""Ledger entries: every move of money in a wallet."""

from datetime import datetime
from typing import Final

import strawberry

from domain import ids
from domain.ledger import Entry, EntryType
from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.identifiers import ledger_entry_id
from graphql_api.interfaces import Node, PageInfo
from graphql_api.reservations import Reservation
from graphql_api.scalars import Amount, Count
from graphql_api.wallets import LotDraw, LotRepayment
from infra.queries.ledger_entries import EntryPage

HASH: Final = """SHA-256, in hexadecimal, over the 32 bytes of previousHash and the entry's own bytes: five netstrings, one after
the other. A netstring is the length of a text in bytes (decimal), a colon, the text in UTF-8, and a comma.

1. These fields, joined by single blanks: tenant, wallet, sequence, type, amount, grantedAfter, availableAfter,
   reservedAfter, consumedAfter, expiredAfter, the id of the reservation, createdAt, lots, repayments.
2. reference
3. note
4. actor
5. idempotencyKey

An id stands without its prefix, as 32 hexadecimal digits. An amount stands as a whole number of nano-units, which is
the decimal x 10^9: "-0.25" is -250000000. createdAt stands as it is answered here, in UTC with six fractional digits
and "Z". lots are "lot:amount" and repayments "lot:consumed:granted", in the order in which they are answered, joined by
commas. No reservation is "-", and so are no repayments. A reference or note that is null is an empty text: "0:,"."""


@strawberry.type(
    description="One immutable move in a wallet. Entries are numbered without gaps, and each carries the hash of the "
    "one before it, so that a statement can be verified: `hash` says how."
)
class LedgerEntry(Node):
    """One immutable move in a wallet."""

    entry: strawberry.Private[Entry]
    tenant: strawberry.ID = strawberry.field(description="The tenant that it belongs to: ten_...")
    wallet: strawberry.ID = strawberry.field(description="The wallet that it belongs to: wal_...")
    sequence: Count = strawberry.field(description="Its number in the wallet, from 1.")
    type: EntryType = strawberry.field(description="What kind of move it is.")
    amount: Amount = strawberry.field(description="How much was moved; negative where something was taken back.")
    granted_after: Amount = strawberry.field(description="What had come in, ever, after it.")
    available_after: Amount = strawberry.field(description="What was available after it.")
    reserved_after: Amount = strawberry.field(description="What was reserved after it.")
    consumed_after: Amount = strawberry.field(description="What had been charged, ever, after it.")
    expired_after: Amount = strawberry.field(description="What had expired unused, ever, after it.")
    lots: list[LotDraw] = strawberry.field(description="The lots that it moved, and how much of each.")
    repayments: list[LotRepayment] = strawberry.field(
        description="What the lots that it filled took over from the wallet's debt; empty if there was none."
    )
    reference: str | None = strawberry.field(description="What it belongs to outside, such as a payment.")
    note: str | None = strawberry.field(description="Why, in words.")
    actor: str = strawberry.field(description="Who made it: the key that was used, or the system.")
    idempotency_key: str = strawberry.field(
        description="The idempotency key of the request that made it; empty where none was sent."
    )
    created_at: datetime = strawberry.field(description="When it was made.")
    hash: str = strawberry.field(description=HASH)
    previous_hash: str = strawberry.field(description="The hash of the entry before it; zeros for the first.")

    @field(description="The reservation that it was made for; null for a grant or an adjustment.")
    async def reservation(self, info: Info) -> Reservation | None:
        identifier = self.entry.voucher.reservation_id
        found = None if identifier is None else await info.context.loaders.reservations.load(identifier)
        return None if found is None else Reservation.of(found)

    @classmethod
    def of(cls, entry: Entry) -> "LedgerEntry":
        voucher = entry.voucher
        return cls(
            entry=entry,
            id=strawberry.ID(ledger_entry_id(entry.wallet_id, entry.sequence)),
            tenant=strawberry.ID(ids.public("tenant", entry.tenant_id)),
            wallet=strawberry.ID(ids.public("wallet", entry.wallet_id)),
            sequence=Count(entry.sequence),
            type=entry.type,
            amount=Amount(entry.amount),
            granted_after=Amount(entry.granted_after),
            available_after=Amount(entry.available_after),
            reserved_after=Amount(entry.reserved_after),
            consumed_after=Amount(entry.consumed_after),
            expired_after=Amount(entry.expired_after),
            lots=[LotDraw(draw=draw, amount=Amount(draw.amount)) for draw in entry.draws],
            repayments=[LotRepayment.of(repayment) for repayment in entry.repayments],
            reference=voucher.reference or None,
            note=voucher.note or None,
            actor=voucher.actor,
            idempotency_key=voucher.idempotency_key,
            created_at=voucher.at,
            hash=entry.hash.hex(),
            previous_hash=entry.previous_hash.hex(),
        )


@strawberry.type(description="An entry in its list.")
class LedgerEntryEdge:
    """An entry in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: LedgerEntry = strawberry.field(description="The entry.")


def _edges(page: strawberry.Parent[EntryPage]) -> list[LedgerEntryEdge]:
    return [LedgerEntryEdge(cursor=str(entry.sequence), node=LedgerEntry.of(entry)) for entry in page.entries]


def _page_info(page: strawberry.Parent[EntryPage]) -> PageInfo:
    return PageInfo.of(page, _edges(page))


@strawberry.type(description="A page of a wallet's ledger.")
class LedgerEntryConnection:
    """A page of a wallet's ledger."""

    edges: list[LedgerEntryEdge] = strawberry.field(resolver=_edges, description="The entries, newest first.")
    page_info: PageInfo = strawberry.field(resolver=_page_info, description="Where this page stands.")
