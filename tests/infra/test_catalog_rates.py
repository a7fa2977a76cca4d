"""The rate card's figures are those of documents 001 to 004."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.money import NANO, format_amount
from domain.rates import ChargeType, Rate, RateCard, RouteClass, estimate
from infra.catalog import load

CATALOG = load()
NOVEMBER = datetime(2026, 11, 21, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)

DOCUMENT_003_CREDIT_TYPES = {
    "context_file": "2",
    "strategy": "5",
    "deliverable_planner": "1",
    "activity_planner": "2",
    "blog_post": "2",
    "social_post": "1",
    "landing_page": "3",
    "gbp_post": "1",
    "email_newsletter": "2",
    "social_calendar": "1",
    "google_ads_rsa": "2",
    "meta_ads": "2",
    "report": "2",
    "research_notes": "1",
    "topic_research": "1",
    "ads_analysis": "1",
    "anomaly_detection": "1",
    "review_response": "1",
    "site_audit": "2",
    "keyword_cluster": "1",
    "content_brief": "1",
    "backlink_research": "1",
    "backlink_outreach": "1",
    "channel_insight": "1",
    "ai_narrative": "1",
    "ai_visibility": "1",
}
DOCUMENT_004_DELIVERABLES = {
    ("SEO Blog Post", "blog_post", "2", "blog-writer"),
    ("SEO Content Brief", "content_brief", "1", "content-brief-writer"),
    ("Keyword Research Cluster", "keyword_cluster", "1", "keyword-researcher"),
    ("GBP Post (single)", "gbp_post", "1", "gbp-post-writer"),
    ("Social Media Post", "social_post", "1", "social-post-writer"),
    ("Social Media Calendar", "social_calendar", "1", "social-calendar-planner"),
    ("Email Newsletter", "email_newsletter", "2", "email-writer"),
    ("Landing Page Copy", "landing_page", "3", "landing-page-writer"),
    ("Google Ads RSA Set", "google_ads_rsa", "2", "google-ads-writer"),
    ("Meta Ads Copy Set", "meta_ads", "2", "meta-ads-writer"),
    ("Monthly Performance Report", "report", "2", "report-writer"),
    ("Research Notes", "research_notes", "1", "research-note-writer"),
    ("Competitor Analysis", "competitor_analysis", "2", "competitor-researcher"),
    ("Backlink Research", "backlink_research", "1", "backlink-researcher"),
    ("Backlink Outreach Email", "backlink_outreach", "1", "backlink-outreach-writer"),
    ("Strategy Document", "strategy", "5", "strategy-writer"),
    ("Client Context File", "context_file", "2", "context-file-writer"),
    ("Site Audit Report", "site_audit", "2", "site-auditor"),
    ("Activity Planning (monthly)", "activity_planner", "2", "activity-planner"),
    ("Deliverable Planning", "deliverable_planner", "1", "deliverable-planner"),
    ("Content Repurpose — Social", "content_repurpose_social", "0.5", "content-repurposer"),
    ("Content Repurpose — Email Newsletter", "content_repurpose_email", "0.5", "content-repurposer"),
    ("Content Repurpose — Ads Copy (Google or Meta)", "content_repurpose_ads", "0.5", "content-repurposer"),
    ("Content Audit", "content_audit", "1", "content-auditor"),
    ("Blog Hero Image", "blog_hero_image", "0.5", "blog-image-generator"),
    ("Blog Inline Section Image", "blog_inline_image", "0.25", "blog-image-generator"),
    ("AI Search Visibility Score", "ai_search_visibility_score", "0.25", "content-scorer"),
    ("Brand Voice Score", "brand_voice_score", "0.25", "content-scorer"),
    ("Brief Compliance Check", "brief_compliance_check", "0.25", "content-scorer"),
    ("In-Editor AI Action", "in_editor_action", "0.1", "blog-writer"),
}
FREE_FEATURES = {
    "rag_ingestion",
    "website_crawler",
    "social_post_designer",
    "blog_faq_writer",
    "ai_visibility_seeder",
    "seo_score",
    "readability_score",
    "public_data_query",
}
DOCUMENT_001_FEATURES_ON_CREDITS = {
    "profile_draft",
    "context_author",
    "context_refresh",
    "context_pack_compile",
    "lead_qualify",
    "outreach_draft",
    "lead_signal_fetch",
    "x_reply_draft",
    "funnel_generate",
}


def card_in_force(at: datetime = NOVEMBER) -> RateCard:
    card = CATALOG.rate_cards.at(at, at)
    assert card is not None
    return card


CARD = card_in_force()


def only_rate(feature: str) -> Rate:
    (rate,) = CARD.rates_of(feature)
    return rate


def test_all_26_credit_types_of_document_003_are_fixed_rates_in_credits() -> None:
    assert len(DOCUMENT_003_CREDIT_TYPES) == 26
    for feature, amount in DOCUMENT_003_CREDIT_TYPES.items():
        rate = only_rate(feature)
        assert (rate.charge_type, rate.wallet_key) == (ChargeType.FIXED, "credits")
        assert format_amount(rate.amount) == amount, feature


def test_all_30_deliverables_of_document_004_cost_what_its_tables_say() -> None:
    assert len(DOCUMENT_004_DELIVERABLES) == 30
    for name, feature, amount, agent in DOCUMENT_004_DELIVERABLES:
        rate = only_rate(feature)
        assert (rate.name, format_amount(rate.amount), rate.wallet_key) == (name, amount, "credits")
        assert agent in rate.agents, feature


def test_the_two_llm_scores_are_one_bundle_and_nothing_else_is_bundled() -> None:
    bundled = {rate.feature: rate.bundle for rate in CARD.rates if rate.charge_type is ChargeType.BUNDLED}
    assert bundled == {"ai_search_visibility_score": "content_score", "brand_voice_score": "content_score"}


def test_what_costs_nothing_is_a_free_feature() -> None:
    assert {rate.feature for rate in CARD.rates if rate.charge_type is ChargeType.FREE} == FREE_FEATURES


def test_document_001s_features_are_cost_plus_on_credits_with_a_floor_of_a_cent() -> None:
    on_credits = {
        rate.feature for rate in CARD.rates if (rate.charge_type, rate.wallet_key) == (ChargeType.COST_PLUS, "credits")
    }
    assert on_credits == DOCUMENT_001_FEATURES_ON_CREDITS


@pytest.mark.parametrize("feature", ["lead_enrichment", "llm_call", "warmup_email", "website_scrape"])
def test_what_costs_money_outside_is_cost_plus_on_the_metered_wallet(feature: str) -> None:
    rate = only_rate(feature)
    assert (rate.charge_type, rate.wallet_key, rate.needs_model) == (ChargeType.COST_PLUS, "metered", False)


def test_every_cost_plus_rate_has_a_floor_of_a_cent_and_a_default_estimate() -> None:
    cost_plus = [rate for rate in CARD.rates if rate.charge_type is ChargeType.COST_PLUS]
    assert len(cost_plus) == 14
    assert {rate.floor for rate in cost_plus} == {NANO // 100}
    assert all(rate.default_estimate > 0 and "demo figure" in rate.note for rate in cost_plus)


def test_a_send_takes_one_credit_and_metered_dollars_only_where_a_model_writes() -> None:
    send, copy = CARD.rates_of("email_send")
    assert (send.charge_type, send.wallet_key, send.amount, send.needs_model) == (
        ChargeType.PER_UNIT,
        "email_sends",
        NANO,
        False,
    )
    assert (copy.charge_type, copy.wallet_key, copy.needs_model) == (ChargeType.COST_PLUS, "metered", True)


def test_only_the_ai_copy_of_a_send_depends_on_a_model() -> None:
    assert [rate.feature for rate in CARD.rates if rate.needs_model] == ["email_send"]


@pytest.mark.parametrize(
    ("feature", "wallet_key"),
    [
        ("enrich_lead", "enrich_leads"),
        ("copy_lead", "copy_leads"),
        ("store_lead", "lead_storage"),
        ("connect_mailbox", "email_accounts"),
    ],
)
def test_each_bucket_is_drawn_on_by_one_credit_per_unit(feature: str, wallet_key: str) -> None:
    rate = only_rate(feature)
    assert (rate.charge_type, rate.wallet_key, rate.amount) == (ChargeType.PER_UNIT, wallet_key, NANO)


def test_an_address_found_costs_two_cents_of_the_metered_wallet() -> None:
    rate = only_rate("email_find")
    assert (rate.charge_type, rate.wallet_key, rate.amount) == (ChargeType.PER_RESULT, "metered", 20_000_000)
    assert "demo figure" in rate.note


def test_own_keys_serve_copywriting_and_on_unlimited_plans_enrichment() -> None:
    by_class = {
        route_class: {rate.feature for rate in CARD.rates if rate.route_class is route_class}
        for route_class in (RouteClass.COPYWRITING, RouteClass.ENRICHMENT)
    }
    assert by_class == {
        RouteClass.COPYWRITING: {
            "email_send",
            "warmup_email",
            "llm_call",
            "copy_lead",
            "outreach_draft",
            "x_reply_draft",
        },
        RouteClass.ENRICHMENT: {"email_find", "lead_enrichment", "enrich_lead", "website_scrape"},
    }


def test_the_default_estimate_of_a_fixed_rate_is_30_cents_a_credit() -> None:
    for rate in CARD.rates:
        if rate.charge_type in (ChargeType.FIXED, ChargeType.BUNDLED):
            assert rate.default_estimate * 10 == rate.amount * 3, rate.feature
    assert estimate(CARD.rates_of("blog_post"), NANO) == 600_000_000


def test_the_card_has_65_rates_a_credit_worth_half_a_dollar_and_a_markup_of_1_3() -> None:
    assert len(CARD.rates) == 65
    assert (CARD.version, CARD.credit_value, CARD.markup) == (1, 500_000_000, 1_300_000_000)


def test_the_card_is_in_force_from_january_2026() -> None:
    january = datetime(2026, 1, 1, tzinfo=UTC)
    assert CATALOG.rate_cards.at(january, january) is CARD
    assert CATALOG.rate_cards.at(january - INSTANT, NOVEMBER) is None
