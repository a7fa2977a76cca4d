"""Decisions: a key counts once, for ever, and only for what was granted."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest

from domain.adjustments import Adjusted, AdjustWallet, Grant
from domain.admission import Wish
from domain.books import NO_CHANGES, Operation, Used
from domain.budgets import Scope, ScopeKey, ScopeKind, ScopeStatus
from domain.controls import (
    BudgetState,
    DeactivateScope,
    NameScope,
    PauseScope,
    RemoveBudget,
    ResumeScope,
    ScopeState,
    SetBudget,
)
from domain.decisions import Command, Success, decide
from domain.holds import Estimate, Reservation
from domain.recharges import Due, Recharge, RechargeState, SetAutoRecharge
from domain.refusals import Conflict, IdempotencyKeyReused, InsufficientFunds, Refusal, ReservationState
from domain.reservations import Extend, Granted, Release, Released, Reserve
from domain.settlements import Consume, Consumed
from domain.subscriptions import ChangePlan, SetCycle
from domain.tenancy import CloseTenant, RenameTenant, ResumeTenant, SuspendTenant, TenantState
from domain.topups import Ordered, SettleTopUp, StartTopUp
from domain.wallets import LotSource
from tests.domain.builders import (
    BLOG_WRITER,
    CYCLE_END,
    NOW,
    Bookkeeper,
    acme,
    agent_month,
    capped,
    held,
    later,
    nano,
    number,
    ordered,
    paid,
    request,
    spent,
    wallet_with,
)

AGENT = ScopeKey(ScopeKind.AGENT, "blog-writer")


def reserve(key: str = "k", *, request_hash: bytes = b"same", value: int = 1, feature: str = "blog_post") -> Reserve:
    return Reserve(request(Operation.RESERVE, key, request_hash), number(value), Wish(feature))


def every_command(work: Reservation) -> dict[str, Command]:
    """One of each that takes a key, all of which are granted."""
    return {
        "reserve": reserve("k", value=50),
        "extend": Extend(request(Operation.EXTEND, "k"), work.id, 60, Estimate(cost=nano("1"))),
        "consume": Consume(request(Operation.CONSUME, "k"), work.id, ((number(51), spent("1")),)),
        "release": Release(request(Operation.RELEASE, "k"), work.id),
        "adjust": AdjustWallet(request(Operation.ADJUST_WALLET, "k"), "credits", nano("5"), "why", number(52)),
        "grant": Grant(
            request(Operation.GRANT, "k"), "credits", nano("5"), LotSource.TOP_UP, CYCLE_END, "r", number(53)
        ),
        "set budget": SetBudget(request(Operation.SET_BUDGET, "k"), capped(agent_month(), "9")),
        "remove budget": RemoveBudget(request(Operation.REMOVE_BUDGET, "k"), agent_month()),
        "pause": PauseScope(request(Operation.PAUSE_SCOPE, "k"), AGENT),
        "resume": ResumeScope(request(Operation.RESUME_SCOPE, "k"), AGENT),
        "deactivate": DeactivateScope(request(Operation.DEACTIVATE_SCOPE, "k"), AGENT),
        "name": NameScope(request(Operation.NAME_SCOPE, "k"), AGENT, "The writer"),
        "change plan": ChangePlan(request(Operation.CHANGE_PLAN, "k"), "starter", number(54)),
        "set cycle": SetCycle(request(Operation.SET_CYCLE, "k"), 20, None),
        "rename": RenameTenant(request(Operation.RENAME_TENANT, "k"), "Umbrella"),
        "start top-up": StartTopUp(request(Operation.START_TOP_UP, "k"), number(55), "metered", None, nano("10")),
        "set auto-recharge": SetAutoRecharge(
            request(Operation.SET_AUTO_RECHARGE, "k"), "metered", True, None, nano("10"), None, True
        ),
        "resume tenant": ResumeTenant(request(Operation.RESUME_TENANT, "k")),
        "suspend tenant": SuspendTenant(request(Operation.SUSPEND_TENANT, "k")),
        "close tenant": CloseTenant(request(Operation.CLOSE_TENANT, "k")),
    }


def started() -> tuple[Bookkeeper, Reservation]:
    books = Bookkeeper(acme(), budgets=[capped(agent_month(), "100")])
    work = held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))
    books.scopes[AGENT] = Scope(AGENT)
    return books, work


NAMES = sorted(every_command(started()[1]))


@pytest.mark.parametrize("name", NAMES)
def test_a_retry_answers_what_was_granted_and_changes_nothing(name: str) -> None:
    books, work = started()
    command = every_command(work)[name]
    first = books.decide(command)
    assert isinstance(first.answer, Success)
    assert first.changes.used_keys[0][:2] == (command.request.operation, "k")
    again = decide(books.books(later(5)), command, later(5))
    assert again.changes is NO_CHANGES
    assert type(again.answer) is type(first.answer)
    if isinstance(first.answer, Consumed):
        assert again.answer == Consumed(first.answer.reservation, ())
    else:
        assert again.answer == first.answer


@pytest.mark.parametrize("name", NAMES)
def test_the_same_key_with_another_request_is_refused_and_changes_nothing(name: str) -> None:
    books, work = started()
    command = every_command(work)[name]
    books.decide(command)
    other = replace(command, request=command.request._replace(hash=b"other"))
    decision = decide(books.books(), other, NOW)
    assert decision.answer == IdempotencyKeyReused("k")
    assert decision.changes is NO_CHANGES


def test_a_retry_answers_with_the_present_state() -> None:
    books, work = started()
    command = reserve("k", value=50)
    books.decide(command)
    made = books.reservations[number(50)]
    books.consume(made, at=later(9))
    answer = books.decide(command, later(10)).answer
    assert isinstance(answer, Granted)
    assert answer.reservation.state is ReservationState.CONSUMED
    assert answer.reservation.charges == (("credits", nano("2")),)
    assert work.id != made.id


def test_a_retry_of_an_adjustment_shows_the_wallet_as_it_is_now() -> None:
    books = Bookkeeper(acme())
    command = AdjustWallet(request(Operation.ADJUST_WALLET, "k"), "credits", nano("5"), "why", number(52))
    books.decide(command)
    books.adjust("credits", "1")
    assert books.decide(command).answer == Adjusted(books.wallets["credits"])
    assert books.balance("credits") == ("306", "0", "0")


def test_a_refusal_keeps_no_key_and_is_decided_anew() -> None:
    books = Bookkeeper([wallet_with("credits", "1")])
    command = reserve()
    assert books.decide(command).answer == InsufficientFunds("credits", nano("2"), nano("1"))
    assert books.used_keys == {}
    books.adjust("credits", "1")
    assert isinstance(books.decide(command).answer, Granted)
    assert books.used_keys[Operation.RESERVE, "k"] == Used(b"same", number(1))


def test_one_key_may_serve_each_operation_once() -> None:
    books, work = started()
    for command in every_command(work).values():
        if not isinstance(command, Release):
            assert isinstance(books.decide(command).answer, Success), command
    assert len({operation for operation, key in books.used_keys if key == "k"}) == len(NAMES) - 1


def test_a_second_key_for_a_task_that_stands_finds_its_reservation_for_ever() -> None:
    books = Bookkeeper(acme())
    first = held(books.reserve("blog_post", task="t", key="a"))
    second = held(books.reserve("blog_post", task="t", key="b"))
    assert first == second
    books.release(first)
    third = held(books.reserve("blog_post", task="t", key="b"))
    assert (third.id, third.state) == (first.id, ReservationState.RELEASED)


def _release(books: Bookkeeper, work: Reservation, at: datetime) -> object:
    return books.decide(Release(request(Operation.RELEASE, "k"), work.id), at).answer


def test_a_released_key_answers_released_again_after_the_state_was_reached() -> None:
    books, work = started()
    first = _release(books, work, NOW)
    assert isinstance(first, Released)
    assert _release(books, work, later(60)) == first


@pytest.mark.parametrize(
    "make",
    [
        lambda: Consume(request(Operation.CONSUME, "k"), UUID(int=9), ()),
        lambda: Release(request(Operation.RELEASE, "k"), UUID(int=9)),
        lambda: RemoveBudget(request(Operation.REMOVE_BUDGET, "k"), agent_month("nobody")),
        lambda: ResumeScope(request(Operation.RESUME_SCOPE, "k"), ScopeKey(ScopeKind.AGENT, "nobody")),
        lambda: reserve(feature="blog_pots"),
    ],
)
def test_a_refused_command_changes_nothing_at_all(make: Callable[[], Command]) -> None:
    books, _ = started()
    decision = decide(books.books(), make(), NOW)
    assert isinstance(decision.answer, Refusal)
    assert decision.changes == NO_CHANGES


def test_budget_and_scope_retries_show_what_stands_now() -> None:
    books, work = started()
    commands = every_command(work)
    books.decide(commands["set budget"])
    books.decide(commands["pause"])
    books.set_budget(agent_month(), "50")
    state = books.decide(commands["set budget"]).answer
    assert isinstance(state, BudgetState)
    assert state.budget == capped(agent_month(), "50")
    assert books.decide(commands["pause"]).answer == ScopeState(Scope(AGENT, None, ScopeStatus.PAUSED, "manual_pause"))


def test_a_later_step_shows_in_the_answer_to_a_retry() -> None:
    books, work = started()
    commands = every_command(work)
    order = books.decide(commands["start top-up"]).answer
    assert isinstance(order, Ordered)
    books.settle_top_up(order.top_up, paid(order.top_up.price))
    assert books.decide(commands["start top-up"]).answer == Ordered(books.top_ups[order.top_up.id])
    books.decide(commands["set auto-recharge"])
    books.set_auto_recharge(enabled=False)
    again = books.decide(commands["set auto-recharge"]).answer
    assert again == RechargeState(books.wallets["metered"], books.recharges["metered"])
    books.decide(commands["suspend tenant"])
    books.resume_tenant()
    assert books.decide(commands["suspend tenant"]).answer == TenantState(books.tenant)
    assert books.decide(commands["rename"]).answer == TenantState(replace(books.tenant, name="Umbrella"))


def test_what_has_no_key_is_decided_by_what_is_known_and_keeps_none() -> None:
    books, _ = started()
    top_up = ordered(books.start_top_up(amount="10"))
    keys = dict(books.used_keys)
    settle = SettleTopUp(request(Operation.SETTLE_TOP_UP, ""), top_up.id, paid(top_up.price), number(90))
    assert books.decide(settle).changes != NO_CHANGES
    assert books.decide(settle).changes == NO_CHANGES
    books.set_auto_recharge(amount="10", threshold="1000")
    recharge = Recharge(request(Operation.RECHARGE, ""), "metered", number(91))
    assert isinstance(books.decide(recharge).answer, Due)
    assert isinstance(books.decide(recharge).answer, Conflict)
    assert {operation for operation, _ in books.used_keys.keys() - keys.keys()} == {Operation.SET_AUTO_RECHARGE}
