"""A machine that does whatever a tenant's callers may do, in any order, and checks the books after every step."""

from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from domain import decisions
from domain.audit import WalletAudit
from domain.books import NO_CHANGES, Changes
from domain.budgets import budget_key, counter_keys
from domain.decisions import Answer, Command
from domain.holds import ModelName, Reservation
from domain.recharges import Due
from domain.recordings import Record, Recording
from domain.refusals import BudgetExceeded, Conflict, Refusal, ReservationState, ScopePaused
from domain.reservations import Extend, Granted, Release, Reserve
from domain.settlements import Consume
from tests.domain.builders import TENANT_ID, Bookkeeper, conserved, empty_wallet, figures, tenant
from tests.model.commands import CYCLE, GPT_4O, START, UNKNOWN, WALLET_KEYS, Historian, Step

seeds = st.integers(0, 2**32 - 1)


class Accounts(RuleBasedStateMachine):
    """One tenant's books over any history. Every rule is a kind of command; its details come from a seed."""

    def __init__(self) -> None:
        super().__init__()
        self.historian = Historian(TENANT_ID)
        self.books = Bookkeeper()

    @initialize(own_keys=st.booleans())
    def open(self, own_keys: bool) -> None:
        keys = ["openai", "leadmagic"] if own_keys else []
        self.books = Bookkeeper(of=tenant(own_keys=keys, unlimited=True, cycle=CYCLE), own_keys_allowed=True)
        self.books.wallets = {key: empty_wallet(key) for key in WALLET_KEYS}
        for step in self.historian.opening():
            self.books.play(step)

    @rule(seed=seeds)
    def reserve(self, seed: int) -> None:
        self.step("reserve", seed)

    @rule(seed=seeds)
    def reserve_more(self, seed: int) -> None:
        self.step("reserve", seed)

    @rule(seed=seeds)
    def consume(self, seed: int) -> None:
        self.step("consume", seed)

    @rule(seed=seeds)
    def record(self, seed: int) -> None:
        self.step("record", seed)

    @rule(seed=seeds)
    def rerate(self, seed: int) -> None:
        self.step("rerate", seed)

    @rule(model=st.sampled_from([GPT_4O, UNKNOWN]), figure=st.sampled_from(["0", "0.5", "2.5", "40"]))
    def publish(self, model: ModelName, figure: str) -> None:
        """A price is added or corrected, also for what happened before."""
        self.books.publish(model, figure, since=START - timedelta(days=40), at=self.historian.now)

    @rule(seed=seeds)
    def release(self, seed: int) -> None:
        self.step("release", seed)

    @rule(seed=seeds)
    def extend(self, seed: int) -> None:
        self.step("extend", seed)

    @rule(seed=seeds, kind=st.sampled_from(["adjust", "grant"]))
    def credit(self, seed: int, kind: str) -> None:
        self.step(kind, seed)

    @rule(seed=seeds, kind=st.sampled_from(["set_budget", "remove_budget", "pause", "resume", "deactivate"]))
    def control(self, seed: int, kind: str) -> None:
        self.step(kind, seed)

    @rule(seed=seeds, kind=st.sampled_from(["start_top_up", "settle_top_up", "set_auto_recharge", "recharge"]))
    def pay(self, seed: int, kind: str) -> None:
        self.step(kind, seed)

    @rule(seed=seeds, kind=st.sampled_from(["change_plan", "set_cycle", "suspend_tenant", "resume_tenant"]))
    def subscribe(self, seed: int, kind: str) -> None:
        self.step(kind, seed)

    @rule(seed=seeds)
    def send_again(self, seed: int) -> None:
        self.step("send_again", seed)

    @rule(seed=seeds)
    def expire_overdue(self, seed: int) -> None:
        self.step("expire_overdue", seed)

    @invariant()
    def the_books_balance(self) -> None:
        self.books.audit()

    @override
    def teardown(self) -> None:
        for wallet in self.books.wallets.values():
            every_lot = wallet._replace(lots=tuple(self.books.lots[wallet.id].values()))
            assert all(conserved(figures(lot)) for lot in every_lot.lots)
            audit = WalletAudit(every_lot, wallet.key)
            findings = [audit.take(entry) for entry in self.books.entries if entry.wallet_id == wallet.id]
            assert not any(findings)
            assert audit.finish() == ()

    def step(self, kind: str, seed: int) -> None:
        """Do it, and look at what it did."""
        step = self.historian.step(kind, Random(seed))
        self.books.open(step.at, step.command)
        if step.command is None:
            before = len(self.books.overdue(step.at))
            assert len(self.books.expire_overdue(step.at)) == before
            assert self.books.overdue(step.at) == []
            return
        if seed % 2:
            self.books.expire_overdue(step.at)
        known = dict(self.books.reservations)
        decision = decisions.decide(self.books.books(step.at), step.command, step.at)
        if isinstance(decision.answer, Refusal):
            self.check_refusal(step.command, decision.answer, decision.changes)
        self.books.apply(decision.changes)
        self.check_admission(step, decision.answer, decision.changes)
        self.check_ending(step.command, decision.answer, known)
        self.check_again(step, decision.answer)

    def check_refusal(self, command: Command, refusal: Refusal, changes: Changes) -> None:
        """A refusal moves no balance, hold or counter; at most it pauses one scope and tells of it."""
        assert changes == NO_CHANGES._replace(scopes=changes.scopes, events=changes.events)
        assert len(changes.scopes) == len(changes.events) <= 1
        if changes.scopes:
            (scope,) = changes.scopes
            assert isinstance(command, Reserve | Extend)
            assert isinstance(refusal, BudgetExceeded)
            assert refusal.scope.value == scope.key.kind.value
            assert refusal.spent + refusal.requested > refusal.cap == scope.pause_cap
            assert refusal.requested <= refusal.cap
        if isinstance(refusal, BudgetExceeded):
            assert refusal.spent + refusal.held + refusal.requested > refusal.cap

    def check_admission(self, step: Step, answer: Answer, changes: Changes) -> None:
        """What is admitted fits every wallet and every cap."""
        if (
            not isinstance(step.command, Reserve | Extend)
            or not isinstance(answer, Granted)
            or not changes.reservations
        ):
            return
        for wallet in changes.wallets:
            assert wallet.available >= 0
        book = self.books.books(step.at).book
        reservation = answer.reservation
        asked = reservation.held_usd if isinstance(step.command, Reserve) else sum(c.held for c in changes.counters)
        for key in counter_keys(reservation.attribution, reservation.month) if asked else ():
            budget, counter = book.budget(budget_key(key)), book.counter(key)
            assert budget is None or counter.spent + counter.held <= budget.cap
        if reservation.max_cost_usd is not None and isinstance(step.command, Reserve):
            assert reservation.held_usd <= reservation.max_cost_usd or reservation.held_usd == 0

    def check_ending(self, command: Command, answer: Answer, known: dict[Any, Reservation]) -> None:
        """A reservation moves only from held (or, for a late consume, from expired) to its end, once."""
        for identifier, before in known.items():
            after = self.books.reservations[identifier]
            if before.state is after.state:
                continue
            assert isinstance(command, Consume | Release)
            assert not isinstance(answer, Refusal)
            ended = (before.state, after.state)
            assert ended in {
                (ReservationState.HELD, ReservationState.CONSUMED),
                (ReservationState.HELD, ReservationState.RELEASED),
                (ReservationState.EXPIRED, ReservationState.CONSUMED),
            }

    def check_again(self, step: Step, answer: Answer) -> None:
        """What was granted is granted once: the same key again changes nothing and answers the same thing."""
        assert step.command is not None
        again = decisions.decide(self.books.books(step.at), step.command, step.at)
        if isinstance(answer, Recording):
            assert isinstance(step.command, Record)
            assert isinstance(again.answer, Recording)
            assert (again.answer.events, again.changes) == ((), NO_CHANGES)
        elif isinstance(answer, Due):
            assert (type(again.answer), again.changes) == (Conflict, NO_CHANGES)
        elif not isinstance(answer, Refusal):
            assert again.changes == NO_CHANGES
            assert type(again.answer) is type(answer)
        elif not isinstance(answer, BudgetExceeded):
            assert again.answer == answer
        else:
            assert isinstance(again.answer, BudgetExceeded | ScopePaused)


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
