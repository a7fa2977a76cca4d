"""Cells of a file of expenses. Figures are never guessed at: a comma is the decimal sign only where the caller says so."""

import re
from datetime import date
from enum import StrEnum
from typing import Final

from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.expenses import ExpenseKind
from domain.money import AmountError, parse_amount

_ISO_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_WITH_COMMA: Final = re.compile(r"-?[0-9]+(,[0-9]+)?", re.ASCII)
_FORMULA: Final = ("=", "+", "@")


class DecimalSign(StrEnum):
    """What stands before the fraction of a figure."""

    POINT = "point"
    COMMA = "comma"


class CellProblem(ValueError):
    """A cell cannot be taken; the message says what it must be."""


def kind_in(cell: str) -> ExpenseKind:
    """A kind by its name, in capitals or not."""
    name = cell.strip().upper().replace(" ", "_").replace("-", "_")
    if name not in ExpenseKind.__members__:
        raise CellProblem(f"must be one of {', '.join(kind.lower() for kind in ExpenseKind)}, and is {_shown(cell)}")
    return ExpenseKind(name)


def currency_in(cell: str) -> str:
    """A currency's code, in capitals or not; letters of other alphabets are no capitals of ours."""
    code = cell.strip()
    return code.upper() if code.isascii() else code


def date_in(cell: str) -> date:
    """A day in ISO 8601."""
    text = cell.strip()
    try:
        if _ISO_DATE.fullmatch(text) is not None:
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise CellProblem(f"must be a day such as 2026-11-21, and is {_shown(cell)}")


def figure_in(cell: str) -> int | None:
    """A plain decimal in nano-units; None where nothing stands."""
    text = _plain(cell)
    if text is None:
        return None
    if "," in text:
        raise CellProblem(
            f"is {_shown(cell)}: write 1234.56, without signs between thousands; if the comma is the decimal sign of the "
            "whole file, say decimal=comma"
        )
    return _amount(cell, text)


def figure_with_comma_in(cell: str) -> int | None:
    """As `figure_in`, of a file in which the comma is the decimal sign: a point is none then."""
    text = _plain(cell)
    if text is None:
        return None
    if _WITH_COMMA.fullmatch(text) is None:
        raise CellProblem(f"is {_shown(cell)}: with decimal=comma, write 1234,56, without signs between thousands")
    return _amount(cell, text.replace(",", "."))


def _plain(cell: str) -> str | None:
    text = cell.strip(" ")
    if text.startswith(_FORMULA):
        raise CellProblem(f"is {_shown(cell)}, a formula or a sign too many: write the figure alone")
    return text or None


def _amount(cell: str, text: str) -> int:
    try:
        return parse_amount(text)
    except AmountError as error:
        message = str(error).replace(" in a string", "")
        raise CellProblem(f"is {_shown(cell)}: {message}, and nothing beside it") from None


def reference_in(cell: str) -> str | None:
    """What the file calls the row; None where it calls it nothing."""
    text = cell.strip(" ")
    if text and not is_identifier(text):
        raise CellProblem(IDENTIFIER_RULE)
    return text or None


def _shown(cell: str) -> str:
    return ascii(cell[:40])
