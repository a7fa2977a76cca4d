"""The report of a replay, for people and as JSON."""

from dataclasses import dataclass
from typing import Any

from domain.money import FRACTION_DIGITS, NANO, format_amount, mark_up_rounding_up
from domain.wallets import METERED_KEY
from infra.audit import AuditReport
from infra.replay import FEATURE, Latencies, Recording, Report


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished replay and the state of the books after it. `credit_value`: nano-dollars that a credit is worth."""

    recording: Recording
    report: Report
    credit_value: int
    books: AuditReport

    @property
    def agrees(self) -> bool:
        """Whether every figure agrees with its counterpart and the books hold."""
        return not self.report.differences and self.books.hold

    @property
    def credits(self) -> int:
        """What was charged in wallets that hold credits (nano)."""
        return sum(amount for key, amount in self.report.tally.charged.items() if key != METERED_KEY)

    @property
    def worth(self) -> int:
        """The metered dollars that were charged, as credits (nano, rounded up)."""
        return mark_up_rounding_up(self.report.tally.charged[METERED_KEY], NANO, self.credit_value)


def as_text(outcome: Outcome) -> str:
    """One figure a line."""
    report, tally = outcome.report, outcome.report.tally
    ending = "Interrupted: replayed" if report.stopped else "Replayed"
    name = f"{outcome.recording.model.provider}/{outcome.recording.model.model}"
    lines = [
        f"{ending} {tally.calls:,} calls of {outcome.recording.path.name} as {FEATURE} of {name}, tenant {report.slug}",
        f"  admitted    {tally.admitted:,}",
        f"  refused     {tally.refused.total():,}{_by_code(tally.refused)}",
        f"  cost        {exact(tally.cost)} USD",
        f"  by hand     {exact(tally.cost_by_hand)} USD, summed separately from the admitted calls and the price list",
        f"  charged     {exact(tally.charged[METERED_KEY])} USD",
        f"  credits     {_credits(outcome)}",
        f"  reserve     {_times(tally.reserve)}",
        f"  consume     {_times(tally.consume)}",
        f"  speed       {tally.calls / report.seconds:,.0f} calls a second, {outcome.recording.concurrency} in flight",
    ]
    if tally.not_settled:
        lines.append(f"  not settled {tally.not_settled.total():,}{_by_code(tally.not_settled)}")
    lines.extend(f"  DIFFERENCE  {difference}" for difference in report.differences)
    lines.append(f"  books       {'verified' if outcome.books.hold else 'DO NOT HOLD: see purser verify-ledger'}")
    return "\n".join(lines)


def as_document(outcome: Outcome) -> dict[str, Any]:
    """The same for programs; amounts are plain decimals in strings."""
    recording, report, tally = outcome.recording, outcome.report, outcome.report.tally
    return {
        "file": str(recording.path),
        "model": f"{recording.model.provider}/{recording.model.model}",
        "tenant": report.slug,
        "interrupted": report.stopped,
        "calls": tally.calls,
        "admitted": tally.admitted,
        "refused": dict(tally.refused),
        "notSettled": dict(tally.not_settled),
        "costUsd": format_amount(tally.cost),
        "costByHandUsd": format_amount(tally.cost_by_hand),
        "chargedUsd": format_amount(tally.charged[METERED_KEY]),
        "creditsCharged": format_amount(outcome.credits),
        "worthCredits": format_amount(outcome.worth),
        "reserveMs": _percentiles(tally.reserve),
        "consumeMs": _percentiles(tally.consume),
        "seconds": round(report.seconds, 3),
        "callsPerSecond": round(tally.calls / report.seconds, 1),
        "concurrency": recording.concurrency,
        "differences": list(report.differences),
        "booksVerified": outcome.books.hold,
    }


def exact(nano: int) -> str:
    """An amount with all of its nine digits, and separators between thousands."""
    whole, fraction = divmod(nano, NANO)
    return f"{whole:,}.{fraction:0{FRACTION_DIGITS}d}"


def _credits(outcome: Outcome) -> str:
    value = f"{format_amount(outcome.worth)} at {format_amount(outcome.credit_value)} USD a credit"
    return f"{format_amount(outcome.credits)}; the dollars charged are worth {value}"


def _by_code(counts: dict[str, int]) -> str:
    if not counts:
        return ""
    return ": " + ", ".join(f"{count:,} {code}" for code, count in sorted(counts.items()))


def _percentiles(latencies: Latencies) -> dict[str, float | None]:
    found = {"p50": latencies.milliseconds(0.50), "p99": latencies.milliseconds(0.99)}
    return {name: None if value is None else round(value, 3) for name, value in found.items()}


def _times(latencies: Latencies) -> str:
    p50, p99 = latencies.milliseconds(0.50), latencies.milliseconds(0.99)
    return "no call" if p50 is None or p99 is None else f"p50 {p50:.2f} ms, p99 {p99:.2f} ms"
