"""When the demo's work was done: tables of work as items with moments, the same ones whenever they are asked for.

The items of a day follow from the day alone. Those of a stint spread over what has passed of the month when they are first
booked; their names stay, so that they are booked once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import pairwise
from random import Random
from typing import Final, NamedTuple

from domain.attribution import Attribution
from domain.holds import ModelName
from domain.money import NANO, parse_amount
from domain.prices import Tokens
from domain.usage import Usage, UsageKind
from infra.demo.people import ACCOUNTS, CAMPAIGNS
from infra.demo.work import ROUTINES, STINTS, Call, Paid, Routine, Stint

SOURCE: Final = "demo"
# The first work of a day is done by then, and the last begun by then.
_OPENS: Final = 6 * 3_600
_CLOSES: Final = 22 * 3_600
_SATURDAY: Final = 5
_ON_WEEKENDS: Final = 0.35
_FAILS: Final = 0.03


class Facts(NamedTuple):
    """For whom a piece of work was done, and by which calls."""

    attribution: Attribution
    usage: tuple[Usage, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of work that was done at a moment. `facts` works the rest out, for those that are to be booked."""

    id: str
    tenant: str
    at: datetime
    feature: str
    paid: Paid
    model: ModelName | None
    facts: Callable[[], Facts]

    @property
    def event_id(self) -> str:
        """The name of its first call, by which it is known to be booked."""
        return _event_id(self.id, 0)


def items(first: date, now: datetime) -> list[Item]:
    """All work from a day (the first of a month) up to now, in order."""
    found: list[Item] = []
    for number in range((now.date() - first).days + 1):
        found.extend(item for item in _of_day(first + timedelta(days=number)) if item.at <= now)
    month = first
    while (start := datetime.combine(month, time(), UTC)) < now:
        following = (month + timedelta(days=32)).replace(day=1)
        passed = min(now, datetime.combine(following, time(), UTC)) - start
        for stint in STINTS:
            if stint.every_month:
                found.extend(_of_stint(stint, f"{month:%Y-%m}", start, passed))
        month = following
    for stint in STINTS:
        if not stint.every_month:
            start = datetime.combine(first, time(), UTC)
            found.extend(_of_stint(stint, "once", start, now - start))
    return sorted(found, key=lambda item: item.at)


def _of_day(day: date) -> Iterator[Item]:
    random = Random(f"{day}")  # noqa: S311  # the same each time
    midnight = datetime.combine(day, time(), UTC)
    share = 1 if day.weekday() < _SATURDAY else _ON_WEEKENDS
    for routine in ROUTINES:
        for number in range(int(routine.a_day * share + random.random())):
            name = f"{day}:{routine.feature}:{routine.role}:{number}"
            at = midnight + timedelta(seconds=random.uniform(_OPENS, _CLOSES))
            facts = partial(_facts, routine, name, at)
            yield Item(name, "acme", at, routine.feature, routine.paid, routine.model, facts)


def _facts(routine: Routine, name: str, at: datetime) -> Facts:
    random = Random(name)  # noqa: S311
    campaign = random.choice(routine.campaigns)
    _, client, research = (None, None, None) if campaign is None else CAMPAIGNS[campaign]
    account = random.choice(list(ACCOUNTS)) if routine.with_account else None
    session = f"{at:%m%d}-{routine.role}-{random.randrange(3)}"
    tags = (("team", "sales" if routine.with_account else "content"),)
    who = Attribution(routine.project, research, campaign, account, client, routine.role, session, tags=tags)
    calls = enumerate(routine.calls)
    return Facts(who, tuple([_usage(call, _event_id(name, number), at, number, random) for number, call in calls]))


def _usage(call: Call, name: str, at: datetime, number: int, random: Random) -> Usage:
    size = random.uniform(0.7, 1.3)
    failed = call.kind is UsageKind.LLM and random.random() < _FAILS
    output = 0 if failed else int(call.written * size)
    return Usage(
        call.kind,
        call.provider,
        call.model,
        call.operation,
        call.calls,
        Tokens(int(call.read * size), output, int(call.cache_read * size)),
        results=None if call.results is None else random.randint(0, call.results),
        source=SOURCE,
        event_id=name,
        duration_ms=random.randrange(180, 900) + output * 9,
        success=not failed,
        occurred_at=at - timedelta(seconds=40 * (number + 1)),
    )


def _of_stint(stint: Stint, month: str, start: datetime, passed: timedelta) -> Iterator[Item]:
    place = f"{month}:{stint.tenant}:{stint.name}"
    random = Random(place)  # noqa: S311
    weights = [random.uniform(0.6, 1.4) for _ in range(stint.times)]
    costs = _shares(parse_amount(stint.dollars), weights)
    units = None if stint.units is None else _shares(stint.units, weights)
    for number, weight in enumerate(weights):
        name = f"{place}:{number}"
        at = start + passed * ((number + random.uniform(0.2, 0.8)) / stint.times)
        size = weight * stint.times / sum(weights)
        facts = partial(_facts_of_stint, stint, name, at, size, costs[number], None if units is None else units[number])
        yield Item(name, stint.tenant, at, stint.feature, Paid.RECORDED, None, facts)


def _facts_of_stint(stint: Stint, name: str, at: datetime, size: float, cost: int, units: int | None) -> Facts:
    call = stint.call
    client = None if stint.campaign is None else CAMPAIGNS[stint.campaign][1]
    usage = Usage(
        call.kind,
        call.provider,
        call.model,
        call.operation,
        call.calls,
        Tokens(int(call.read * size), int(call.written * size)),
        units=None if units is None else units * NANO,
        cost=cost,
        source=SOURCE,
        event_id=_event_id(name, 0),
        duration_ms=int(9_000 * size),
        occurred_at=at,
    )
    return Facts(Attribution(campaign=stint.campaign, client=client, agent_role=stint.role), (usage,))


def _event_id(name: str, number: int) -> str:
    return f"{name}:{number}"


def _shares(whole: int, weights: list[float]) -> list[int]:
    """Whole parts that add up to it."""
    total = sum(weights)
    ends = [0, *[int(whole * sum(weights[: number + 1]) / total) for number in range(len(weights) - 1)], whole]
    return [end - begin for begin, end in pairwise(ends)]
