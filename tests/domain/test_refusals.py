"""Refusals: each has a code of its own, its figures, and a sentence that says what to do."""

import pytest

from domain import budgets
from domain.refusals import (
    BudgetExceeded,
    BudgetScope,
    Conflict,
    FieldProblem,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidInput,
    NotFound,
    PlanLimit,
    Refusal,
    RefusalCode,
    ReservationEnded,
    ReservationState,
    ScopePaused,
    UnknownFeature,
    UnpricedModel,
    invalid,
    no_plan,
)
from tests.domain.builders import nano


def over(requested: str, *, retryable: bool, scope_id: str | None = "spring") -> BudgetExceeded:
    scope = BudgetScope.CAMPAIGN if scope_id else BudgetScope.TENANT
    return BudgetExceeded(scope, scope_id, nano("10"), nano("8"), nano("1.5"), nano(requested), retryable)


SPRING = "The budget of campaign spring is 10 USD: 8 spent, 1.5 held"
SENTENCES: dict[Refusal, tuple[str, str]] = {
    InsufficientFunds("credits", nano("2"), nano("-0.5")): (
        "INSUFFICIENT_FUNDS",
        "Wallet credits has -0.5 available, 2 is needed: add 2.5 or ask for less.",
    ),
    over("1", retryable=True): (
        "BUDGET_EXCEEDED",
        f"{SPRING}, 1 requested; send it again when other work has settled.",
    ),
    over("3", retryable=False): (
        "BUDGET_EXCEEDED",
        f"{SPRING}, 3 requested; raise the cap or wait for the next period.",
    ),
    over("11", retryable=False, scope_id=None): (
        "BUDGET_EXCEEDED",
        "The budget of tenant is 10 USD: 8 spent, 1.5 held, 11 requested; ask for less or raise the cap.",
    ),
    ScopePaused(BudgetScope.AGENT, "blog-writer", "manual_pause"): (
        "SCOPE_PAUSED",
        "Agent blog-writer is paused: manual_pause; resume it (resumeScope).",
    ),
    ScopePaused(BudgetScope.AGENT, "blog-writer", "deactivated"): (
        "SCOPE_PAUSED",
        "Agent blog-writer is paused: deactivated; resume it (resumeScope).",
    ),
    ScopePaused(BudgetScope.AGENT, "blog-writer", "monthly_budget_exceeded"): (
        "SCOPE_PAUSED",
        "Agent blog-writer is paused: monthly_budget_exceeded; raise the cap or wait for the next period.",
    ),
    ScopePaused(BudgetScope.CAMPAIGN, "spring", "metered_empty"): (
        "SCOPE_PAUSED",
        "Campaign spring is paused: metered_empty; top up the metered wallet, then resume it.",
    ),
    ScopePaused(BudgetScope.TENANT, None, "tenant_suspended"): (
        "SCOPE_PAUSED",
        "The tenant is paused: tenant_suspended; ask the operator.",
    ),
    UnknownFeature("blog_pots"): (
        "UNKNOWN_FEATURE",
        "The rate card has no feature 'blog_pots': query rateCard for those that it has.",
    ),
    UnpricedModel("openai", "gpt-99", None): (
        "UNPRICED_MODEL",
        "The price list has no price for openai gpt-99: query prices for those that it has.",
    ),
    PlanLimit("agent roles", 5, 6): (
        "PLAN_LIMIT",
        "The plan allows 5 agent roles, 6 are in use: deactivate one or choose a larger plan.",
    ),
    IdempotencyKeyReused("k"): (
        "IDEMPOTENCY_KEY_REUSED",
        "The idempotency key 'k' belongs to another request: use a new key.",
    ),
    NotFound("wallet"): ("NOT_FOUND", "There is no such wallet."),
    no_plan("", "india"): ("NOT_FOUND", "There is no such plan '' in region india: query plans."),
    ReservationEnded(ReservationState.RELEASED): (
        "RESERVATION_ENDED",
        "The reservation has ended: it is released.",
    ),
    Conflict("The balance is not below the threshold."): ("CONFLICT", "The balance is not below the threshold."),
    InvalidInput((FieldProblem("a", "must be b"), FieldProblem("c", "must be d"))): (
        "INVALID_INPUT",
        "a: must be b; c: must be d",
    ),
}


@pytest.mark.parametrize("refusal", SENTENCES, ids=lambda refusal: type(refusal).__name__)
def test_a_refusal_has_its_code_and_its_sentence(refusal: Refusal) -> None:
    assert (refusal.code.value, refusal.message) == SENTENCES[refusal]


def test_each_refusal_type_has_a_code_of_its_own() -> None:
    codes = list({type(refusal): refusal.code for refusal in SENTENCES}.values())
    assert len(set(codes)) == len(codes)
    assert set(codes) == set(RefusalCode)


def test_insufficient_funds_say_how_much_is_missing_debt_included() -> None:
    assert InsufficientFunds("credits", nano("2"), nano("-0.5")).short_by == nano("2.5")


@pytest.mark.parametrize("reason", budgets.PAUSE_REASONS.values())
def test_a_budget_that_pauses_says_to_raise_its_cap(reason: str) -> None:
    assert ScopePaused(BudgetScope.TENANT, None, reason).message.endswith(
        "; raise the cap or wait for the next period."
    )


def test_one_bad_field_makes_an_invalid_input() -> None:
    assert invalid("cap", "must not be negative") == InvalidInput((FieldProblem("cap", "must not be negative"),))
