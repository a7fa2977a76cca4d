"""Typed reading of one table of a data file. Every mistake names the file and the key.

Amounts are plain decimals in strings, read by domain.money; a number in their place is refused, so that no
float can touch an amount. A key that nobody asked for is a mistake too: a misspelt "output" must not
become a price without output.
"""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from domain.money import NANO, AmountError, parse_amount

T = TypeVar("T")
Choice = TypeVar("Choice", bound=StrEnum)


class CatalogError(ValueError):
    """A data file is wrong; the message says where and what."""


class Table:
    """One table, with the place where it stands and the keys that were read."""

    def __init__(self, place: str, values: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
        self.place = place
        self._values = {**(defaults or {}), **values}
        self._unread = set(values)

    def _read(self, key: str, kind: type[T], what: str) -> T | None:
        self._unread.discard(key)
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise CatalogError(f"{self.place}.{key}: expected {what}, found {value!r}")
        return value

    def _required(self, key: str, value: T | None) -> T:
        if value is None:
            raise CatalogError(f"{self.place}.{key}: is missing")
        return value

    def text(self, key: str) -> str:
        return self._required(key, self.optional_text(key))

    def optional_text(self, key: str) -> str | None:
        value = self._read(key, str, "a text")
        if value is not None and not value.strip():
            raise CatalogError(f"{self.place}.{key}: is empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._read(key, list, "a list of texts") or []
        if not all(isinstance(value, str) and value for value in values):
            raise CatalogError(f"{self.place}.{key}: expected a list of texts, found {values!r}")
        return tuple(values)

    def choice(self, key: str, choices: type[Choice]) -> Choice:
        name = self.text(key)
        if name not in choices.__members__:
            raise CatalogError(f"{self.place}.{key}: expected one of {', '.join(choices)}, found {name!r}")
        return choices[name]

    def flag(self, key: str) -> bool:
        return self._read(key, bool, "true or false") or False

    def whole(self, key: str) -> int:
        return self._required(key, self.optional_whole(key))

    def optional_whole(self, key: str) -> int | None:
        value = self._read(key, int, "a whole number")
        if value is not None and value < 0:
            raise CatalogError(f"{self.place}.{key}: is negative")
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
            raise CatalogError(f"{self.place}.{key}: {error}, found {value!r}") from error
        if nano < 0:
            raise CatalogError(f"{self.place}.{key}: is negative")
        return nano

    def minor_units(self, key: str, digits: int) -> int:
        """A price in the minor units of a currency with so many digits."""
        minor_per_unit: int = 10**digits
        minor, beyond = divmod(self.amount(key) * minor_per_unit, NANO)
        if beyond:
            raise CatalogError(f"{self.place}.{key}: has more than {digits} fractional digits")
        return minor

    def moment(self, key: str) -> datetime:
        return self._required(key, self.optional_moment(key))

    def optional_moment(self, key: str) -> datetime | None:
        value = self._read(key, datetime, "a moment in UTC")
        if value is not None and value.utcoffset() != timedelta(0):
            raise CatalogError(f"{self.place}.{key}: expected a moment in UTC, found {value.isoformat()}")
        return value

    def table(self, key: str) -> "Table":
        values = self._required(key, self._read(key, dict, "a table"))
        return Table(f"{self.place}.{key}", values)

    def tables(self, key: str, inherited: tuple[str, ...] = ()) -> tuple["Table", ...]:
        """The tables of a list; the `inherited` keys of this table hold for each that does not state its own."""
        rows = self._read(key, list, "a list of tables") or []
        self._unread.difference_update(inherited)
        defaults = {name: self._values[name] for name in inherited if name in self._values}
        found = []
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                raise CatalogError(f"{self.place}.{key}[{number}]: expected a table, found {row!r}")
            found.append(Table(f"{self.place}.{key}[{number}]", row, defaults))
        return tuple(found)

    def amounts(self) -> tuple[tuple[str, int], ...]:
        """The whole table as (key, nano-units), in the file's order."""
        return tuple((key, self.amount(key)) for key in self._values)

    @contextmanager
    def complete(self) -> Iterator[None]:
        """Make a value inside: what the domain asserts is said with the place, unread keys are refused."""
        try:
            yield
        except AssertionError as error:
            raise CatalogError(f"{self.place}: {error}") from error
        self.done()

    def done(self) -> None:
        """Refuse the keys that nobody read."""
        if self._unread:
            raise CatalogError(f"{self.place}: unknown key {', '.join(sorted(self._unread))}")


def read_files(folder: Path) -> Iterator[Table]:
    """Each data file of the folder as one table, by name."""
    for path in sorted(folder.glob("*.toml")):
        try:
            yield Table(path.name, tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CatalogError(f"{path.name}: {error}") from error
