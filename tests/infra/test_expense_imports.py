"""Importing expenses: a verdict for each row, all or nothing unless told, and nothing twice."""

import asyncio
import io
import resource
import tempfile
from datetime import date

import pytest
from typing_extensions import override

from domain.expenses import ExpenseEntry, ExpenseKind
from domain.money import Money
from domain.refusals import Conflict
from infra.application import Application
from infra.expense_rows import ExpenseView
from infra.file_errors import UnreadableFileError
from infra.services import expenses
from infra.services.callers import Caller, Refused
from infra.services.expense_imports import ImportOrder, ImportReport, Outcome, Verdict, import_expenses
from tests.domain.builders import nano
from tests.infra.builders import count, nothing_moves, open_tenant

pytestmark = pytest.mark.anyio

HEADER = "campaign,kind,amount,hours,hourlyRate,currency,incurredOn,description,reference\n"
COFFEE = "spring,event,5,,,EUR,2026-11-03,coffee,\n"
LABOR = "autumn,labor,,7.5,33.33,EUR,2026-11-04,,\n"
APPLY = ImportOrder(apply=True)
SKIP = ImportOrder(apply=True, skip_errors=True)


async def imported(
    application: Application, caller: Caller, content: str | bytes, order: ImportOrder = APPLY
) -> tuple[ImportReport, list[Verdict]]:
    verdicts: list[Verdict] = []
    file = io.BytesIO(content.encode() if isinstance(content, str) else content)
    report = await import_expenses(application, caller, file, order, lambda verdict, _: verdicts.append(verdict))
    assert isinstance(report, ImportReport), report
    return report, verdicts


def outcomes(verdicts: list[Verdict]) -> list[tuple[int, str]]:
    return [(verdict.line, verdict.outcome.value) for verdict in verdicts]


async def test_a_dry_run_says_what_the_import_then_does_and_writes_nothing(
    application: Application, caller: Caller
) -> None:
    content = HEADER + COFFEE + COFFEE + "\n" + LABOR + "spring,adwords,12,,,USD,2026-11-03,,inv-1\n"
    async with nothing_moves(application):
        dry, foreseen = await imported(application, caller, content, ImportOrder())
    assert not dry.written
    assert dry.totals == (Money(1000 + 24_998, "EUR"), Money(1200, "USD"))
    report, verdicts = await imported(application, caller, content)
    assert (report.written, report.counts, report.totals) == (True, dry.counts, dry.totals)
    assert outcomes(verdicts) == outcomes(foreseen)
    assert outcomes(verdicts) == [(2, "accepted"), (3, "accepted"), (4, "blank"), (5, "accepted"), (6, "accepted")]
    rows = await application.across_tenants.fetch(
        "SELECT id, campaign, minor, currency, hours, reference, actor, version FROM expense ORDER BY id"
    )
    assert {row[0] for row in rows} == {verdict.expense_id for verdict in verdicts} - {None}
    assert sorted(tuple(row)[1:4] for row in rows) == [
        ("autumn", 24_998, "EUR"),
        ("spring", 500, "EUR"),
        ("spring", 500, "EUR"),
        ("spring", 1_200, "USD"),
    ]
    assert [row["reference"] for row in rows if row["currency"] == "USD"] == ["inv-1"]
    assert {(row["actor"], row["version"]) for row in rows} == {(caller.actor, 1)}
    assert await count(application, "expense_version", "change = 'ADDED'") == 4
    scopes = await application.across_tenants.fetch("SELECT id FROM scope WHERE kind = 'CAMPAIGN' ORDER BY id")
    assert [row[0] for row in scopes] == ["autumn", "spring"], "registered as by usage"


async def test_importing_again_books_nothing_again_whatever_the_file_looks_like(
    application: Application, caller: Caller
) -> None:
    _, first = await imported(application, caller, HEADER + COFFEE + COFFEE + LABOR)
    again = "Date;Hours;Campaign;Kind;Currency;Amount;Hourly rate;Description\n" + (
        "2026-11-03;;spring;EVENT;eur;5.00;;coffee\n" * 3 + "2026-11-04;7.50;autumn;Labor;EUR;;33.33;\n"
    )
    report, verdicts = await imported(application, caller, again.encode("utf-16"))
    assert outcomes(verdicts) == [(2, "duplicate"), (3, "duplicate"), (4, "accepted"), (5, "duplicate")]
    assert [verdict.expense_id for verdict in verdicts if verdict.outcome is Outcome.DUPLICATE] == [
        verdict.expense_id for verdict in first
    ]
    assert report.counts[Outcome.ACCEPTED] == 1, "the third coffee"
    labor = first[2].expense_id
    assert labor is not None
    assert isinstance(await expenses.delete_expense(application, caller, "d", labor), ExpenseView)
    async with nothing_moves(application):
        report, _ = await imported(application, caller, again.encode("utf-16"))
        assert report.counts == {Outcome.DUPLICATE: 4}, "what was deleted stays deleted"
    assert await count(application, "expense", "deleted_at IS NULL") == 3
    other = await open_tenant(application, "globex")
    report, _ = await imported(application, other, HEADER + COFFEE)
    assert report.counts == {Outcome.ACCEPTED: 1}, "another tenant's coffee is its own"


async def test_a_reference_names_a_row_whatever_it_says(application: Application, caller: Caller) -> None:
    def row(amount: str, reference: str) -> str:
        return f"spring,agency,{amount},,,EUR,2026-11-03,,{reference}\n"

    content = HEADER + row("1", "a") + row("1", "b") + row("1", "a") + row("2", "b") + row("1", "")
    async with nothing_moves(application):
        report, verdicts = await imported(application, caller, content)
        assert not report.written
    expected = [(2, "accepted"), (3, "accepted"), (4, "duplicate"), (5, "rejected"), (6, "accepted")]
    assert outcomes(verdicts) == expected
    assert "stands in line 3 with other content" in verdicts[3].problems[0].message
    report, verdicts = await imported(application, caller, content, SKIP)
    assert (report.written, report.rejected, outcomes(verdicts)) == (True, 1, expected)
    assert await count(application, "expense") == 3
    _, verdicts = await imported(application, caller, HEADER + row("1", "a") + row("9", "b") + row("9", "b"), SKIP)
    assert outcomes(verdicts) == [(2, "duplicate"), (3, "rejected"), (4, "rejected")]
    assert "was imported before with other content" in verdicts[1].problems[0].message
    assert await count(application, "expense") == 3


async def test_one_rejected_row_keeps_all_from_being_written_unless_told(
    application: Application, caller: Caller
) -> None:
    content = HEADER + COFFEE + 'spring,event,"1.234,56",,,EUR,2026-11-03,,\nspring,event,0.001,,,EUR,2036-01-01,,\n'
    async with nothing_moves(application):
        report, verdicts = await imported(application, caller, content)
    assert (report.written, report.rejected) == (False, 2)
    assert [[problem.path for problem in verdict.problems] for verdict in verdicts] == [
        [],
        ["amount"],
        ["amount", "incurredOn"],
    ]
    report, _ = await imported(application, caller, content, SKIP)
    assert (report.written, report.rejected, await count(application, "expense")) == (True, 2, 1)


async def test_no_text_is_taken_for_a_row_after_quotes_that_do_not_go(application: Application, caller: Caller) -> None:
    content = HEADER + COFFEE + 'a"b,"c"d,"\nspring,event,900,,,EUR,2026-11-03,a text of another,\n"\n'
    for broken in (content, HEADER + COFFEE + 'x,event,1,,,EUR,2026-11-03,"open,\n' + COFFEE):
        async with nothing_moves(application):
            report, verdicts = await imported(application, caller, broken, SKIP)
        assert (report.written, verdicts[0].outcome) == (False, Outcome.ACCEPTED)
        assert verdicts[1].problems[0].path == "quotes"
        assert verdicts[1].problems[0].message.endswith("nothing of the file is written before")


async def test_a_file_that_breaks_off_leaves_nothing(application: Application, caller: Caller) -> None:
    content = (HEADER + COFFEE * 1_500).encode("utf-16") + b"x"
    async with nothing_moves(application):
        with pytest.raises(UnreadableFileError, match="after line 15"):
            await imported(application, caller, content)
        with pytest.raises(UnreadableFileError, match="no column"):
            await imported(application, caller, "campaign,kind,amount,currency,date,=1+1\n")


class Read(io.BytesIO):
    """A file that knows how much of it was read since others had their turn."""

    most = since = 0

    @override
    def read1(self, size: int | None = -1, /) -> bytes:
        piece = super().read1(size)
        self.since += len(piece)
        self.most = max(self.most, self.since)
        return piece


@pytest.mark.parametrize(
    "piece", ["\n" * 5_000, ",,,,,,,,\n", 'spring,event,5,,,EUR,2026-11-03,"' + "\n" * 500 + '",\n']
)
async def test_others_have_their_turn_whatever_is_read(application: Application, caller: Caller, piece: str) -> None:
    file = Read((HEADER + piece * (400_000 // len(piece))).encode())

    async def others() -> None:
        while True:
            file.since = 0
            await asyncio.sleep(0)

    turns = asyncio.create_task(others())
    await import_expenses(application, caller, file, ImportOrder(), lambda *_: None)
    turns.cancel()
    assert 0 < file.most < 100_000


async def test_two_files_of_a_tenant_are_not_imported_at_once(
    application: Application, caller: Caller, second_application: Application
) -> None:
    gate = asyncio.Event()

    class Slow(io.BytesIO):
        """Tells when it is read."""

        @override
        def read1(self, size: int | None = -1, /) -> bytes:
            gate.set()
            return super().read1(-1 if size is None else size)

    file = Slow((HEADER + COFFEE * 2_000).encode())
    first = asyncio.create_task(import_expenses(application, caller, file, APPLY, lambda *_: None))
    await gate.wait()
    async with asyncio.timeout(10):
        second = await import_expenses(second_application, caller, io.BytesIO(HEADER.encode()), APPLY, lambda *_: None)
    assert isinstance(second, Refused)
    assert isinstance(second.refusal, Conflict)
    report = await first
    assert isinstance(report, ImportReport)
    assert report.counts == {Outcome.ACCEPTED: 2_000}


async def test_the_same_request_at_once_is_one_expense(application: Application, caller: Caller) -> None:
    entry = ExpenseEntry("spring", ExpenseKind.AGENCY, "EUR", date(2026, 11, 3), nano("5"))
    found = await asyncio.gather(*[expenses.add_expense(application, caller, "k", entry) for _ in range(8)])
    assert len({view.id for view in found if isinstance(view, ExpenseView)}) == 1
    assert await count(application, "expense") == 1


async def test_two_corrections_at_once_take_back_no_more_than_there_is(
    application: Application, caller: Caller
) -> None:
    day = date(2026, 11, 3)
    await expenses.record_customers_won(application, caller, "w", "spring", 3, day)
    found = await asyncio.gather(
        *[expenses.record_customers_won(application, caller, f"k{n}", "spring", -1, day) for n in range(6)]
    )
    assert sum(isinstance(each, Refused) for each in found) == 3
    assert await application.across_tenants.fetchval("SELECT sum(count) FROM customers_won") == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_hundred_megabytes_are_booked_in_flat_memory(application: Application, caller: Caller) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(HEADER.encode())
        number = 0
        while file.tell() < 100 * 1024 * 1024:
            some = range(number, number + 10_000)
            file.write("".join([_line(each) for each in some]).encode())
            number += 10_000
        file.seek(0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seen = 0

        def take(_verdict: Verdict, _written: bool) -> None:
            nonlocal seen
            seen += 1

        report = await import_expenses(application, caller, file, SKIP, take)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert isinstance(report, ImportReport)
    assert seen == number
    assert report.rejected == number // 1_000
    assert await count(application, "expense") == report.counts[Outcome.ACCEPTED] == number - report.rejected
    assert grown < 50_000, f"{grown} KB more than before"


def _line(number: int) -> str:
    amount = "1,5" if number % 1_000 == 0 else f"{number % 9_000 + 1}.25"
    return f'c{number % 500},adwords,"{amount}",,,EUR,2026-11-{number % 28 + 1:02d},"Search, invoice {number}",ref-{number}\n'
