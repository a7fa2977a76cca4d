"""What a feature's rate holds and charges, and which card counts when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import NANO
from domain.rates import (
    ChargeType,
    Rate,
    RateCard,
    RateCards,
    RouteClass,
    charge,
    default_estimate,
    estimate,
    hold,
)
from domain.wallets import Unit

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
CENT = NANO // 100


def rate(
    charge_type: ChargeType = ChargeType.FIXED,
    amount: int = 2 * NANO,
    *,
    feature: str = "blog_post",
    wallet_key: str = "credits",
    floor: int | None = None,
    estimated: int = 600_000_000,
    bundle: str | None = None,
) -> Rate:
    return Rate(feature, feature, charge_type, wallet_key, amount, floor, estimated, RouteClass.OTHER, bundle=bundle)


def card(
    *rates: Rate,
    version: int = 1,
    effective_from: datetime = JANUARY,
    effective_to: datetime | None = None,
    published_at: datetime = JANUARY,
    credit_value: int = NANO // 2,
    markup: int = 1_300_000_000,
) -> RateCard:
    return RateCard(version, effective_from, effective_to, published_at, credit_value, markup, rates)


CARD = card()
COST_PLUS = rate(ChargeType.COST_PLUS, 0, feature="llm_call", wallet_key="metered", floor=CENT)


def test_a_fixed_rate_holds_and_charges_credits_times_quantity_whatever_it_cost() -> None:
    assert hold(rate(), CARD, Unit.CREDIT, 3 * NANO, 99 * NANO) == 6 * NANO
    assert charge(rate(), CARD, Unit.CREDIT, 3 * NANO, 0, 99 * NANO) == 6 * NANO


def test_a_tenth_of_a_credit_is_exact_and_a_smaller_product_is_rounded_up() -> None:
    action = rate(amount=NANO // 10)
    assert charge(action, CARD, Unit.CREDIT, 3 * NANO, 0, 0) == 300_000_000
    assert charge(action, CARD, Unit.CREDIT, 1, 0, 0) == 1


def test_a_bundle_charges_as_a_fixed_rate() -> None:
    score = rate(ChargeType.BUNDLED, NANO // 4, bundle="content_score")
    assert hold(score, CARD, Unit.CREDIT, NANO, 0) == 250_000_000
    assert charge(score, CARD, Unit.CREDIT, NANO, 0, 0) == 250_000_000


def test_a_rate_per_unit_charges_the_actual_quantity() -> None:
    send = rate(ChargeType.PER_UNIT, NANO, wallet_key="email_sends")
    assert hold(send, CARD, Unit.CREDIT, 5_000 * NANO, 0) == 5_000 * NANO
    assert charge(send, CARD, Unit.CREDIT, 4_999 * NANO, 0, 0) == 4_999 * NANO


def test_a_thousand_looked_up_and_six_hundred_found_charges_six_hundred() -> None:
    find = rate(ChargeType.PER_RESULT, 2 * CENT, wallet_key="metered")
    assert hold(find, CARD, Unit.USD, 1_000 * NANO, 0) == 20 * NANO
    assert charge(find, CARD, Unit.USD, 1_000 * NANO, 600, 15 * NANO) == 12 * NANO
    assert charge(find, CARD, Unit.USD, 1_000 * NANO, 0, 15 * NANO) == 0


def test_a_free_feature_holds_and_charges_nothing() -> None:
    free = rate(ChargeType.FREE, 0)
    assert hold(free, CARD, Unit.CREDIT, 7 * NANO, NANO) == 0
    assert charge(free, CARD, Unit.CREDIT, 7 * NANO, 7, NANO) == 0


def test_cost_plus_in_dollars_is_cost_times_markup() -> None:
    assert hold(COST_PLUS, CARD, Unit.USD, NANO, NANO) == 1_300_000_000
    assert charge(COST_PLUS, CARD, Unit.USD, NANO, 0, 450_000) == 585_000


def test_cost_plus_in_credits_is_divided_by_the_credits_value() -> None:
    assert hold(COST_PLUS, CARD, Unit.CREDIT, NANO, NANO) == 2_600_000_000
    assert charge(COST_PLUS, CARD, Unit.CREDIT, NANO, 0, 450_000) == 1_170_000


def test_cost_plus_is_rounded_up() -> None:
    assert charge(COST_PLUS, CARD, Unit.USD, NANO, 0, 1) == 2
    assert charge(COST_PLUS, CARD, Unit.CREDIT, NANO, 0, 1) == 3
    assert charge(COST_PLUS, card(credit_value=3 * NANO), Unit.CREDIT, NANO, 0, 1) == 1


def test_the_floor_is_the_least_that_is_held_and_is_not_charged() -> None:
    assert hold(COST_PLUS, CARD, Unit.USD, NANO, 450_000) == CENT
    assert charge(COST_PLUS, CARD, Unit.USD, NANO, 0, 450_000) == 585_000
    assert hold(COST_PLUS, CARD, Unit.USD, NANO, 0) == CENT
    assert charge(COST_PLUS, CARD, Unit.USD, NANO, 0, 0) == 0


def test_the_floor_is_converted_to_credits_too_and_rounded_up() -> None:
    assert hold(COST_PLUS, CARD, Unit.CREDIT, NANO, 0) == 2 * CENT
    assert hold(COST_PLUS, card(credit_value=3 * NANO), Unit.CREDIT, NANO, 0) == 3_333_334


def test_the_floor_is_compared_after_the_markup() -> None:
    assert hold(COST_PLUS, CARD, Unit.USD, NANO, 8_000_000) == 10_400_000


def test_cost_plus_without_a_floor_holds_the_marked_up_estimate() -> None:
    bare = rate(ChargeType.COST_PLUS, 0, wallet_key="metered")
    assert hold(bare, CARD, Unit.USD, NANO, 1_000) == 1_300
    assert hold(bare, CARD, Unit.USD, NANO, 0) == 0


@given(cost=st.integers(0, 10**6 * NANO), markup=st.integers(NANO, 10 * NANO), value=st.integers(1, 10 * NANO))
def test_no_cost_plus_call_is_billed_below_its_cost(cost: int, markup: int, value: int) -> None:
    dear = card(markup=markup, credit_value=value)
    assert charge(COST_PLUS, dear, Unit.USD, NANO, 0, cost) >= cost
    assert charge(COST_PLUS, dear, Unit.CREDIT, NANO, 0, cost) * value >= cost * NANO


@given(cost=st.integers(0, 10**6 * NANO), unit=st.sampled_from(Unit))
def test_a_hold_covers_the_charge_if_the_estimate_was_right(cost: int, unit: Unit) -> None:
    assert hold(COST_PLUS, CARD, unit, NANO, cost) >= charge(COST_PLUS, CARD, unit, NANO, 0, cost)


def test_the_default_estimate_of_a_feature_is_the_largest_of_its_rates() -> None:
    legs = (rate(estimated=0, wallet_key="email_sends"), rate(estimated=2_000_000, wallet_key="metered"))
    assert default_estimate(legs) == 2_000_000
    assert default_estimate(()) == 0


def test_an_estimate_grows_with_the_quantity_and_is_rounded_up() -> None:
    assert estimate((rate(estimated=600_000_000),), 3 * NANO) == 1_800_000_000
    assert estimate((rate(estimated=1),), 1) == 1


def test_a_markup_under_1_is_refused_and_1_is_not() -> None:
    with pytest.raises(AssertionError, match="below their cost"):
        card(markup=NANO - 1)
    assert charge(COST_PLUS, card(markup=NANO), Unit.USD, NANO, 0, 7) == 7


def test_a_credit_is_worth_something() -> None:
    with pytest.raises(AssertionError):
        card(credit_value=0)


def test_a_card_does_not_end_before_it_starts() -> None:
    with pytest.raises(AssertionError):
        card(effective_from=FEBRUARY, effective_to=JANUARY)


def test_moments_of_a_card_are_in_utc() -> None:
    with pytest.raises(AssertionError, match="UTC"):
        card(published_at=JANUARY.replace(tzinfo=None))


def test_negative_amounts_are_refused() -> None:
    with pytest.raises(AssertionError, match="must be 0 or more"):
        rate(amount=-1)
    with pytest.raises(AssertionError, match="must be 0 or more"):
        rate(estimated=-1)
    with pytest.raises(AssertionError, match="must be 0 or more"):
        rate(ChargeType.COST_PLUS, 0, floor=-1)


def test_only_cost_plus_has_a_floor() -> None:
    with pytest.raises(AssertionError, match="only cost-plus rates have a floor"):
        rate(floor=1)


@pytest.mark.parametrize("charge_type", [ChargeType.COST_PLUS, ChargeType.FREE])
def test_cost_plus_and_free_have_no_amount_of_their_own(charge_type: ChargeType) -> None:
    with pytest.raises(AssertionError, match="takes no credits"):
        rate(charge_type, 1)


@pytest.mark.parametrize("charge_type", [ChargeType.FIXED, ChargeType.PER_UNIT, ChargeType.PER_RESULT])
def test_the_other_rates_have_an_amount(charge_type: ChargeType) -> None:
    with pytest.raises(AssertionError, match="needs credits"):
        rate(charge_type, 0)


def test_a_bundled_rate_names_its_bundle_and_no_other_does() -> None:
    with pytest.raises(AssertionError):
        rate(ChargeType.BUNDLED)
    with pytest.raises(AssertionError):
        rate(bundle="content_score")


def test_features_of_one_bundle_cost_the_same() -> None:
    first = rate(ChargeType.BUNDLED, 1, feature="first", bundle="pair")
    with pytest.raises(AssertionError, match="alone must cost the same"):
        card(first, rate(ChargeType.BUNDLED, 2, feature="second", bundle="pair"))
    assert card(first, rate(ChargeType.BUNDLED, 1, feature="second", bundle="pair")).rates_of("second")


def test_a_feature_has_one_rate_per_wallet() -> None:
    with pytest.raises(AssertionError, match="two rates on wallet credits"):
        card(rate(), rate(amount=NANO))


def test_a_card_finds_the_rates_of_a_feature_in_its_order() -> None:
    send, copy = rate(wallet_key="email_sends", feature="email_send"), rate(wallet_key="metered", feature="email_send")
    both = card(send, rate(), copy)
    assert both.rates_of("email_send") == (send, copy)
    assert both.rates_of("blog_post") == (rate(),)
    assert both.rates_of("unheard_of") == ()


def test_the_newest_card_that_holds_the_moment_applies() -> None:
    first, second = card(), card(version=2, effective_from=MARCH)
    cards = RateCards([second, first])
    assert cards.at(JANUARY - INSTANT, MARCH) is None
    assert cards.at(MARCH - INSTANT, MARCH) is first
    assert cards.at(MARCH, MARCH) is second


def test_a_card_that_was_not_published_yet_is_not_known() -> None:
    first, correction = card(), card(version=2, published_at=MARCH)
    cards = RateCards([first, correction])
    assert cards.at(FEBRUARY, MARCH - INSTANT) is first
    assert cards.at(FEBRUARY, MARCH) is correction


def test_a_card_that_ends_leaves_the_one_before_and_a_withdrawn_one_stays_withdrawn() -> None:
    first, limited = card(), card(version=2, effective_from=FEBRUARY, effective_to=MARCH)
    assert RateCards([first, limited]).at(FEBRUARY, MARCH) is limited
    assert RateCards([first, limited]).at(MARCH, MARCH) is first
    withdrawal = card(version=3, effective_to=JANUARY, published_at=FEBRUARY)
    assert RateCards([first, withdrawal]).at(MARCH, MARCH) is None


def test_a_card_is_found_by_its_version() -> None:
    first, second = card(), card(version=2, effective_from=MARCH)
    cards = RateCards([first, second])
    assert cards.version(2) is second
    assert cards.version(3) is None


def test_a_version_given_twice_is_refused() -> None:
    with pytest.raises(AssertionError, match="given twice"):
        RateCards([card(), card()])


def test_all_cards_are_listed_as_they_were_given() -> None:
    cards = [card(version=2, effective_from=MARCH), card(version=1)]
    assert list(RateCards(cards)) == cards


def test_a_tenants_own_card_goes_before_a_newer_one_for_everybody_while_it_lasts() -> None:
    newer = card(version=2, effective_from=FEBRUARY)
    own = replace(card(version=3, effective_to=MARCH), for_tenant=True)
    cards = RateCards([card(), newer, own])
    assert [cards.at(when, MARCH) for when in (JANUARY, MARCH - INSTANT, MARCH)] == [own, own, newer]
    assert cards.version(3) is own


def test_withdrawing_a_tenants_own_card_does_not_withdraw_that_of_everybody() -> None:
    own = replace(card(version=2), for_tenant=True)
    withdrawn = replace(own, version=3, effective_to=JANUARY, published_at=FEBRUARY)
    cards = RateCards([card(), own, withdrawn])
    assert cards.at(MARCH, JANUARY) is own
    assert cards.at(MARCH, FEBRUARY) == card()
