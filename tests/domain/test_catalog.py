"""Plans and bundles that make no sense are refused."""

from collections.abc import Callable

import pytest

from domain.catalog import Bundle, Catalog, Plan
from domain.prices import PriceList
from domain.rates import RateCards

INDIA = Plan("professional", "Professional", "india", "INR", 4_999_900, (("credits", 300),), 15, 25)
MIDDLE_EAST = Plan("professional", "Professional", "middle_east", "AED", 350_000, (("credits", 300),), 15, 25)
FEW = Bundle("few", "india", "credits", 50, 210_000, "INR")
MANY = Bundle("many", "india", "credits", 250, 1_050_000, "INR")
ABROAD = Bundle("few", "middle_east", "credits", 50, 9_200, "AED")
CATALOG = Catalog(RateCards([]), PriceList([]), (), (INDIA, MIDDLE_EAST), (FEW, ABROAD, MANY))


def test_a_plan_is_found_by_region_and_key() -> None:
    assert CATALOG.plan("india", "professional") is INDIA
    assert CATALOG.plan("middle_east", "professional") is MIDDLE_EAST
    assert CATALOG.plan("india", "growth") is None


def test_a_region_sells_its_own_bundles() -> None:
    assert CATALOG.bundles_of("india") == (FEW, MANY)
    assert CATALOG.bundles_of("antarctica") == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Plan("p", "P", "india", "INR", 0, (), 1, 1),
        lambda: Plan("p", "P", "india", "INR", 1, (), 0, 1),
        lambda: Plan("p", "P", "india", "INR", 1, (("credits", 1), ("credits", 2)), 1, 1),
        lambda: Plan("p", "P", "india", "INR", 1, (("credits", -1),), 1, 1),
        lambda: Bundle("b", "india", "credits", 0, 1, "INR"),
        lambda: Bundle("b", "india", "credits", 1, 0, "INR"),
    ],
)
def test_plans_and_bundles_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(AssertionError):
        make()
