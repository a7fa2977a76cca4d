"""Plans and bundles that make no sense are refused."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from domain.money import NANO
from domain.plans import Bundle, Plan

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
LOCAL = datetime(2026, 1, 1)  # noqa: DTZ001  # what must be refused


def plan(
    price: int = 1,
    allocations: tuple[tuple[str, int], ...] = (),
    seats: int = 1,
    agents: int = 1,
    at: datetime = JANUARY,
) -> Plan:
    return Plan("p", "P", "india", "INR", price, allocations, seats, agents, at, JANUARY)


def bundle(amount: int = 1, price: int = 1, at: datetime = JANUARY, wallet_key: str = "credits") -> Bundle:
    return Bundle("b", "india", wallet_key, amount, price, "INR", JANUARY, at)


def test_a_plan_says_what_it_gives_a_wallet() -> None:
    chosen = plan(allocations=(("credits", 300), ("email_sends", 10)))
    assert (chosen.allocation("credits"), chosen.allocation("email_sends"), chosen.allocation("gold")) == (300, 10, 0)


def test_capacity_comes_in_whole_units() -> None:
    assert plan(allocations=(("lead_storage", 2 * NANO),)).allocation("lead_storage") == 2 * NANO


def test_plans_and_bundles_of_two_regions_may_share_a_key() -> None:
    assert (plan().identity, bundle().identity) == (("india", "p"), ("india", "b"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: plan(price=0),
        lambda: plan(seats=0),
        lambda: plan(agents=0),
        lambda: plan(allocations=(("credits", 1), ("credits", 2))),
        lambda: plan(allocations=(("credits", -1),)),
        lambda: plan(allocations=(("metered", NANO),)),
        lambda: plan(allocations=(("lead_storage", NANO + 1),)),
        lambda: plan(at=LOCAL),
        lambda: bundle(amount=0),
        lambda: bundle(price=0),
        lambda: bundle(at=LOCAL),
        lambda: bundle(wallet_key="metered"),
        lambda: bundle(wallet_key="email_accounts"),
    ],
)
def test_plans_and_bundles_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(AssertionError):
        make()
