"""Values as other programs write them: looser than our own lines, and never through a float."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from domain.money import FRACTION_DIGITS, NANO, divide_rounding_up
from domain.refusals import FieldProblem
from domain.usage import EPOCH, MOST_COST, MOST_COUNT

MOST_DIGITS: Final = 60

# Exponents of more digits than any amount needs are not computed with.
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,13}(\.0*)?", re.ASCII)


class ValueProblem(ValueError):
    """A row's value cannot be taken; `problem` names the field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.problem = FieldProblem(field, message)


def load_json(text: str | bytes) -> Any:
    """A JSON document whose fractions are decimals. Raises ValueError where it is none."""
    try:
        return json.loads(text, parse_float=_fraction, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nests too deep") from error


def record(value: object) -> Mapping[str, Any]:
    """An object that may be missing, or stand as JSON in a text; anything else is an empty one."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = load_json(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


def text(value: object) -> str | None:
    """A text that may be missing: blanks at its ends and empty ones count as none."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        value = str(value)
    return (value.strip() or None) if isinstance(value, str) else None


def count(row: Mapping[str, Any], *names: str) -> int:
    """The first count of these names that is given; 0 where none is."""
    for name in names:
        value = row.get(name)
        if value is None or value == "":
            continue
        shown = str(value)
        if isinstance(value, bool) or _COUNT.fullmatch(shown) is None or int(Decimal(shown)) > MOST_COUNT:
            raise ValueProblem(name, f"must be a whole number from 0 to {MOST_COUNT}, and is {shown[:40]!r}")
        return int(Decimal(shown))
    return 0


def dollars(row: Mapping[str, Any], name: str) -> int | None:
    """A cost in dollars as nano-dollars, rounded up; None where none is given."""
    value = row.get(name)
    if value is None or value == "":
        return None
    shown = str(value).strip()
    if isinstance(value, bool) or _NUMBER.fullmatch(shown) is None:
        raise ValueProblem(name, f"must be a number of dollars, and is {str(value)[:40]!r}")
    amount = Decimal(shown)
    if not 0 <= amount <= MOST_COST // NANO or len(amount.as_tuple().digits) > MOST_DIGITS:
        raise ValueProblem(name, f"must be 0 to {MOST_COST // NANO} dollars, and is {str(value)[:40]!r}")
    if amount and amount.adjusted() < -FRACTION_DIGITS:
        return 1
    numerator, denominator = amount.as_integer_ratio()
    return divide_rounding_up(numerator * NANO, denominator)


def moment(row: Mapping[str, Any], name: str) -> datetime | None:
    """A moment in ISO 8601, with a blank or a T between date and time; one without an offset is in UTC."""
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        found = datetime.fromisoformat(str(value).strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueProblem(name, f"must be a moment in ISO 8601, and is {str(value)[:40]!r}") from error


def nanoseconds(row: Mapping[str, Any], name: str) -> datetime | None:
    """A moment as nanoseconds since 1970; None where none is given."""
    value = row.get(name)
    if value is None or value == "":
        return None
    shown = str(value)
    if not shown.isascii() or not shown.isdigit() or len(shown) > 20:
        raise ValueProblem(name, f"must be nanoseconds since 1970, and is {shown[:40]!r}")
    return EPOCH + timedelta(microseconds=int(shown) // 1_000)


def milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    """How long something took; None where that is not known."""
    if start is None or end is None or end < start:
        return None
    return (end - start) // timedelta(milliseconds=1)


def without(whole: int, name: str, *parts: tuple[int, str]) -> int:
    """What is left of a count that includes others."""
    left = whole - sum(part for part, _ in parts)
    if left < 0:
        named = " and ".join(f"{part} {each}" for part, each in parts if part)
        raise ValueProblem(name, f"is {whole}, which cannot include {named}")
    return left


def _fraction(shown: str) -> Decimal | str:
    """A number, exactly; one that no amount can be stays a text, for whoever reads its field to refuse."""
    return Decimal(shown) if _NUMBER.fullmatch(shown) else shown


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
