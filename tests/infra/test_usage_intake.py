"""Usage in bulk: any number of lines, taken in batches, each told apart with the line where it stands."""

import pytest

from domain.money import NANO
from domain.refusals import FieldProblem
from domain.usage import MOST_EVENTS
from infra.application import Application
from infra.group_commit import Overloaded
from infra.services import usage_intake
from infra.services.callers import Caller
from infra.services.usage import Rejected, ReportedUsage, UsageReport
from infra.services.usage_intake import MOST_REJECTED, IntakeReport, Unreadable, UsageIntake
from tests.infra.builders import audit, count, nothing_moves, reported

BROKEN = Unreadable("e" * 300, (FieldProblem("line", "is no valid JSON"),))


def event(name: str, **fields: str) -> ReportedUsage:
    return ReportedUsage(reported(name, "0.001", **fields))


async def test_lines_beyond_a_batch_are_counted_together(application: Application, caller: Caller) -> None:
    intake = UsageIntake(application, caller)
    for line in range(1, MOST_EVENTS + 101):
        await intake.take(line, event(f"e{line}"))
    assert intake.report.accepted == MOST_EVENTS
    for line in range(2_001, 2_051):
        await intake.take(line, event(f"e{line - 2_000}"))
    await intake.flush()
    assert intake.report == IntakeReport(MOST_EVENTS + 100, 50, 0, (), (MOST_EVENTS + 100) * NANO // 1_000)
    assert await count(application, "usage_event") == MOST_EVENTS + 100
    await audit(application)


async def test_rejected_lines_hurt_no_others_and_come_in_their_order(application: Application, caller: Caller) -> None:
    intake = UsageIntake(application, caller)
    await intake.take(3, event("good"))
    await intake.take(4, event("wrong", model=""))
    await intake.take(5, BROKEN)
    await intake.take(6, event("good"))
    await intake.flush()
    report = intake.report
    assert (report.accepted, report.duplicates, report.rejections, report.cost) == (1, 1, 2, NANO // 1_000)
    assert [(each.index, each.event_id) for each in report.rejected] == [(4, "wrong"), (5, "e" * 200)]
    assert report.rejected[0].problems[0].path == "usage.model"


async def test_a_dry_run_writes_nothing_and_knows_what_it_saw_in_batches_before(
    application: Application, caller: Caller
) -> None:
    intake = UsageIntake(application, caller, dry_run=True)
    async with nothing_moves(application):
        for line in range(MOST_EVENTS * 2):
            await intake.take(line, event(f"e{line % MOST_EVENTS}", **({"model": ""} if line % 10 == 9 else {})))
        await intake.flush()
    told = intake.report
    assert (told.accepted, told.duplicates, told.rejections) == (900, 900, 200)
    assert told.cost == 900 * NANO // 1_000


async def test_of_many_rejected_lines_the_first_are_named(application: Application, caller: Caller) -> None:
    intake = UsageIntake(application, caller)
    for line in range(MOST_REJECTED + 700):
        await intake.take(line, BROKEN)
    await intake.flush()
    assert intake.report.rejections == MOST_REJECTED + 700
    assert [each.index for each in intake.report.rejected] == list(range(MOST_REJECTED))


async def test_what_a_batch_has_taken_stays_told_when_the_next_one_fails(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[UsageReport | Overloaded] = [UsageReport(999, 0, (Rejected(7, "e7", ()),), 5), Overloaded()]

    async def record(*_: object, **__: object) -> UsageReport:
        answer = answers.pop(0)
        if isinstance(answer, Overloaded):
            raise answer
        return answer

    monkeypatch.setattr(usage_intake, "record_usage", record)
    intake = UsageIntake(application, caller)
    for line in range(MOST_EVENTS):
        await intake.take(line + 1, event(f"e{line}"))
    await intake.take(2_000, event("next"))
    with pytest.raises(Overloaded):
        await intake.flush()
    assert intake.report == IntakeReport(999, 0, 1, (Rejected(8, "e7", ()),), 5)
