"""Wallets: the order in which lots burn, what is used, and the status that goes with it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.wallets import (
    BalanceStatus,
    BucketType,
    Lot,
    LotSource,
    Unit,
    WalletKind,
    in_burn_order,
    status,
    used_percent,
)
from tests.domain.builders import NOW, TENANT_ID, empty_wallet, nano, number

OK, WARNING, EXHAUSTED = BalanceStatus.OK, BalanceStatus.WARNING, BalanceStatus.EXHAUSTED


def lot(value: int, source: LotSource, days: int = 0) -> Lot:
    return Lot(number(value), source, 1, 1, 0, 0, 0, NOW + timedelta(days=days), None)


def test_top_ups_burn_before_adjustments_and_these_before_the_plan_newest_first() -> None:
    plan, newer_plan = lot(1, LotSource.PLAN), lot(6, LotSource.PLAN, 3)
    old, new = lot(2, LotSource.TOP_UP), lot(3, LotSource.TOP_UP, 1)
    gift, newer_gift = lot(4, LotSource.ADJUSTMENT, 5), lot(5, LotSource.ADJUSTMENT, 6)
    given_order = (plan, old, gift, new, newer_gift, newer_plan)
    assert in_burn_order(empty_wallet(), given_order) == (new, old, newer_gift, gift, newer_plan, plan)


def test_of_lots_of_one_moment_the_newer_id_burns_first() -> None:
    first, second = lot(1, LotSource.TOP_UP), lot(2, LotSource.TOP_UP)
    assert in_burn_order(empty_wallet(), (first, second)) == (second, first)


def test_metered_money_burns_oldest_first_whatever_its_source() -> None:
    first, second, third = lot(9, LotSource.TOP_UP, -2), lot(1, LotSource.ADJUSTMENT, -1), lot(2, LotSource.TOP_UP)
    assert in_burn_order(empty_wallet("metered"), (third, second, first)) == (first, second, third)


@pytest.mark.parametrize("key", ["credits", "metered"])
def test_the_overdraft_is_always_last(key: str) -> None:
    wallet = empty_wallet(key)
    overdraft = lot(1, LotSource.ADJUSTMENT, 9 if key == "credits" else -9)._replace(id=wallet.id)
    others = (lot(2, LotSource.PLAN), lot(3, LotSource.ADJUSTMENT), lot(4, LotSource.TOP_UP))
    assert in_burn_order(wallet, (overdraft, *others))[-1] is overdraft


@given(st.lists(st.tuples(st.sampled_from(LotSource), st.integers(-5, 5)), max_size=7), st.booleans())
def test_burn_order_is_the_same_however_the_lots_arrive(lots: list[tuple[LotSource, int]], metered: bool) -> None:
    wallet = empty_wallet("metered" if metered else "credits")
    arrived = tuple(lot(index, source, days) for index, (source, days) in enumerate(lots))
    ordered = in_burn_order(wallet, arrived)
    assert in_burn_order(wallet, tuple(reversed(arrived))) == ordered
    assert sorted(found.id for found in ordered) == sorted(found.id for found in arrived)


def test_a_new_wallet_is_what_its_key_says() -> None:
    metered, credits_, storage = (empty_wallet(key) for key in ("metered", "credits", "lead_storage"))
    assert (metered.kind, metered.unit, metered.low_balance) == (WalletKind.METERED, Unit.USD, nano("50"))
    assert (credits_.kind, credits_.unit, credits_.low_balance) == (WalletKind.PLATFORM, Unit.CREDIT, None)
    assert (storage.bucket_type, credits_.bucket_type) == (BucketType.CAPACITY, BucketType.CONSUMABLE)
    assert (metered.tenant_id, metered.sequence, metered.head_hash, metered.lots) == (TENANT_ID, 0, bytes(32), ())


def test_debt_is_what_is_below_zero() -> None:
    assert empty_wallet()._replace(available=-7).debt == 7
    assert empty_wallet()._replace(available=7).debt == 0


def test_a_lot_is_open_while_anything_of_it_can_move() -> None:
    found = lot(1, LotSource.PLAN)
    assert found.is_open
    assert found._replace(available=0, reserved=1).is_open
    assert found._replace(available=-1).is_open
    assert not found._replace(available=0, consumed=1).is_open


def test_used_percent_of_a_consumable_wallet_is_consumed_of_granted_over_active_lots() -> None:
    assert used_percent(empty_wallet(), nano("300"), nano("240")) == 8_000
    assert used_percent(empty_wallet(), nano("300"), nano("239.999999999")) == 7_999
    assert used_percent(empty_wallet(), nano("300"), nano("310")) == 10_333
    assert used_percent(empty_wallet(), 0, 0) == 0
    assert used_percent(empty_wallet(), nano("-1"), nano("1")) == 0


def test_used_percent_of_capacity_is_taken_of_its_ceiling() -> None:
    storage = empty_wallet("lead_storage")
    assert used_percent(storage._replace(granted=nano("50"), reserved=nano("49")), 0, 0) == 9_800
    assert used_percent(storage._replace(granted=0, available=-1, reserved=1), 0, 0) == 0


@pytest.mark.parametrize(
    ("used", "expected"), [(0, OK), (7_999, OK), (8_000, WARNING), (9_999, WARNING), (10_000, EXHAUSTED)]
)
def test_a_status_warns_from_80_percent_and_is_exhausted_at_100(used: int, expected: BalanceStatus) -> None:
    assert status(empty_wallet()._replace(available=1), used) is expected


def test_below_zero_is_exhausted_whatever_was_used() -> None:
    assert status(empty_wallet()._replace(available=-1), 0) is EXHAUSTED
    assert status(empty_wallet(), 0) is OK


def test_a_metered_wallet_warns_under_its_threshold_and_not_at_it() -> None:
    metered = empty_wallet("metered")
    assert status(metered._replace(available=nano("49.999999999")), 0) is WARNING
    assert status(metered._replace(available=nano("50")), 0) is OK
    assert status(metered._replace(available=nano("50")), 10_000) is EXHAUSTED
