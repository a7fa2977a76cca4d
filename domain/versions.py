"""Versions: of something that is published again with another date, the version that counts at a moment.

Versions are never changed: a correction is another one with the same start, and a change is another one with a later
start. The newest start up to a moment counts; of those with one start, the last published.
"""

from collections.abc import Hashable, Iterable, Iterator
from datetime import datetime
from typing import Generic, Protocol, TypeVar


class Dated(Protocol):
    """What has versions. `identity` is the same for all versions of one thing."""

    @property
    def identity(self) -> Hashable: ...
    @property
    def effective_from(self) -> datetime: ...
    @property
    def published_at(self) -> datetime: ...


Row = TypeVar("Row", bound=Dated)


class Versions(Generic[Row]):
    """All versions of all things of one kind, indexed by what they are versions of."""

    __slots__ = ("_by_identity",)

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        """Index the rows. Two versions of one thing with the same start and publication are an error."""
        self._by_identity: dict[Hashable, list[Row]] = {}
        for row in rows:
            self._by_identity.setdefault(row.identity, []).append(row)
        for identity, versions in self._by_identity.items():
            versions.sort(key=_precedence, reverse=True)
            assert len({_precedence(row) for row in versions}) == len(versions), f"{_shown(identity)}: is given twice"

    def __iter__(self) -> Iterator[Row]:
        """Every version, old and new, one thing after the other."""
        for versions in self._by_identity.values():
            yield from versions

    def adding(self, rows: Iterable[Row]) -> "Versions[Row]":
        """These and further versions: of two that were published at one moment, the one that is given later counts."""
        added: Versions[Row] = Versions()
        added._by_identity = dict(self._by_identity)
        for row in rows:
            # Sorting is stable, so that of equals the row that was given last stays first.
            versions = [row, *added._by_identity.get(row.identity, ())]
            added._by_identity[row.identity] = sorted(versions, key=_precedence, reverse=True)
        return added

    def at(self, identity: Hashable, when: datetime) -> Row | None:
        """The version of this thing that counts at a moment; None: there is none yet."""
        for row in self._by_identity.get(identity, ()):
            if row.effective_from <= when:
                return row
        return None

    def all_at(self, when: datetime) -> tuple[Row, ...]:
        """The version of each thing that counts at a moment, in the order in which the things were first given."""
        found = [self.at(identity, when) for identity in self._by_identity]
        return tuple([row for row in found if row is not None])


def _precedence(row: Dated) -> tuple[datetime, datetime]:
    """Highest first: newest start, last publication."""
    return row.effective_from, row.published_at


def _shown(identity: Hashable) -> str:
    return " ".join(identity) if isinstance(identity, tuple) else str(identity)
