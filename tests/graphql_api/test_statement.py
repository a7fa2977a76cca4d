"""A statement is verified with what the API answers and says of `hash`, and with nothing of ours."""

import re
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest

from tests.graphql_api.conftest import Clients

pytestmark = pytest.mark.anyio

PAGE = """query ($after: String) { wallet(key: "credits") { id version entries(first: 4, after: $after) {
    edges { node { tenant wallet sequence type amount grantedAfter availableAfter reservedAfter consumedAfter
        expiredAfter reservation { id } createdAt lots { lot { id } amount } repayments { lot { id } consumed granted }
        reference note actor idempotencyKey hash previousHash } }
    pageInfo { hasNextPage endCursor } } } }"""
AMOUNTS = ("amount", "grantedAfter", "availableAfter", "reservedAfter", "consumedAfter", "expiredAfter")


def bare(public_id: str) -> str:
    return public_id.partition("_")[2]


def nano(amount: str) -> str:
    return str(int(Decimal(amount) * 10**9))


def hash_of(entry: dict[str, Any]) -> str:
    reservation = entry["reservation"]
    lots = [f"{bare(part['lot']['id'])}:{nano(part['amount'])}" for part in entry["lots"]]
    repayments = [
        f"{bare(part['lot']['id'])}:{nano(part['consumed'])}:{nano(part['granted'])}" for part in entry["repayments"]
    ]
    fields = [bare(entry["tenant"]), bare(entry["wallet"]), entry["sequence"], entry["type"]]
    fields += [nano(entry[name]) for name in AMOUNTS]
    fields += [bare(reservation["id"]) if reservation else "-", entry["createdAt"]]
    fields += [",".join(lots), ",".join(repayments) or "-"]
    texts = [" ".join(fields), entry["reference"] or "", entry["note"] or "", entry["actor"], entry["idempotencyKey"]]
    covered = b"".join(b"%d:%b," % (len(text.encode()), text.encode()) for text in texts)
    return sha256(bytes.fromhex(entry["previousHash"]) + covered).hexdigest()


async def test_a_tenant_verifies_its_statement_from_the_api_alone(clients: Clients) -> None:
    operator, service = clients.operator, clients.service
    held = await service.reserve("hëld", "blog_post")
    later = await service.reserve("later", "blog_post")
    adjust = {"walletKey": "credits"}
    await operator.do("adjustWallet", **adjust, idempotencyKey="back", amount="-297.5", note="zurück, bitte: €")
    consumed = await service.do("consume", idempotencyKey="c", reservationId=held["id"], quantity="3")
    assert consumed["__typename"] == "Consumed"
    await operator.do("adjustWallet", **adjust, idempotencyKey="gift", amount="2.25", note="a part of the debt")
    await operator.do("adjustWallet", **adjust, idempotencyKey="gift 2", amount="10", note="all of the debt")
    await service.do("release", idempotencyKey="r", reservationId=later["id"], reason="no more")

    wallet = (await clients.member.ask(PAGE))["wallet"]
    page, entries = wallet["entries"], [edge["node"] for edge in wallet["entries"]["edges"]]
    assert page["pageInfo"]["hasNextPage"], "there are several pages"
    while page["pageInfo"]["hasNextPage"]:
        page = (await clients.member.ask(PAGE, after=page["pageInfo"]["endCursor"]))["wallet"]["entries"]
        entries += [edge["node"] for edge in page["edges"]]
    entries.reverse()

    assert [entry["sequence"] for entry in entries] == [str(number) for number in range(1, int(wallet["version"]) + 1)]
    previous = "0" * 64
    for entry in entries:
        assert entry["previousHash"] == previous, entry
        assert entry["hash"] == hash_of(entry), entry
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry["createdAt"])
        assert entry["wallet"] == wallet["id"]
        previous = entry["hash"]
    assert min(Decimal(entry["availableAfter"]) for entry in entries) < 0, "there was a debt"
    repaid = [part for entry in entries for part in entry["repayments"]]
    assert any(part["consumed"] != "0" for part in repaid)
    assert any(part["granted"] != "0" for part in repaid)

    entries[2]["note"] = "something else"
    assert entries[2]["hash"] != hash_of(entries[2])
