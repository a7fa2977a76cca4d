"""Any history, played again as it was, gives exactly what happened: every decision, every budget, every balance."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from domain.back_tests import Assumptions, BackTest
from domain.periods import month_key
from domain.receipts import Asked
from domain.refusals import Refusal
from domain.reservations import Reserve
from domain.subscriptions import SetCycle
from domain.tenants import Tenant
from infra.application import Application
from infra.queries.back_tests import back_test
from infra.services.commands import refused
from infra.services.reservations import expire_due
from infra.settings import DeploymentMode, Settings
from tests.model.commands import CYCLE, START, Historian, Step
from tests.model.stories import MovingClock
from tests.model.test_services_match_rules import of_seed, processes

WAITING = timedelta(minutes=30)
AS_IT_WAS = Assumptions()


def runs(steps: list[Step], random: Random) -> Iterator[list[Step]]:
    """Steps that are sent at once: none waits for days."""
    while steps:
        until = steps[0].at + WAITING
        run = [step for step in steps[: random.choice((1, 2, 5, 30))] if step.at <= until]
        yield run
        steps = steps[len(run) :]


async def live(application: Application, of: Tenant, clock: MovingClock, steps: list[Step], random: Random) -> None:
    """Have it happen; refusals are kept as services keep them."""
    for run in runs(steps, random):
        clock.now = max(clock.now, run[-1].at)
        sent = [
            (step.command, application.group_commit.submit(step.command)) for step in run if step.command is not None
        ]
        for command, decided in sent:
            answer, at = await decided
            if isinstance(answer, Refusal) and isinstance(command, Reserve):
                wish, keys = command.wish, (command.task_key, command.request.idempotency_key)
                asked = Asked(wish.feature, wish.quantity, wish.model, wish.attribution, wish.estimate, *keys)
                refused(application, of.id, command.request.operation, answer, asked, at)
        if any(step.command is None for step in run):
            await expire_due(application, of.id)
    await application.refusals.written()


async def months_of(
    settings: Settings, url: str, seed: int, length: int, assumptions: Assumptions = AS_IT_WAS
) -> list[BackTest]:
    """The months of a history, each tested."""
    # No plan of the catalog is unlimited at this time.
    of = replace(of_seed(seed), unlimited_plan=False)
    clock, random = MovingClock(START), Random(seed)
    async with processes(settings, url, of, clock, (256, 3)) as applications:
        # This tenant's first cycle was never granted, so nothing tells when it began.
        history = Historian(of.id).history(seed, length)
        steps = [step for step in history if step.at >= CYCLE.end or not isinstance(step.command, SetCycle)]
        await live(random.choice(applications), of, clock, steps, random)
        months = sorted({month_key(moment, of.zone) for moment in (START, clock.now)})
        # Whoever asks may be set otherwise than what decided.
        asked = replace(applications[0], settings=replace(settings, deployment_mode=None))
        found = [await back_test(asked, of.id, month, assumptions) for month in months]
    assert all(isinstance(one, BackTest) for one in found), found
    return [one for one in found if isinstance(one, BackTest)]


async def exact(settings: Settings, url: str, seed: int, length: int) -> None:
    for month in await months_of(settings, url, seed, length):
        assert month.differences == (), "\n".join((month.month, *month.differences))
        assert month.as_assumed == month.as_it_was
        assert month.facts > 0


@pytest.mark.parametrize("deployment_mode", [DeploymentMode.SELF_HOSTED])
@pytest.mark.parametrize("seed", range(3))
async def test_a_month_played_again_as_it_was_gives_exactly_what_happened(
    settings: Settings, database_url: str, seed: int
) -> None:
    await exact(settings, database_url, seed, 200)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("deployment_mode", [None, DeploymentMode.SELF_HOSTED])
@pytest.mark.parametrize("seed", range(20))
async def test_months_of_a_long_history_played_again_give_exactly_what_happened(
    settings: Settings, database_url: str, seed: int
) -> None:
    await exact(settings, database_url, 1_000 + seed, 1_000)
