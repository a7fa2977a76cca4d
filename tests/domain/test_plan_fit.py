"""What a month of deliverables takes, and which plans hold it: document 004's own example, and every type of charge."""

from dataclasses import replace

import pytest

from domain.money import NANO, format_amount
from domain.plan_fit import MOST_DELIVERABLES, Deliverable, PlanFit, plan_fit
from domain.plans import Plan
from domain.refusals import InvalidInput, UnknownFeature
from tests.domain.builders import CATALOG, NOW, nano

CARD = CATALOG.rate_cards.at(NOW, NOW)
INDIA = CATALOG.plans_of("india", NOW)


def fit(*wanted: tuple[str, str], plans: tuple[Plan, ...] = INDIA) -> PlanFit:
    found = plan_fit([Deliverable(feature, nano(quantity)) for feature, quantity in wanted], CARD, plans)
    assert isinstance(found, PlanFit), found
    return found


def totals(found: PlanFit) -> dict[str, str]:
    return {key: format_amount(amount) for key, amount in found.totals}


def amounts(found: PlanFit) -> list[str]:
    return [format_amount(line.amount) for line in found.lines]


def test_the_plan_of_document_004_takes_40_credits_and_fits_starter_with_60_left() -> None:
    found = fit(
        ("blog_post", "4"),
        ("gbp_post", "8"),
        ("social_post", "12"),
        ("email_newsletter", "4"),
        ("google_ads_rsa", "1"),
        ("report", "1"),
    )
    assert amounts(found) == ["8", "8", "12", "8", "2", "2"]
    assert totals(found) == {"credits": "40"}, "the document says 40 to 45"
    assert [(each.plan.key, each.fits, each.short_by, each.left_over) for each in found.plans] == [
        ("starter", True, (), (("credits", nano("60")),)),
        ("professional", True, (), (("credits", nano("260")),)),
    ]


def test_says_by_how_much_a_plan_is_short() -> None:
    starter, professional = fit(("blog_post", "60"), ("email_send", "10001")).plans
    assert starter.short_by == (("credits", nano("20")), ("email_sends", nano("1")))
    assert starter.left_over == ()
    assert not professional.fits
    assert (professional.short_by, professional.left_over) == (
        (("email_sends", nano("1")),),
        (("credits", nano("180")),),
    )


def test_a_wallet_that_a_plan_does_not_fill_is_missing_whole() -> None:
    bare = replace(INDIA[0], allocations=())
    assert fit(("blog_post", "1"), plans=(bare,)).plans[0].short_by == (("credits", nano("2")),)


def test_a_total_that_is_just_what_a_plan_grants_fits() -> None:
    (starter, _) = fit(("blog_post", "50")).plans
    assert starter.fits
    assert starter.left_over == (("credits", 0),)


def test_features_of_a_bundle_that_go_together_are_one_charge() -> None:
    found = fit(("brand_voice_score", "4"), ("ai_search_visibility_score", "4"))
    assert amounts(found) == ["1", "0"]
    assert amounts(fit(("brand_voice_score", "4"))) == ["1"], "either alone costs the same"


def test_what_one_feature_of_a_bundle_comes_more_often_is_charged_too() -> None:
    assert amounts(fit(("brand_voice_score", "4"), ("ai_search_visibility_score", "6"))) == ["1", "0.5"]
    assert amounts(fit(("brand_voice_score", "6"), ("ai_search_visibility_score", "4"))) == ["1.5", "0"]


def test_the_same_feature_of_a_bundle_twice_does_not_go_with_itself() -> None:
    found = fit(("brand_voice_score", "2"), ("ai_search_visibility_score", "2"), ("brand_voice_score", "2"))
    assert amounts(found) == ["0.5", "0", "0.5"]


def test_per_result_takes_everything_to_be_found_and_no_plan_is_short_of_prepaid_dollars() -> None:
    found = fit(("email_find", "1000"))
    assert totals(found) == {"metered": "20"}
    assert not found.lines[0].estimated
    assert [(each.fits, each.left_over) for each in found.plans] == [(True, ())] * 2


def test_cost_plus_goes_by_the_default_estimate_and_says_so() -> None:
    assert CARD is not None
    found = fit(("profile_draft", "10"), ("llm_call", "1000"))
    markup = CARD.markup
    drafts, dollars = (line.amount for line in found.lines)
    assert dollars == 10 * markup, "1,000 calls of 0.01 dollars"
    assert drafts == nano("0.5") * markup // CARD.credit_value, "10 drafts of 0.05 dollars, in credits"
    assert all(line.estimated for line in found.lines)


def test_free_work_takes_nothing_and_legs_that_need_a_model_are_left_out() -> None:
    found = fit(("seo_score", "5"), ("email_send", "100"))
    assert [(line.rate.wallet_key, format_amount(line.amount)) for line in found.lines] == [
        ("credits", "0"),
        ("email_sends", "100"),
    ]


def test_parts_of_a_unit_are_charged_in_part() -> None:
    assert amounts(fit(("blog_post", "0.5"))) == ["1"]


def test_what_is_not_on_the_card_is_refused_by_name() -> None:
    wanted = [Deliverable("blog_post", NANO), Deliverable("statue", NANO)]
    assert plan_fit(wanted, CARD, INDIA) == UnknownFeature("statue")
    assert plan_fit(wanted, None, INDIA) == UnknownFeature("blog_post"), "no card is in force"


@pytest.mark.parametrize(
    ("feature", "quantity", "path"),
    [
        ("", NANO, "feature"),
        ("blog_post", 0, "quantity"),
        ("blog_post", -NANO, "quantity"),
        ("blog_post", 10**18 + 1, "quantity"),
        ("email_find", NANO // 2, "quantity"),
        ("store_lead", NANO // 2, "quantity"),
    ],
)
def test_names_the_deliverable_that_cannot_be_taken(feature: str, quantity: int, path: str) -> None:
    found = plan_fit([Deliverable("blog_post", NANO), Deliverable(feature, quantity)], CARD, INDIA)
    assert isinstance(found, InvalidInput)
    assert [field.path for field in found.fields] == [f"deliverables.1.{path}"]


@pytest.mark.parametrize("length", [0, MOST_DELIVERABLES + 1])
def test_a_list_has_one_to_a_hundred_deliverables(length: int) -> None:
    found = plan_fit([Deliverable("blog_post", NANO)] * length, CARD, INDIA)
    assert isinstance(found, InvalidInput)
    assert found.message == "deliverables: must be 1 to 100"
