"""What a month comes to is counted by level, by wallet and by what a credit was worth."""

from datetime import UTC, datetime, timedelta

from domain.attribution import NOBODY
from domain.outcomes import Level, Refused, Stop, Tally, level_of
from domain.refusals import (
    BudgetExceeded,
    BudgetScope,
    InsufficientFunds,
    RefusalCode,
    ScopePaused,
    UnknownFeature,
)
from domain.usage import Priced, Route, Usage, UsageEvent
from tests.domain.builders import nano, number
from tests.domain.test_margins import card

AT = datetime(2026, 10, 3, tzinfo=UTC)
OVER = BudgetExceeded(BudgetScope.AGENT, "writer", 5, 4, 0, 2, retryable=False)
PAUSED = ScopePaused(BudgetScope.CAMPAIGN, "spring", "manual_pause")
POOR = InsufficientFunds("credits", 2, 1)


def call(cost: int | None, route: Route = Route.MANAGED) -> UsageEvent:
    return UsageEvent(number(1), Usage(), AT, AT, None, None, NOBODY, route, Priced(cost))


def test_a_refusal_belongs_to_the_level_that_it_names() -> None:
    assert level_of(OVER) == Level(RefusalCode.BUDGET_EXCEEDED, BudgetScope.AGENT, "writer")
    assert level_of(PAUSED) == Level(RefusalCode.SCOPE_PAUSED, BudgetScope.CAMPAIGN, "spring")
    assert level_of(POOR) == Level(RefusalCode.INSUFFICIENT_FUNDS, wallet_key="credits")
    assert level_of(UnknownFeature("x")) == Level(RefusalCode.UNKNOWN_FEATURE)


def test_refused_work_adds_up_by_level_with_its_first_and_last_moment() -> None:
    tally = Tally()
    later = AT + timedelta(hours=1)
    tally.refuse(POOR, 0, AT + timedelta(minutes=1))
    tally.refuse(OVER, 7, AT)
    tally.refuse(OVER, 8, later)
    outcome = tally.outcome(())
    assert outcome.refused == (
        Refused(level_of(OVER), 2, 15, AT, later),
        Refused(level_of(POOR), 1, 0, AT + timedelta(minutes=1), AT + timedelta(minutes=1)),
    )
    assert outcome.refusals == 3


def test_what_ran_is_counted_with_what_it_cost_whom_and_what_it_brought_in() -> None:
    tally = Tally()
    tally.admit()
    tally.guess()
    tally.use([call(10), call(None), call(5, Route.BYOK)])
    tally.correct(3, -1, Route.MANAGED)
    tally.correct(2, 0, Route.BYOK)
    tally.charge([("credits", nano("3")), ("metered", nano("1"))], card(1, AT, "0.5"))
    tally.charge([("credits", nano("1"))], card(2, AT, "0.9"))
    tally.charge([("email_sends", nano("4")), ("metered", -nano("1"))], None)
    outcome = tally.outcome([("metered", 1), ("credits", 2)])
    assert (outcome.admitted, outcome.guessed, outcome.cost) == (2, 1, 20)
    assert outcome.charges == (("credits", nano("4")), ("email_sends", nano("4")))
    assert outcome.balances == (("credits", 2), ("metered", 1))
    margin = outcome.margin
    assert (margin.credits, margin.credit_revenue, margin.metered_revenue) == (nano("8"), nano("2.4"), 0)
    assert (margin.cost, margin.events, margin.unpriced) == (13, 3, 0)


def test_a_scope_is_told_of_when_it_is_stopped_first() -> None:
    tally = Tally()
    tally.stop(BudgetScope.CAMPAIGN, "spring", "budget_exceeded", AT)
    tally.stop(BudgetScope.CAMPAIGN, "spring", "manual_pause", AT + timedelta(hours=1))
    tally.stop(BudgetScope.TENANT, None, "manual_pause", AT - timedelta(hours=1))
    assert tally.outcome(()).stops == (
        Stop(BudgetScope.TENANT, None, "manual_pause", AT - timedelta(hours=1)),
        Stop(BudgetScope.CAMPAIGN, "spring", "budget_exceeded", AT),
    )
