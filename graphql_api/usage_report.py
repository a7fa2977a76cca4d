"""What became of many lines of usage, as programs and people read it."""

from typing import Any

from domain.money import format_amount
from infra.services.usage_intake import IntakeReport


def as_document(report: IntakeReport) -> dict[str, Any]:
    """Lines are counted from 1, blank ones too. `rejected` names the first of them, `rejections` counts all."""
    return {
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "rejections": report.rejections,
        "rejected": [
            {
                "line": each.index,
                "eventId": each.event_id,
                "problems": [{"path": problem.path, "message": problem.message} for problem in each.problems],
            }
            for each in report.rejected
        ],
        "costUsd": format_amount(report.cost),
    }


def as_text(report: IntakeReport) -> str:
    """Counts, then the lines that were rejected."""
    lines = [
        f"  accepted    {report.accepted:,}",
        f"  duplicates  {report.duplicates:,}",
        f"  rejected    {report.rejections:,}",
        f"  cost        {format_amount(report.cost)} USD, as far as it is known",
    ]
    for each in report.rejected:
        event = f", event {each.event_id}" if each.event_id else ""
        problems = "; ".join(f"{problem.path} {problem.message}" for problem in each.problems)
        lines.append(_printable(f"line {each.index}{event}: {problems}"))
    if report.rejections > len(report.rejected):
        lines.append(f"and {report.rejections - len(report.rejected):,} more")
    return "\n".join(lines)


def _printable(line: str) -> str:
    """Names come from files: what a terminal might obey, or cannot show, is escaped."""
    return "".join([sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line])
