"""Months that are played again whose histories random ones do not have: cycles, plans and zones that change, large batches,
work that is sent again."""

from collections.abc import AsyncIterator

import pytest

from domain.budgets import BudgetKey, BudgetPeriod
from domain.holds import ModelName, Reservation
from domain.money import NANO
from domain.refusals import BudgetScope
from infra.services import provider_keys, subscriptions
from infra.settings import DeploymentMode, Settings
from tests.domain.builders import nano
from tests.model.stories import TENANT_MONTH, Story, told


@pytest.fixture
async def story(settings: Settings, database_url: str) -> AsyncIterator[Story]:
    async with told(settings, database_url) as begun:
        yield begun


async def test_another_plan_is_granted_as_far_as_the_real_one_was_and_when(story: Story) -> None:
    await story.plans()
    await story.begin("small", anchor_day=15)
    await story.cycle("2026-09-15T00:00:01")
    story.at("2026-10-05T10:00:00")
    await story.subscribe("large")
    await subscriptions.set_cycle(story.application, story.caller, story.key(), 20)
    await story.cycle("2026-10-15T00:00:01")
    await story.exact("2026-09", "2026-10")
    for plan, mailboxes, granted in (("small", 5, 100), ("large", 10, 100), ("bare", 0, 1)):
        left = dict((await story.assumed("2026-10", plan=plan)).balances)
        assert (left["email_accounts"], left["credits"]) == (mailboxes * NANO, granted * NANO), plan


async def test_work_that_was_sent_again_under_its_tasks_key_is_guessed_once(story: Story) -> None:
    await story.begin()
    story.at("2026-09-02T00:00:00")
    await story.cap("1")
    for feature in ("brand_voice_score", "brand_voice_score", "ai_search_visibility_score"):
        await story.ask(feature, "2", task="text-1")
    await story.exact("2026-09")
    without_cap = ((TENANT_MONTH, None),)
    guessed = await story.assumed("2026-09", caps=without_cap)
    assert (guessed.admitted, guessed.guessed, guessed.refusals, guessed.cost) == (1, 1, 0, nano("2"))
    await story.cap("10")
    await story.work("ai_search_visibility_score", "1.5", task="text-1")
    really = await story.assumed("2026-09", caps=without_cap)
    assert (really.admitted, really.guessed, really.cost) == (1, 0, nano("1.5"))


async def test_work_whose_task_another_was_paid_for_is_charged_once_again(story: Story) -> None:
    await story.begin()
    story.at("2026-09-02T00:00:00")
    late = await story.ask("blog_post", "1", task="post-1")
    assert isinstance(late, Reservation)
    story.clock.advance(3_600)
    await story.expire()
    paid = await story.work("blog_post", "1", task="post-1")
    assert paid.id != late.id
    settled = await story.settle(late, "0.5")
    assert settled.charges == ()
    await story.exact("2026-09")
    assert dict((await story.played("2026-09")).as_it_was.charges) == {"credits": nano("2")}


@pytest.mark.parametrize("deployment_mode", [DeploymentMode.SELF_HOSTED])
async def test_a_month_begins_in_the_zone_and_under_the_plan_that_held_then(story: Story) -> None:
    await story.plans()
    await story.begin("large", zone="Asia/Kolkata", anchor_day=15)
    await provider_keys.set_provider_key(story.application, story.caller, "leadmagic", "a key of the tenant's own")
    await story.cap("3")
    story.at("2026-08-31T18:00:00")  # still August in India
    await story.work()
    story.at("2026-08-31T18:31:00")
    await story.work()
    # It grants nothing, but own keys serve enrichment from now on.
    await story.subscribe("same")
    story.at("2026-10-05T10:00:00")
    held = await story.work("email_find", "0.1", model=ModelName("leadmagic"), quantity=2)
    assert held.route == "BYOK"
    await subscriptions.set_cycle(story.application, story.caller, story.key(), 31, "America/New_York")
    await story.exact("2026-08", "2026-09", "2026-10")


@pytest.mark.slow
async def test_credits_that_expire_as_the_month_ends_are_left_at_its_last_moment(story: Story) -> None:
    await story.begin()
    await story.work("blog_post")
    await story.cycle("2026-09-01T00:00:01")
    assert dict((await story.played("2026-08")).as_it_was.balances)["credits"] == 98 * NANO


@pytest.mark.slow
async def test_large_batches_near_a_cap_are_played_again_in_parts_and_come_to_the_same(story: Story) -> None:
    await story.begin()
    story.at("2026-09-02T00:00:00")
    await story.cap("7")
    await story.work(cost="1")
    await story.post(150, "0.02")
    await story.ask(cost="2")
    await story.post(250, "0.02")
    await story.ask(cost="0.1")
    await story.exact("2026-09")
    was = (await story.played("2026-09")).as_it_was
    assert (was.admitted, was.refusals, was.cost) == (2, 1, nano("9"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [
        TENANT_MONTH,
        BudgetKey(BudgetScope.AGENT, "writer", BudgetPeriod.MONTH),
        BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.MONTH),
        BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.TOTAL),
        BudgetKey(BudgetScope.TAG, "team=red", BudgetPeriod.MONTH),
        BudgetKey(BudgetScope.TAG, "team=red", BudgetPeriod.TOTAL),
    ],
    ids=str,
)
async def test_a_cap_at_any_level_stops_work_where_it_is_reached(story: Story, key: BudgetKey) -> None:
    await story.begin()
    story.at("2026-09-02T00:00:00")
    for _ in range(4):
        await story.work(cost="1")
    assumed = await story.assumed("2026-09", caps=((key, nano("3")),))
    assert (assumed.admitted, assumed.refusals, assumed.cost) == (3, 1, nano("3"))
    assert dict(assumed.charges) == {"metered": nano("3.9")}
    assert assumed.refused[0].cost == nano("1")
