"""A file of usage in any of the formats that are known, event by event."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import IO, Any

from domain.refusals import FieldProblem
from infra.importers import litellm, opentelemetry
from infra.importers.files import lines, rows
from infra.services.usage import ReportedUsage
from infra.services.usage_intake import Unreadable
from infra.usage_lines import LONGEST_LINE, read_line


class Format(StrEnum):
    """What a file holds: rows of LiteLLM's spend log, spans of OpenTelemetry, or lines as POST /usage takes them."""

    LITELLM = "litellm"
    OTEL = "otel"
    LINES = "lines"


Read = tuple[int, ReportedUsage | Unreadable | None]


def read_events(file: IO[bytes], form: Format) -> Iterator[Read]:
    """What each row stands for, with its line; None for one that is about no call. Raises UnreadableFileError."""
    match form:
        case Format.LINES:
            found = lines(file, LONGEST_LINE)
            return ((number, read_line(line)) for number, line in found if line.strip())
        case Format.LITELLM:
            return (
                (number, litellm.read_row(row) if isinstance(row, Mapping) else _unread(row))
                for number, document in rows(file, litellm.COLUMNS)
                for row in litellm.rows_of(document)
            )
        case Format.OTEL:
            return (
                (number, opentelemetry.read_span(span) if isinstance(span, Mapping) else _unread(span))
                for number, document in rows(file)
                for span in opentelemetry.spans(document)
            )


def _unread(row: Any) -> Unreadable:
    return row if isinstance(row, Unreadable) else Unreadable("", (FieldProblem("line", "must be a JSON object"),))
