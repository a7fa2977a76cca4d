"""Typed reading of one table: of a data file, or of a publication's body. Every mistake names the place and the key.

Amounts are plain decimals in strings, read by domain.money; a number in their place is refused, so that no
float can touch an amount. A key that nobody asked for is a mistake too: a misspelt "output" must not
become a price without output. Moments stand as such in a data file, and as ISO 8601 text in JSON.
"""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from domain.attribution import IDENTIFIER_RULE, is_identifier, is_text
from domain.money import AmountError, Money, minor_digits, nano_to_minor, parse_amount

T = TypeVar("T")
Choice = TypeVar("Choice", bound=StrEnum)

LARGEST_WHOLE: Final = 2**31 - 1
LONGEST_NOTE: Final = 1_000

_KEY: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
KEY_RULE: Final = (
    "must be 1 to 63 lower-case letters, digits, '_', '.' and '-', of which the first is a letter or digit"
)


class CatalogError(ValueError):
    """A data file or a publication is wrong. `path` leads from the row to the key, such as rates[2].amount; empty where
    no one key is wrong."""

    def __init__(self, place: str, path: str, problem: str) -> None:
        where = f"{place}.{path}" if place and path else place or path
        super().__init__(f"{where}: {problem}")
        self.path = path
        self.problem = problem


class Table:
    """One table, with the place where it stands (and, within a publication, the path to it) and the keys that were
    read."""

    def __init__(
        self, place: str, values: dict[str, Any], defaults: dict[str, Any] | None = None, path: str = ""
    ) -> None:
        self.place = place
        self.path = path
        self._values = {**(defaults or {}), **values}
        self._unread = set(values)

    def error(self, key: str, problem: str) -> CatalogError:
        """What is wrong with a key; with the table as a whole where the key is empty."""
        return CatalogError(self.place, f"{self.path}.{key}" if self.path and key else self.path or key, problem)

    def check(self, key: str, good: bool, problem: str) -> None:
        """Refuse what a key holds unless it is good."""
        if not good:
            raise self.error(key, problem)

    def _read(self, key: str, kind: type[T], what: str) -> T | None:
        self._unread.discard(key)
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(key, f"expected {what}, found {value!r}")
        return value

    def _required(self, key: str, value: T | None) -> T:
        if value is None:
            raise self.error(key, "must be given")
        return value

    def text(self, key: str) -> str:
        return self._required(key, self.optional_text(key))

    def key(self, key: str) -> str:
        """A name that other rows and programs refer to, such as a slug, a feature or a wallet's key."""
        value = self.text(key)
        self.check(key, is_key(value), KEY_RULE)
        return value

    def optional_text(self, key: str) -> str | None:
        value = self._read(key, str, "a text")
        self.check(key, value is None or value.strip() != "", "must not be empty")
        self.check(key, value is None or is_identifier(value), IDENTIFIER_RULE)
        return value

    def note(self) -> str:
        """A remark for people; empty if there is none."""
        value = self._read("note", str, "a text") or ""
        self.check("note", is_text(value, LONGEST_NOTE), f"at most {LONGEST_NOTE} characters, and none of them NUL")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._read(key, list, "a list of texts") or []
        if not all(isinstance(value, str) and value for value in values):
            raise self.error(key, f"expected a list of texts, found {values!r}")
        self.check(key, all(is_identifier(value) for value in values), f"each {IDENTIFIER_RULE}")
        return tuple(values)

    def choice(self, key: str, choices: type[Choice]) -> Choice:
        name = self.text(key)
        if name not in choices.__members__:
            raise self.error(key, f"expected one of {', '.join(choices)}, found {name!r}")
        return choices[name]

    def flag(self, key: str) -> bool:
        return self._read(key, bool, "true or false") or False

    def whole(self, key: str) -> int:
        return self._required(key, self.optional_whole(key))

    def optional_whole(self, key: str) -> int | None:
        value = self._read(key, int, "a whole number")
        self.check(key, value is None or value >= 0, "must be 0 or more")
        self.check(key, value is None or value <= LARGEST_WHOLE, f"must be at most {LARGEST_WHOLE}")
        return value

    def amount(self, key: str) -> int:
        """An amount in nano-units."""
        return self._required(key, self.optional_amount(key))

    def optional_amount(self, key: str) -> int | None:
        """An amount in nano-units, None if the key is absent."""
        value = self._read(key, str, "an amount in a string")
        if value is None:
            return None
        try:
            nano = parse_amount(value)
        except AmountError as error:
            raise self.error(key, f"{error}, found {value!r}") from error
        self.check(key, nano >= 0, "must be 0 or more")
        return nano

    def money(self, key: str) -> Money:
        """A price in the minor units of the table's currency."""
        currency, amount = self.text("currency"), self.amount(key)
        good = len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()
        self.check("currency", good, f"expected a code of ISO 4217 such as USD, found {currency!r}")
        minor = nano_to_minor(amount, currency)
        if minor is None:
            raise self.error(key, f"must have at most {minor_digits(currency)} fractional digits in {currency}")
        self.check(key, minor > 0, "must be above 0")
        return Money(minor, currency)

    def moment(self, key: str) -> datetime:
        return self._required(key, self.optional_moment(key))

    def optional_moment(self, key: str) -> datetime | None:
        what = "a moment in UTC"
        value = self._values.get(key)
        if isinstance(value, str):
            self._unread.discard(key)
            try:
                value = datetime.fromisoformat(value)
            except ValueError as error:
                raise self.error(key, f"expected {what}, found {value!r}") from error
        else:
            value = self._read(key, datetime, what)
        if value is not None and value.utcoffset() != timedelta(0):
            raise self.error(key, f"expected {what}, found {value.isoformat()}")
        return value

    def table(self, key: str) -> "Table":
        values = self._required(key, self._read(key, dict, "a table"))
        return Table(self.place, values, path=self._within(key))

    def tables(self, key: str, inherited: tuple[str, ...] = ()) -> tuple["Table", ...]:
        """The tables of a list; the `inherited` keys of this table hold for each that does not state its own."""
        rows = self._read(key, list, "a list of tables") or []
        self._unread.difference_update(inherited)
        defaults = {name: self._values[name] for name in inherited if name in self._values}
        found = []
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                raise self.error(f"{key}[{number}]", f"expected a table, found {row!r}")
            found.append(Table(self.place, row, defaults, self._within(f"{key}[{number}]")))
        return tuple(found)

    def amounts(self) -> tuple[tuple[str, int], ...]:
        """The whole table as (key, nano-units), in its own order."""
        return tuple((key, self.amount(key)) for key in self._values)

    def _within(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    @contextmanager
    def complete(self) -> Iterator[None]:
        """Make a value inside: what the domain asserts is said with the place, unread keys are refused."""
        try:
            yield
        except AssertionError as error:
            raise self.error("", str(error)) from error
        self.done()

    def done(self) -> None:
        """Refuse the keys that nobody read."""
        if self._unread:
            raise self.error("", f"unknown key {', '.join(sorted(self._unread))}")


def is_key(text: str) -> bool:
    """Whether other rows and programs can refer to it by this name: KEY_RULE."""
    return _KEY.fullmatch(text) is not None


def read_files(folder: Path) -> Iterator[Table]:
    """Each data file of the folder as one table, by name."""
    for path in sorted(folder.glob("*.toml")):
        try:
            yield Table(path.name, tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CatalogError(path.name, "", str(error)) from error
