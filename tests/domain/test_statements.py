"""Statements: records that hold all that a hash covers, and say where the chain stood before and after."""

from datetime import timedelta
from hashlib import sha256
from typing import Any

from domain import ledger
from domain.ids import public
from domain.ledger import Draw, EntryType, Voucher, entry_bytes
from domain.statements import (
    BEGINNING,
    COLUMNS,
    FORMAT,
    Standing,
    Statement,
    closing_record,
    entry_record,
    opening_record,
)
from domain.wallets import LotSource
from tests.domain.builders import CYCLE_END, NOW, empty_wallet, granted_lot, nano, number

LOT, RESERVATION = number(1), number(2)


def test_a_record_of_an_entry_has_what_its_hash_covers_and_no_field_without_a_column() -> None:
    granted = granted_lot(empty_wallet(), "1", LOT, LotSource.PLAN, expires_at=CYCLE_END)
    voucher = Voucher("key:worker", NOW, RESERVATION, "inv-7", "why", "k")
    spent = granted.then(ledger.settle(granted.wallet, (), nano("2.5"), voucher))
    gift = ledger.new_lot(number(3), LotSource.ADJUSTMENT, NOW, None)
    repaid = spent.then(
        ledger.grant(spent.wallet, EntryType.ADJUSTED, gift, nano("4"), voucher._replace(reservation_id=None))
    )
    charge, given = entry_record(repaid.entries[2]), entry_record(repaid.entries[3])
    assert charge == {
        "record": "entry",
        "sequence": "3",
        "createdAt": "2026-11-21T03:00:00.000000Z",
        "type": "CONSUMED",
        "amount": "2.5",
        "grantedAfter": "1",
        "availableAfter": "-1.5",
        "reservedAfter": "0",
        "consumedAfter": "2.5",
        "expiredAfter": "0",
        "reservation": public("reservation", RESERVATION),
        "reference": "inv-7",
        "note": "why",
        "actor": "key:worker",
        "idempotencyKey": "k",
        "lots": [
            {"lot": public("lot", LOT), "amount": "1"},
            {"lot": public("lot", repaid.wallet.id), "amount": "1.5"},
        ],
        "repayments": [],
        "tenant": public("tenant", repaid.wallet.tenant_id),
        "wallet": public("wallet", repaid.wallet.id),
        "previousHash": repaid.entries[1].hash.hex(),
        "hash": sha256(repaid.entries[1].hash + entry_bytes(repaid.entries[2])).hexdigest(),
    }
    assert given["reservation"] == ""
    assert given["repayments"] == [{"lot": public("lot", number(3)), "consumed": "1.5", "granted": "0"}]
    assert tuple(charge) == COLUMNS[: len(charge)]


def test_the_opening_and_the_closing_record_say_where_the_chain_stood() -> None:
    posting = granted_lot(empty_wallet(), "1", LOT, LotSource.PLAN, expires_at=CYCLE_END)
    posting = posting.then(ledger.reserve(posting.wallet, nano("0.25"), Voucher("key:worker", NOW)))
    posting = posting.then(ledger.release(posting.wallet, (Draw(LOT, nano("0.25")),), Voucher("key:worker", NOW)))
    first, second, third = [Standing(entry.sequence, entry.hash, entry[5:10]) for entry in posting.entries]
    wallet = posting.wallet

    def statement(**changed: Any) -> Statement:
        facts = {"start": None, "end": None, "opening": BEGINNING, "closing": third} | changed
        return Statement(
            wallet.tenant_id, wallet.id, "credits", wallet.unit, zone="UTC", head=third, made_at=NOW, **facts
        )

    whole, part = statement(), statement(start=NOW, end=NOW + timedelta(days=1), opening=first, closing=second)
    owner = {"tenant": public("tenant", wallet.tenant_id), "wallet": public("wallet", wallet.id)}
    nothing = dict.fromkeys(["grantedAfter", "availableAfter", "reservedAfter", "consumedAfter", "expiredAfter"], "0")
    head = {"headSequence": "3", "headHash": third.hash.hex(), "madeAt": "2026-11-21T03:00:00.000000Z"}
    about = {"format": FORMAT, "walletKey": "credits", "unit": "CREDIT", "timeZone": "UTC"} | head
    assert opening_record(whole) == (
        {"record": "opening", "sequence": "0", "hash": "0" * 64, "from": "", "to": "", "lastSequence": "3"}
        | nothing
        | owner
        | about
    )
    period = {"from": "2026-11-21T03:00:00.000000Z", "to": "2026-11-22T03:00:00.000000Z", "lastSequence": "2"}
    standing = {"sequence": "1", "hash": first.hash.hex(), "grantedAfter": "1", "availableAfter": "1"}
    assert opening_record(part) == {"record": "opening"} | nothing | owner | about | period | standing
    balances = {"grantedAfter": "1", "availableAfter": "0.75", "reservedAfter": "0.25"}
    assert closing_record(part) == (
        {"record": "closing", "sequence": "2", "hash": second.hash.hex()} | nothing | balances | owner
    )
    assert set(opening_record(part)) <= set(COLUMNS)
