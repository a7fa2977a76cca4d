"""Margins: parts add up exactly whatever the order, and a line is flagged under what its card promises."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import alerts, margins
from domain.alerts import AlertKind
from domain.margins import NO_TERMS, Group, MarginDimension, MarginFlag, Sums, Terms, apportion, by_place
from domain.money import NANO
from domain.rates import ChargeType, Rate, RateCard, RateCards, RouteClass
from domain.usage import Route
from tests.domain.builders import nano

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
TERMS = Terms(nano("0.5"), nano("1.3"), frozenset({"llm_call"}))
NAMES = st.one_of(st.none(), st.sampled_from(["anthropic", "google", "openai", "tavily"]))
WEIGHTS = st.dictionaries(NAMES, st.integers(0, 10**12), min_size=1).filter(lambda weights: sum(weights.values()) > 0)
ROUTES = st.sampled_from(Route)
FEATURES = st.sampled_from([None, "blog_post", "llm_call"])
FIGURES = st.integers(0, 10**12)
GROUPS = st.dictionaries(
    st.tuples(FEATURES, NAMES, ROUTES), st.tuples(FIGURES, FIGURES, FIGURES), min_size=1, max_size=12
).map(lambda found: [Group(*place, *figures, 1, 0) for place, figures in found.items()])


def rate(feature: str, charge_type: ChargeType, wallet_key: str = "credits") -> Rate:
    amount = 0 if charge_type in (ChargeType.COST_PLUS, ChargeType.FREE) else 2 * NANO
    return Rate(feature, feature, charge_type, wallet_key, amount, None, 0, RouteClass.OTHER)


def card(version: int, start: datetime, value: str = "0.5", **fields: object) -> RateCard:
    whole = RateCard(version, start, None, start, nano(value), nano("1.3"), (rate("blog_post", ChargeType.FIXED),))
    return replace(whole, **fields)  # type: ignore[arg-type]


def group(
    feature: str | None = "blog_post",
    provider: str | None = "openai",
    route: Route = Route.MANAGED,
    *,
    charged: str = "0",
    metered: str = "0",
    cost: str = "0",
) -> Group:
    return Group(feature, provider, route, nano(charged), nano(metered), nano(cost), 1, 0)


def sums_of(*groups: Group, target: int = margins.TARGET, terms: Terms = TERMS) -> Sums:
    return margins.total(by_place(groups, terms, target).values())


@given(st.integers(-(10**15), 10**15), WEIGHTS, st.randoms(use_true_random=False))
def test_parts_add_up_exactly_and_are_within_one_of_their_quota_in_any_order(
    amount: int, weights: dict[str | None, int], random: object
) -> None:
    parts = apportion(amount, weights)
    whole = sum(weights.values())
    assert sum(parts.values()) == amount
    for name, part in parts.items():
        assert abs(part * whole - amount * weights[name]) < whole, "within one of its quota"
        assert part == 0 or weights[name] > 0
    shuffled = list(weights)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert apportion(amount, {name: weights[name] for name in shuffled}) == parts
    assert apportion(-amount, weights) == {name: -part for name, part in parts.items()}


def test_what_is_left_goes_to_those_that_were_cut_most() -> None:
    assert apportion(10, {"a": 1, "b": 1, "c": 1}) == {"a": 4, "b": 3, "c": 3}
    assert apportion(1, {None: 1, "a": 1}) == {None: 0, "a": 1}
    assert apportion(7, {"a": 6, "b": 3, "c": 1}) == {"a": 4, "b": 2, "c": 1}


@given(GROUPS, st.randoms(use_true_random=False))
def test_whatever_is_charged_is_somebodys_revenue_once_and_a_tenants_own_key_costs_us_nothing(
    groups: list[Group], random: object
) -> None:
    places = by_place(groups, TERMS, margins.TARGET)
    whole = margins.total(places.values())
    assert whole.credits == sum(group.credits for group in groups)
    assert whole.metered_revenue == sum(group.metered for group in groups)
    assert whole.cost == sum(group.cost for group in groups if group.route is not Route.BYOK)
    exact = whole.credits * TERMS.credit_value
    assert exact - len(groups) * NANO < whole.credit_revenue * NANO <= exact, "rounded down once for each pot"
    for feature in {group.feature for group in groups}:
        charged = sum(group.credits for group in groups if group.feature == feature)
        assert charged == sum(sums.credits for (name, _), sums in places.items() if name == feature)
    shuffled = list(groups)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert by_place(shuffled, TERMS, margins.TARGET) == places


@given(st.lists(st.tuples(NAMES, st.integers(1, 10**9)), min_size=1, max_size=8), st.integers(1, 10**10))
def test_a_call_that_was_charged_its_markup_is_never_flagged_for_it_at_any_provider(
    calls: list[tuple[str | None, int]], value: int
) -> None:
    terms = Terms(value, nano("1.3"), frozenset({"llm_call"}))
    found: dict[str | None, Group] = {}
    for provider, cost in calls:
        charged = -(-cost * terms.markup // value)
        before = found.get(provider, Group("llm_call", provider, Route.MANAGED, 0, 0, 0, 0, 0))
        found[provider] = before._replace(credits=before.credits + charged, cost=before.cost + cost)
    places = by_place(found.values(), terms, margins.TARGET)
    assert [sums.flag for sums in places.values()] == [None] * len(found)
    assert margins.total(places.values()).flag is None


def test_a_fixed_charge_is_shared_by_those_whose_calls_it_paid_for() -> None:
    places = by_place(
        [
            group(provider="anthropic", charged="2", cost="0.3"),
            group(provider="openai", cost="0.1"),
            group(provider=None, charged="2"),
        ],
        TERMS,
        margins.TARGET,
    )
    assert places["blog_post", "anthropic"][:4] == (nano("3"), nano("1.5"), 0, nano("0.3"))
    assert places["blog_post", "openai"][:4] == (nano("1"), nano("0.5"), 0, nano("0.1"))
    assert places["blog_post", None].revenue == 0


def test_where_nothing_cost_anything_a_charge_stays_where_it_is() -> None:
    places = by_place([group(provider=None, charged="3"), group(charged="1")], TERMS, margins.TARGET)
    assert {provider: sums.credits for (_, provider), sums in places.items()} == {None: nano("3"), "openai": nano("1")}


def test_what_own_keys_cost_shares_their_charges_and_nothing_else() -> None:
    places = by_place(
        [
            group(route=Route.BYOK, charged="4", cost="1"),
            group(provider="anthropic", route=Route.BYOK, cost="3"),
            group(provider="anthropic", charged="2", cost="5"),
        ],
        TERMS,
        margins.TARGET,
    )
    assert places["blog_post", "openai"] == Sums(nano("1"), nano("0.5"))
    assert places["blog_post", "anthropic"][:4] == (nano("5"), nano("2.5"), 0, nano("5"))


@pytest.mark.parametrize(
    ("groups", "percent", "least", "flag"),
    [
        ([group(charged="2", cost="0.5")], 5_000, 5_000, None),
        ([group(charged="2", cost="0.51")], 4_900, 5_000, MarginFlag.BELOW_TARGET),
        ([group(charged="2", cost="1.01")], -100, 5_000, MarginFlag.NEGATIVE),
        ([group(cost="1")], None, 5_000, MarginFlag.NEGATIVE),
        ([group("llm_call", metered="1.3", cost="1")], 2_307, 2_307, None),
        ([group("llm_call", metered="1.2", cost="1")], 1_666, 2_307, MarginFlag.BELOW_TARGET),
        ([group(None, cost="0.01")], None, 5_000, MarginFlag.NEGATIVE),
        ([group("public_data", route=Route.FREE, cost="1")], None, None, None),
        ([group("public_data", route=Route.FREE, cost="1"), group(charged="1", cost="0.1")], -12_000, -45_000, MarginFlag.NEGATIVE),
        ([group(route=Route.BYOK, charged="2", cost="9")], 10_000, None, None),
        ([], None, None, None),
    ],
)  # fmt: skip
def test_a_line_is_flagged_under_what_it_should_bring_in(
    groups: list[Group], percent: int | None, least: int | None, flag: MarginFlag | None
) -> None:
    sums = sums_of(*groups)
    assert (sums.percent, sums.least_percent, sums.flag) == (percent, least, flag)


def test_the_target_is_what_is_asked_for_and_a_generous_markup_does_not_excuse_it() -> None:
    assert sums_of(group(charged="2", cost="0.51"), target=4_900).flag is None
    generous = replace(TERMS, markup=nano("3"))
    assert sums_of(group("llm_call", metered="2", cost="1"), terms=generous).flag is None
    assert sums_of(group("llm_call", metered="1.9", cost="1"), terms=generous).flag is MarginFlag.BELOW_TARGET


def test_credits_are_valued_by_the_card_of_their_time_as_it_was_published_then() -> None:
    cards = RateCards(
        [
            card(1, FEBRUARY),
            card(2, FEBRUARY, "0.6", published_at=MARCH),
            card(3, MARCH + timedelta(days=1), "0.6"),
            card(4, APRIL, "0.4", effective_to=APRIL + timedelta(days=1)),
        ]
    )
    may = datetime(2026, 5, 1, tzinfo=UTC)
    found = margins.terms_between(cards, JANUARY, may)
    assert [(span.start, span.end, span.terms.credit_value) for span in found] == [
        (JANUARY, FEBRUARY, 0),
        (FEBRUARY, MARCH, nano("0.5")),
        (MARCH, APRIL, nano("0.6")),
        (APRIL, APRIL + timedelta(days=1), nano("0.4")),
        (APRIL + timedelta(days=1), may, nano("0.6")),
    ]
    assert found[0].terms == NO_TERMS
    (one,) = margins.terms_between(cards, FEBRUARY, FEBRUARY + timedelta(days=1))
    assert (one.start, one.end) == (FEBRUARY, FEBRUARY + timedelta(days=1))


def test_a_feature_is_cost_plus_if_nothing_else_charges_it() -> None:
    rates = (
        rate("llm_call", ChargeType.COST_PLUS, "metered"),
        rate("email_send", ChargeType.PER_UNIT, "email_sends"),
        rate("email_send", ChargeType.COST_PLUS, "metered"),
    )
    assert margins.terms_of(card(1, JANUARY, rates=rates)).cost_plus == {"llm_call"}


def test_operators_are_told_of_each_flagged_line_with_its_figures() -> None:
    day, since = date(2026, 11, 21), date(2026, 10, 22)
    losing = sums_of(group(charged="2", cost="1.25"))
    told = alerts.of_margin(MarginDimension.FEATURE, "blog_post", losing, 5_000, since, day)
    assert (told.kind, told.scope, told.scope_id, told.threshold, told.day) == (
        AlertKind.NEGATIVE_MARGIN,
        None,
        "feature blog_post",
        0,
        day,
    )
    assert told.message == (
        "Work of feature blog_post costs more than it brings in: 1.00 USD came in, 1.25 USD were paid to providers"
        " since 2026-10-22."
    )
    short = sums_of(group(charged="2", cost="0.75"))
    told = alerts.of_margin(MarginDimension.PROVIDER, None, short, 5_000, since, day)
    assert (told.scope_id, told.threshold) == ("no provider", 5_000)
    assert "brings in less than the 1.50 USD that it should" in told.message
