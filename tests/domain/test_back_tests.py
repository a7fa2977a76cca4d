"""What may be assumed in a back-test, and the rate card that comes of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from domain.back_tests import (
    MOST_CAPS,
    MOST_RATES,
    Assumptions,
    RateChange,
    assumed_card,
    problems,
    under,
)
from domain.budgets import BudgetKey
from domain.money import NANO
from domain.rates import ChargeType, RateCard, RateCards
from domain.refusals import FieldProblem
from tests.domain.builders import CATALOG, campaign_total, nano, tenant_month
from tests.domain.test_margins import card, rate

START = datetime(2026, 10, 1, tzinfo=UTC)
BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 10, 15, tzinfo=UTC)


def paths(assumptions: Assumptions) -> list[str]:
    return [problem.path for problem in problems(assumptions)]


def test_nothing_assumed_is_the_month_as_it_was() -> None:
    assert problems(Assumptions()) == ()
    assert not Assumptions().changes_card
    assert not Assumptions(caps=((tenant_month(), None),), plan="pro").changes_card


@pytest.mark.parametrize(
    "assumptions",
    [
        Assumptions(rate_card=2),
        Assumptions(markup=NANO),
        Assumptions(credit_value=1),
        Assumptions(rates=(RateChange("blog_post", "credits", 1),)),
    ],
)
def test_each_figure_of_a_card_changes_it(assumptions: Assumptions) -> None:
    assert assumptions.changes_card
    assert problems(assumptions) == ()


def test_each_wrong_assumption_is_named_by_its_field() -> None:
    assert paths(Assumptions(caps=((named_tenant(), NANO), (tenant_month(), -1)))) == [
        "caps.0.scopeId",
        "caps.1.cap",
    ]
    assert paths(Assumptions(caps=((tenant_month(), 1), (tenant_month(), None)))) == ["caps"]
    assert paths(Assumptions(caps=tuple((campaign_total(f"c-{n}"), 1) for n in range(MOST_CAPS + 1)))) == ["caps"]
    assert paths(Assumptions(markup=NANO - 1)) == ["markup"]
    assert paths(Assumptions(credit_value=0)) == ["creditValueUsd"]
    assert paths(Assumptions(rates=(RateChange("blog_post", "credits", 0),))) == ["rates.0.amount"]
    many = tuple(RateChange(f"f-{n}", "credits", 1) for n in range(MOST_RATES + 1))
    assert paths(Assumptions(rates=many)) == ["rates"]
    twice = (RateChange("blog_post", "credits", 1), RateChange("blog_post", "credits", 2))
    assert paths(Assumptions(rates=twice)) == ["rates"]
    assert paths(Assumptions(plan="")) == ["plan"]


def named_tenant() -> BudgetKey:
    return tenant_month()._replace(scope_id="acme")


def assumed(cards: RateCards, assumptions: Assumptions) -> RateCard | FieldProblem:
    return assumed_card(cards, assumptions, 99, START)


def test_the_card_in_force_when_the_month_began_is_changed_by_what_is_assumed() -> None:
    cards = RateCards([card(1, BEFORE), card(2, LATER, "0.9")])
    found = assumed(cards, Assumptions(markup=2 * NANO, rates=(RateChange("blog_post", "credits", nano("3")),)))
    assert isinstance(found, RateCard)
    assert (found.version, found.effective_from, found.effective_to) == (99, START, None)
    assert (found.markup, found.credit_value) == (2 * NANO, nano("0.5"))
    assert [line.amount for line in found.rates_of("blog_post")] == [nano("3")]
    kept = assumed(cards, Assumptions(credit_value=nano("0.7")))
    assert isinstance(kept, RateCard)
    assert (kept.markup, kept.credit_value) == (nano("1.3"), nano("0.7"))


def test_a_published_card_may_be_assumed_whatever_its_dates() -> None:
    cards = RateCards([card(1, BEFORE), card(2, LATER, "0.9")])
    found = assumed(cards, Assumptions(rate_card=2))
    assert isinstance(found, RateCard)
    assert (found.effective_from, found.credit_value) == (START, nano("0.9"))


def test_what_has_no_meaning_names_the_assumption() -> None:
    bundle = [
        replace(rate(name, ChargeType.FIXED), charge_type=ChargeType.BUNDLED, bundle="scores")
        for name in ("voice", "search")
    ]
    cards = RateCards([replace(card(1, BEFORE), rates=(*bundle, rate("llm_call", ChargeType.COST_PLUS)))])

    def problem(assumptions: Assumptions) -> str:
        found = assumed(cards, assumptions)
        assert isinstance(found, FieldProblem)
        return found.path

    assert problem(Assumptions(rate_card=7)) == "rateCard"
    assert problem(Assumptions(rates=(RateChange("voice", "metered", 1),))) == "rates.0"
    assert problem(Assumptions(rates=(RateChange("llm_call", "credits", 1),))) == "rates.0"
    assert problem(Assumptions(rates=(RateChange("voice", "credits", 1),))) == "rates"
    both = tuple(RateChange(name, "credits", 1) for name in ("voice", "search"))
    assert isinstance(assumed(cards, Assumptions(rates=both)), RateCard)
    nothing = assumed_card(RateCards([]), Assumptions(markup=NANO), 1, START)
    assert isinstance(nothing, FieldProblem)


def test_the_assumed_card_holds_all_month_and_earlier_work_goes_on_under_its_own() -> None:
    own = replace(card(3, LATER, "0.9"), for_tenant=True)
    earlier = replace(card(4, BEFORE, "0.8"), for_tenant=True)
    catalog = replace(CATALOG, rate_cards=RateCards([card(1, BEFORE), own, earlier]))
    found = assumed_card(catalog.rate_cards, Assumptions(markup=2 * NANO), 99, START)
    assert isinstance(found, RateCard)
    cards = under(catalog, found).rate_cards
    for moment in (START, LATER, datetime(2026, 10, 31, tzinfo=UTC)):
        in_force = cards.at(moment, moment)
        assert in_force is not None
        assert in_force.version == 99
    assert cards.version(1) is not None
    assert cards.version(4) is not None
