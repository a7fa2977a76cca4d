"""Scalars: how amounts, counts and moments stand in JSON, and what is refused.

All of them are strings. JSON numbers are refused, because a reader may have made a float of them already.
Every message says what to send instead; the name of the field is put before it by the GraphQL engine.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final, NewType

from graphql import GraphQLError, GraphQLScalarType
from strawberry.types.scalar import ScalarDefinition

from domain.ledger import timestamp
from domain.moments import MomentError, read_moment
from domain.money import AmountError, format_amount, read_amount

Amount = NewType("Amount", int)
"""Nano-units of a wallet or of a plain quantity."""
UsdAmount = NewType("UsdAmount", int)
"""Nano-dollars."""
Count = NewType("Count", int)
"""A whole number that may outgrow 32 bits."""

_COUNT: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def usd(amount: int | None) -> UsdAmount | None:
    """Nano-dollars that may be unknown."""
    return None if amount is None else UsdAmount(amount)


def amount(value: int | None) -> Amount | None:
    """Nano-units that may be unknown."""
    return None if value is None else Amount(value)


def _read_amount(value: object) -> int:
    try:
        return read_amount(value)
    except AmountError as error:
        raise GraphQLError(str(error)) from error


def _read_count(value: object) -> int:
    if not isinstance(value, str) or _COUNT.fullmatch(value) is None:
        raise GraphQLError("a count is a whole number in a string, such as '12'")
    return int(value)


def _read_moment(value: object) -> datetime:
    try:
        return read_moment(value)
    except MomentError as error:
        raise GraphQLError(str(error)) from error


def _read_date(value: object) -> date:
    if not isinstance(value, str) or _DATE.fullmatch(value) is None:
        raise GraphQLError("a date is a string such as '2026-11-21'")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise GraphQLError(f"there is no such date: {error}") from error


def _scalar(
    name: str, origin: object, write: Callable[[Any], str], read: Callable[[object], object], description: str
) -> ScalarDefinition:
    implementation = GraphQLScalarType(name, serialize=write, parse_value=read, description=description)
    return ScalarDefinition(
        name=name,
        description=description,
        specified_by_url=None,
        serialize=write,
        parse_value=read,
        parse_literal=None,
        implementation=implementation,
        origin=origin,  # type: ignore[arg-type]  # a NewType is no class, and nothing asks for one
    )


SCALARS: Final[dict[object, ScalarDefinition]] = {
    Amount: _scalar(
        "Amount",
        Amount,
        format_amount,
        _read_amount,
        "A plain decimal as a JSON string with at most 9 fractional digits, such as '12', '0.25' or '-3.5'. "
        "JSON numbers, exponents and NaN are refused. The unit is that of the wallet or quantity that it belongs to.",
    ),
    UsdAmount: _scalar(
        "UsdAmount",
        UsdAmount,
        format_amount,
        _read_amount,
        "US dollars, written as Amount is: a plain decimal as a JSON string, such as '0.003'.",
    ),
    Count: _scalar(
        "Count",
        Count,
        str,
        _read_count,
        "A whole number as a JSON string, such as '1200000': totals outgrow the 32 bits of Int.",
    ),
    datetime: _scalar(
        "DateTime",
        datetime,
        timestamp,
        _read_moment,
        "A moment as a JSON string in ISO 8601 with seconds and an offset, such as '2026-11-21T02:45:00Z'. "
        "Answers are in UTC with six fractional digits.",
    ),
    date: _scalar(
        "Date", date, date.isoformat, _read_date, "A calendar day as a JSON string in ISO 8601, such as '2026-11-21'."
    ),
}
