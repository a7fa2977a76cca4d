"""The audit's report as people and programs read it, and its bar while it runs on a terminal."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from domain.audit import Figure
from infra.audit import AuditReport

SHOWN = 50


class Progress:
    """A bar on standard error if that is a terminal; else nothing."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bars.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, title: str, done: int, total: int) -> None:
        """What is being checked, and how far it is."""
        self._bars.update(self._task, description=f"Checking {title}", completed=done, total=total)


def as_text(report: AuditReport) -> str:
    """Counts, then the findings."""
    width = max(len(name) for name, _ in report.counts)
    lines = [f"Checked in one snapshot of {report.at.isoformat(timespec='seconds')}:"]
    lines += [f"  {name:{width}} {count:>12,}" for name, count in report.counts]
    if report.hold:
        return "\n".join([*lines, "The books hold."])
    lines.append("")
    for kind, place, figures in report.findings[:SHOWN]:
        lines.append(f"{kind}: {place}: {', '.join(f'{name} {value}' for name, value in figures) or 'see --json'}")
    if report.found > SHOWN:
        lines.append(f"and {report.found - SHOWN} more (the first {len(report.findings)} with --json)")
    findings = "1 finding" if report.found == 1 else f"{report.found} findings"
    return "\n".join([*lines, f"The books do not hold: {findings}. Amounts are nano-units."])


def as_document(report: AuditReport) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "holds": report.hold,
        "at": report.at.isoformat(),
        "checked": dict(report.counts),
        "found": report.found,
        "findings": [
            {
                "kind": finding.kind.value,
                "place": finding.place,
                "figures": {name: _text(value) for name, value in finding.figures},
            }
            for finding in report.findings
        ],
    }


def _text(value: Figure) -> str | None:
    """Amounts as texts: they outgrow what JSON's readers keep exactly."""
    return None if value is None else str(value)
