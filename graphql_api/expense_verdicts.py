"""What becomes of the rows of a file of expenses, as programs and people read it."""

from typing import Any

from domain import ids
from domain.money import format_amount, minor_to_nano
from infra.services.expense_imports import ImportReport, Outcome, Verdict


def as_document(verdict: Verdict, *, written: bool) -> dict[str, Any]:
    """One row. `id`: the expense that an accepted row was booked as, or that a duplicate was booked as before."""
    document: dict[str, Any] = {"line": verdict.line, "verdict": verdict.outcome.value}
    if verdict.past > verdict.line:
        document["lastLine"] = verdict.past
    if verdict.expense_id is not None and (written or verdict.outcome is not Outcome.ACCEPTED):
        document["id"] = ids.public("expense", verdict.expense_id)
    if verdict.problems:
        document["problems"] = [{"column": each.path, "message": each.message} for each in verdict.problems]
    return document


def report_document(report: ImportReport) -> dict[str, Any]:
    """All rows together. `written`: whether the accepted ones were booked; `totals` are their sums."""
    return {
        "written": report.written,
        "accepted": report.counts.get(Outcome.ACCEPTED, 0),
        "duplicates": report.counts.get(Outcome.DUPLICATE, 0),
        "rejections": report.rejected,
        "blank": report.counts.get(Outcome.BLANK, 0),
        "totals": [{"amount": format_amount(minor_to_nano(each)), "currency": each.currency} for each in report.totals],
    }


def as_text(verdict: Verdict) -> str:
    """One row that was rejected."""
    problems = "; ".join(f"{problem.path} {problem.message}" for problem in verdict.problems)
    # Files name what they will: what a terminal might obey, or cannot show, is escaped.
    return "".join([sign if sign.isprintable() else ascii(sign)[1:-1] for sign in f"line {verdict.line}: {problems}"])


def report_text(report: ImportReport) -> str:
    """The counts, and the sums of what was accepted."""
    totals = " + ".join(f"{format_amount(minor_to_nano(each))} {each.currency}" for each in report.totals)
    return "\n".join(
        [
            f"  accepted    {report.counts.get(Outcome.ACCEPTED, 0):,}{f' ({totals})' if totals else ''}",
            f"  duplicates  {report.counts.get(Outcome.DUPLICATE, 0):,}",
            f"  rejected    {report.rejected:,}",
        ]
    )
