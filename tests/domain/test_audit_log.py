"""What the audit log says of each decision, and of which commands it says nothing."""

from typing import Final
from zoneinfo import ZoneInfo

import pytest

from domain.adjustments import Adjusted, AdjustWallet
from domain.audit_log import DECIDED_BY_PEOPLE, AuditEvent, Detail, event_of, format_percent
from domain.books import Operation, Request
from domain.budgets import Scope, ScopeKey, ScopeKind
from domain.controls import DeactivateScope, NameScope, PauseScope, RemoveBudget, ResumeScope, ScopeState, SetBudget
from domain.decisions import Answer, Command
from domain.money import Money
from domain.payments import AutoRecharge, TopUp, TopUpOrigin
from domain.recharges import RechargeState, SetAutoRecharge
from domain.rerating import Rerate, Rerated
from domain.reservations import Release
from domain.subscriptions import ChangePlan, SetCycle
from domain.tenancy import CloseTenant, RenameTenant, ResumeTenant, SuspendTenant
from domain.topups import Ordered, StartTopUp
from tests.domain.builders import (
    NOW,
    TENANT_ID,
    agent_month,
    campaign_total,
    capped,
    empty_wallet,
    nano,
    number,
    task_cap,
    tenant_month,
)

BY: Final = Request(TENANT_ID, "key:ops", Operation.SET_BUDGET, "k", b"", "OPERATOR")
WRITER: Final = ScopeKey(ScopeKind.AGENT, "writer")
DONE: Final = ScopeState(Scope(WRITER))
ORDER: Final = TopUp(
    number(7), "credits", nano("50"), Money(2_000, "INR"), "credits_50", TopUpOrigin.CHECKOUT, "key:ops", NOW
)
OFF: Final = AutoRecharge("metered", False, nano("50"), nano("100"), None)
ON: Final = AutoRecharge("metered", True, nano("50"), nano("100"), nano("500.5"))

CASES: Final[list[tuple[Command, Answer, str, tuple[Detail, ...]]]] = [
    (
        AdjustWallet(BY, "credits", -nano("2.5"), "goodwill", number(1)),
        Adjusted(empty_wallet()),
        "wallet:credits",
        (("amount", "-2.5"), ("note", "goodwill")),
    ),
    (
        SetBudget(BY, capped(campaign_total(), "10", 8_050, 10_000)),
        DONE,
        "campaign:spring",
        (("period", "TOTAL"), ("cap", "10"), ("thresholds", "80.5 100")),
    ),
    (RemoveBudget(BY, tenant_month()), DONE, "tenant", (("period", "MONTH"),)),
    (RemoveBudget(BY, task_cap()), DONE, "agent", (("period", "TASK"),)),
    (RemoveBudget(BY, agent_month("writer")), DONE, "agent:writer", (("period", "MONTH"),)),
    (PauseScope(BY, WRITER, "loops"), DONE, "agent:writer", (("reason", "loops"),)),
    (DeactivateScope(BY, WRITER), DONE, "agent:writer", (("reason", "deactivated"),)),
    (ResumeScope(BY, WRITER), DONE, "agent:writer", ()),
    (NameScope(BY, WRITER, None, "acme"), DONE, "agent:writer", (("name", None), ("client", "acme"))),
    (ChangePlan(BY, "starter", number(1)), DONE, "tenant", (("plan", "starter"),)),
    (SetCycle(BY, 15, None), DONE, "tenant", (("anchorDay", 15), ("timeZone", None))),
    (
        SetCycle(BY, None, ZoneInfo("Asia/Kolkata")),
        DONE,
        "tenant",
        (("anchorDay", None), ("timeZone", "Asia/Kolkata")),
    ),
    (RenameTenant(BY, "Acme"), DONE, "tenant", (("name", "Acme"),)),
    (SuspendTenant(BY), DONE, "tenant", ()),
    (ResumeTenant(BY), DONE, "tenant", ()),
    (CloseTenant(BY), DONE, "tenant", ()),
    (
        StartTopUp(BY, number(7), "credits", "credits_50", None),
        Ordered(ORDER),
        f"top_up:top_{number(7).hex}",
        (("walletKey", "credits"), ("amount", "50"), ("bundle", "credits_50")),
    ),
    (
        SetAutoRecharge(BY, "metered", True, None, None, None, True),
        RechargeState(empty_wallet("metered"), ON),
        "wallet:metered",
        (("enabled", True), ("threshold", "50"), ("amount", "100"), ("monthlyLimit", "500.5")),
    ),
    (
        SetAutoRecharge(BY, "metered", False, None, None, None, True),
        RechargeState(empty_wallet("metered"), OFF),
        "wallet:metered",
        (("enabled", False), ("threshold", "50"), ("amount", "100"), ("monthlyLimit", None)),
    ),
    (Rerate(BY, (), number(1)), Rerated(corrected=3, unpriced=1), "usage", (("events", 3),)),
]


@pytest.mark.parametrize(("command", "answer", "subject", "details"), CASES)
def test_a_decision_is_told_with_what_was_asked_for(
    command: Command, answer: Answer, subject: str, details: tuple[Detail, ...]
) -> None:
    assert event_of(command, answer) == AuditEvent(TENANT_ID, "key:ops", "OPERATOR", "setBudget", subject, details, "k")


def test_each_kind_of_decision_is_told() -> None:
    assert {type(command) for command, *_ in CASES} == DECIDED_BY_PEOPLE


def test_work_and_what_changed_nothing_are_not_told() -> None:
    assert event_of(Rerate(BY, (), number(1)), Rerated(held=2)) is None
    assert event_of(Release(BY, number(1), ""), DONE) is None
    assert Release not in DECIDED_BY_PEOPLE


@pytest.mark.parametrize(("hundredths", "text"), [(8_000, "80"), (8_050, "80.5"), (1, "0.01"), (10_000, "100")])
def test_percents_are_written_without_trailing_zeros(hundredths: int, text: str) -> None:
    assert format_percent(hundredths) == text
