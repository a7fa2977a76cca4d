"""Wallets, their lots, and what refers to them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry.types.base import StrawberryOptional
from strawberry.types.lazy_type import LazyType

from domain import ids, wallets
from domain.ledger import Draw, EntryType, Repayment
from domain.wallets import BalanceStatus, LotSource, Unit, WalletKind
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.identifiers import parse_sequence
from graphql_api.interfaces import Node, page_size
from graphql_api.refusals import IdempotencyKeyReused, InsufficientFunds, InvalidInput, NotFound, refusal_of
from graphql_api.scalars import Amount, Count
from infra.queries import ledger_entries as entries_query
from infra.queries import lots as lots_query
from infra.queries import wallets as wallets_query
from infra.queries.ledger_entries import EntryPage
from infra.queries.recharges import RechargeView
from infra.queries.wallets import WalletView
from infra.services import wallets as service
from infra.services.callers import Refused


@strawberry.type(
    description="One grant inside a wallet. granted = available + reserved + consumed + expired, at every moment."
)
class Lot(Node):
    """One grant inside a wallet."""

    source: LotSource = strawberry.field(description="Where it came from.")
    granted: Amount = strawberry.field(description="How much it was.")
    available: Amount = strawberry.field(description="What may still be drawn; below zero where it carries a debt.")
    reserved: Amount = strawberry.field(description="What open reservations hold of it.")
    consumed: Amount = strawberry.field(description="What was charged to it.")
    granted_at: datetime = strawberry.field(description="When it was credited.")
    expires_at: datetime | None = strawberry.field(
        description="When what is left of it expires; null if it never does."
    )

    @classmethod
    def of(cls, lot: wallets.Lot) -> "Lot":
        return cls(
            id=strawberry.ID(ids.public("lot", lot.id)),
            source=lot.source,
            granted=Amount(lot.granted),
            available=Amount(lot.available),
            reserved=Amount(lot.reserved),
            consumed=Amount(lot.consumed),
            granted_at=lot.granted_at,
            expires_at=lot.expires_at,
        )


@strawberry.type(
    description="A balance of one unit. granted = available + reserved + consumed + expired, at every moment."
)
class Wallet(Node):
    """A balance of one unit."""

    view: strawberry.Private[WalletView]
    key: str = strawberry.field(
        description="Its name in the tenant: credits, metered, or a bucket such as email_sends."
    )
    kind: WalletKind = strawberry.field(description="Whether the plan fills it, or prepayment.")
    unit: Unit = strawberry.field(description="What it counts.")
    available: Amount = strawberry.field(
        description="What may be held now; what has expired by now counts no more. Below zero while there is a debt."
    )
    reserved: Amount = strawberry.field(description="What open reservations hold.")
    consumed: Amount = strawberry.field(description="What was charged, ever.")
    granted: Amount = strawberry.field(description="What came in, ever: allocated, topped up and adjusted.")
    expired: Amount = strawberry.field(description="What expired unused, ever.")
    debt: Amount = strawberry.field(
        description="What is below zero, as a positive amount; what comes in fills it first."
    )
    used_percent: float = strawberry.field(
        description="Consumed of granted over the lots that are active now, 0 if there are none; "
        "for capacity: reserved of granted."
    )
    status: BalanceStatus = strawberry.field(description="How much of it is used, in three steps.")
    version: Count = strawberry.field(description="The number of its newest ledger entry; it only grows.")
    head_hash: str = strawberry.field(
        description="The hash of its newest ledger entry, which stands for all of them; zeros where it has none. Note it with "
        "`version`: every later statement must hold an entry of this number with this hash."
    )
    as_of: datetime = strawberry.field(description="The moment that these figures are of.")

    @field(description="Its lots in burn-down order: the first is drawn first.")
    async def lots(
        self,
        info: Info,
        active_only: Annotated[
            bool | None, strawberry.argument(description="Leave out lots that have expired and hold nothing any more.")
        ] = True,
    ) -> list[Lot]:
        found = await lots_query.of_wallet(
            info.context.application, self.view.wallet, active_only=active_only is not False
        )
        return [Lot.of(lot) for lot in found]

    # The type of entries refers to reservations, and those to wallets: it is named, not imported.
    @field(
        graphql_type=LazyType("LedgerEntryConnection", "graphql_api.ledger_entries"),
        description="Its ledger, newest first.",
    )
    async def entries(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
        types: Annotated[
            list[EntryType] | None, strawberry.argument(description="Only entries of these types; null for all.")
        ] = None,
    ) -> EntryPage:
        before = None if after is None else parse_sequence(after)
        if after is not None and before is None:
            raise bad_input("after must be a cursor of this list")
        wallet = self.view.wallet
        return await entries_query.page(
            info.context.application, wallet.tenant_id, wallet.id, page_size(first, 20), before, types
        )

    # Its type refers to wallets too.
    @field(
        graphql_type=StrawberryOptional(LazyType("AutoRecharge", "graphql_api.recharges")),  # type: ignore[arg-type]  # it takes what stands for a type, too
        description="When and by how much it tops itself up; null where that was never set.",
    )
    async def auto_recharge(self, info: Info) -> RechargeView | None:
        return await info.context.loaders.recharges.load(self.view.wallet.key)

    @classmethod
    def of(cls, view: WalletView) -> "Wallet":
        wallet = view.wallet
        return cls(
            view=view,
            id=strawberry.ID(ids.public("wallet", wallet.id)),
            key=wallet.key,
            kind=wallet.kind,
            unit=wallet.unit,
            available=Amount(wallet.available),
            reserved=Amount(wallet.reserved),
            consumed=Amount(wallet.consumed),
            granted=Amount(wallet.granted),
            expired=Amount(wallet.expired),
            debt=Amount(wallet.debt),
            used_percent=view.used_percent / 100,
            status=view.status,
            version=Count(wallet.sequence),
            head_hash=wallet.head_hash.hex(),
            as_of=view.as_of,
        )


@strawberry.type(description="What a reservation holds in one wallet.")
class WalletHold:
    """What is held in one wallet."""

    wallet_key: strawberry.Private[str]
    amount: Amount = strawberry.field(description="How much, in the wallet's unit.")

    @field(description="The wallet, as it stands now.")
    async def wallet(self, info: Info) -> Wallet:
        return await wallet_by_key(info, self.wallet_key)


@strawberry.type(description="What was charged to one wallet.")
class Charge:
    """What was charged to one wallet."""

    wallet_key: strawberry.Private[str]
    amount: Amount = strawberry.field(description="How much, in the wallet's unit.")

    @field(description="The wallet, as it stands now.")
    async def wallet(self, info: Info) -> Wallet:
        return await wallet_by_key(info, self.wallet_key)


@strawberry.type(description="The part of a move that falls on one lot.")
class LotDraw:
    """The part of a move that falls on one lot."""

    draw: strawberry.Private[Draw]
    amount: Amount = strawberry.field(description="How much; negative where a lot gives back what it was granted.")

    @field(description="The lot, as it stands now.")
    async def lot(self, info: Info) -> Lot:
        return await _lot_by_id(info, self.draw.lot_id)


@strawberry.type(description="What a lot took over from the debt of its wallet.")
class LotRepayment:
    """What a lot took over from the debt of its wallet."""

    repayment: strawberry.Private[Repayment]
    consumed: Amount = strawberry.field(description="Of what had been charged below zero.")
    granted: Amount = strawberry.field(description="Of what had been taken back below zero.")

    @field(description="The lot, as it stands now.")
    async def lot(self, info: Info) -> Lot:
        return await _lot_by_id(info, self.repayment.lot_id)

    @classmethod
    def of(cls, repayment: Repayment) -> "LotRepayment":
        return cls(repayment=repayment, consumed=Amount(repayment.consumed), granted=Amount(repayment.granted))


async def _lot_by_id(info: Info, lot_id: UUID) -> Lot:
    """A lot that an entry names, and that is therefore its tenant's."""
    lot = await info.context.loaders.lots.load(lot_id)
    assert lot is not None, f"lot {lot_id} of an entry exists"
    return Lot.of(lot)


async def wallet_by_key(info: Info, key: str) -> Wallet:
    """A wallet that is known to exist."""
    view = await info.context.loaders.wallets_by_key.load(key)
    assert view is not None, f"wallet {key} of a hold or charge exists"
    return Wallet.of(view)


@strawberry.input(description="Put into a wallet, or take back from it.")
class AdjustWalletInput:
    """Put into a wallet, or take back."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    wallet_key: str = strawberry.field(description="The wallet.")
    amount: Amount = strawberry.field(description="In the wallet's unit; negative takes back, below zero if need be.")
    note: str = strawberry.field(description="Why, for the ledger.")


AdjustWalletResult = Annotated[
    Wallet | InvalidInput | InsufficientFunds | NotFound | IdempotencyKeyReused,
    strawberry.union("AdjustWalletResult", description="The wallet after the adjustment, or why it was refused."),
]


@strawberry.type
class WalletQueries:
    """What can be asked about wallets."""

    @field(description="One wallet; null if the tenant has none of this key.")
    async def wallet(
        self, info: Info, key: Annotated[str, strawberry.argument(description="Such as credits or metered.")]
    ) -> Wallet | None:
        view = await info.context.loaders.wallets_by_key.load(key)
        return None if view is None else Wallet.of(view)

    @field(description="All wallets of the tenant, or those of one key, or those whose balance stands as asked.")
    async def wallets(
        self,
        info: Info,
        key: Annotated[
            str | None,
            strawberry.argument(description="Only the wallet of this key, such as credits or metered; null for all."),
        ] = None,
        statuses: Annotated[
            list[BalanceStatus] | None,
            strawberry.argument(description="Only those in one of these states, such as what runs low; null for all."),
        ] = None,
    ) -> list[Wallet]:
        context = info.context
        found = await wallets_query.list_wallets(context.application, context.caller.tenant_id)
        return [
            Wallet.of(view)
            for view in found
            if (key is None or view.wallet.key == key) and (statuses is None or view.status in statuses)
        ]


@strawberry.type
class WalletMutations:
    """What can be done with wallets."""

    @field(description="Operators: put into a wallet or take back from it, with a note.")
    async def adjust_wallet(
        self,
        info: Info,
        given: Annotated[AdjustWalletInput, strawberry.argument(name="input", description="What to move.")],
    ) -> AdjustWalletResult:
        context = info.context
        answer = await service.adjust_wallet(
            context.application, context.caller, given.idempotency_key, given.wallet_key, given.amount, given.note
        )
        return refusal_of(answer) if isinstance(answer, Refused) else await wallet_by_key(info, answer.wallet.key)
