"""Postings: what a large batch of usage adds to counters and wallets, once its events are kept.

Events are rated one by one without the tenant's lock (`recordings.rate`) and added up; what they come to is posted under it,
and the books come out as if each had been recorded (docs/decisions/0010). Amounts are nano-units.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from domain import budget_steps, settlements
from domain.attribution import Attribution
from domain.books import Books, Decision, Event, Request, Seen, seen
from domain.budget_steps import CountedBatch
from domain.budgets import ScopeKey, ScopeKind
from domain.ledger import Voucher
from domain.recordings import Fold
from domain.rollups import quarter_of
from domain.usage import UsageEvent

_RECORDED: Final = "usage recorded "


class Tally(NamedTuple):
    """What some events of one quarter of an hour (`at`) add up to that count in the same budgets: `attribution` names what
    budgets know (agent role, campaign, tags), `cost` is in nano-dollars, `charges` are nano-units per wallet."""

    attribution: Attribution
    at: datetime
    cost: int
    charges: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Post:
    """Count and charge events that are kept already, rated by `rate`: the part of a large batch that needs the tenant's
    lock. `recorded_at` is the moment of the batch and stands on the ledger entries; `named` are the customer's ids in the events, `unpriced` the messages
    about models without a price."""

    request: Request
    tallies: tuple[Tally, ...]
    recorded_at: datetime
    named: tuple[Seen, ...] = ()
    unpriced: tuple[Event, ...] = ()


class Posted(NamedTuple):
    """Whether the books could hold it; if not, nothing was changed."""

    fits: bool


class _Place(NamedTuple):
    """What events count in together."""

    agent_role: str | None
    campaign: str | None
    tags: tuple[tuple[str, str], ...]
    at: datetime


class Sums:
    """What events add up to, taken in one after the other: all that counting and charging needs to know."""

    def __init__(self) -> None:
        self._costs: defaultdict[_Place, int] = defaultdict(int)
        self._charges: defaultdict[_Place, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._named: dict[tuple[str | None, str | None, str | None, str | None], None] = {}
        self._accounts: dict[str, None] = {}
        self._unpriced: list[UsageEvent] = []

    def add(self, event: UsageEvent) -> None:
        """Take an event in."""
        project, _, campaign, account, client, role, _, _, tags = event.attribution
        cost = event.priced.cost
        place = _Place(role, campaign, tags, quarter_of(event.occurred_at))
        self._costs[place] += cost or 0
        self._named[project, campaign, client, role] = None
        if account is not None:
            self._accounts[account] = None
        if cost is None:
            self._unpriced.append(event)
        for key, amount, _ in event.charges:
            self._charges[place][key] += amount

    def quarters(self) -> set[datetime]:
        """The quarters of an hour in which anything happened."""
        return {place.at for place in self._costs}

    def named(self) -> tuple[Seen, ...]:
        """The customer's ids in the events."""
        found: dict[Seen, None] = {}
        for project, campaign, client, role in self._named:
            found.update(dict.fromkeys(seen(Attribution(project, None, campaign, None, client, role))))
        found.update({Seen(ScopeKey(ScopeKind.ACCOUNT, account)): None for account in self._accounts})
        return tuple(found)

    def post(self, request: Request, recorded_at: datetime, named: Iterable[Seen]) -> Post:
        """The command that counts and charges it. `named`: those of its ids that may not be registered yet."""
        tallies: list[Tally] = []
        for place, cost in self._costs.items():
            attribution = Attribution(campaign=place.campaign, agent_role=place.agent_role, tags=place.tags)
            charges = tuple(self._charges[place].items()) if place in self._charges else ()
            tallies.append(Tally(attribution, place.at, cost, charges))
        return Post(request, tuple(tallies), recorded_at, tuple(named), settlements.unpriced(self._unpriced))


def post(books: Books, command: Post, now: datetime) -> Decision[Posted]:
    """Count and charge what a large batch adds up to; the same as `record` does one by one."""
    voucher = Voucher(command.request.actor, now, None, reference_of(command.recorded_at))
    folded = Fold(books)
    for attribution, at, cost, charges in command.tallies:
        if not folded.count(attribution, at, cost, charges):
            return Decision(Posted(fits=False))
    changes = folded.changes(voucher)
    told = changes.events + command.unpriced
    counted = CountedBatch(command.recorded_at, budget_steps.between(books.book, changes.counters))
    changes = changes._replace(seen=command.named, events=told, counted_batch=counted)
    return Decision(Posted(fits=True), changes)


def reference_of(recorded_at: datetime) -> str:
    """What stands on the ledger entries of a large batch: the moment at which its events were recorded."""
    return f"{_RECORDED}{recorded_at.isoformat()}"


def recorded_at_of(reference: str) -> datetime | None:
    """The other way round; None for the reference of anything else."""
    return datetime.fromisoformat(reference.removeprefix(_RECORDED)) if reference.startswith(_RECORDED) else None
