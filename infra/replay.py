"""Replay: recorded LLM calls played through reserve and consume, at present time, for a tenant of its own.

What the calls cost is known twice: as Purser answers and keeps it, and as a plain sum over the admitted calls and
the price list's figures. The report holds both, and names every place where two figures differ.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from secrets import token_hex
from time import perf_counter
from typing import Final
from uuid import UUID

from domain.admission import Wish
from domain.attribution import Attribution
from domain.holds import Estimate, ModelName
from domain.money import MILLION, format_amount
from domain.prices import Price, Tokens
from domain.reservations import Granted
from domain.settlements import Consumed
from domain.usage import Usage
from domain.wallets import METERED_KEY, LotSource
from infra.application import Application
from infra.queries import wallets
from infra.recorded_calls import RecordedCall, read_calls
from infra.services import reservations, settlements, tenants
from infra.services.callers import Caller, Refused, Role
from infra.services.tenants import TenantOrder
from infra.services.wallets import credit

FEATURE: Final = "llm_call"
SECONDS_BETWEEN_LOOKS: Final = 0.1
KEPT_USAGE: Final = "SELECT count(*) AS events, coalesce(sum(cost), 0) AS cost FROM usage_event WHERE tenant_id = $1"


class UnpricedModelError(ValueError):
    """The price list has no price for the model that is to be replayed."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What to play and how. `balance`: nano-dollars to start with. `max_output_tokens`: the ceiling that a caller
    sets for the answer, reserved because its real length is not known yet. `speed`: times the recorded pace, None as
    fast as possible."""

    path: Path
    model: ModelName
    balance: int
    max_output_tokens: int
    concurrency: int
    speed: float | None = None
    limit: int | None = None


class Latencies:
    """How long calls took, in buckets that are 1 % wide: any number of calls takes the same memory."""

    _LEAST: Final = 1e-6
    _STEP: Final = math.log(1.01)

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        self._counts[math.ceil(math.log(max(seconds, self._LEAST) / self._LEAST) / self._STEP)] += 1

    def milliseconds(self, part: float) -> float | None:
        """The time under which this part of the calls stayed; None without calls."""
        wanted = part * self._counts.total()
        for bucket in sorted(self._counts):
            wanted -= self._counts[bucket]
            if wanted <= 0:
                return self._LEAST * math.exp(bucket * self._STEP) * 1000
        return None


@dataclass(slots=True)
class Tally:
    """What happened so far. Amounts are nano-units; `cost_by_hand` is the independent sum."""

    admitted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    not_settled: Counter[str] = field(default_factory=Counter)
    cost: int = 0
    cost_by_hand: int = 0
    charged: Counter[str] = field(default_factory=Counter)
    reserve: Latencies = field(default_factory=Latencies)
    consume: Latencies = field(default_factory=Latencies)

    @property
    def calls(self) -> int:
        """How many calls were decided."""
        return self.admitted + self.refused.total()


@dataclass(frozen=True, slots=True)
class Report:
    """A finished replay. `differences` is empty where all figures agree."""

    tenant_id: UUID
    slug: str
    tally: Tally
    seconds: float
    stopped: bool
    differences: tuple[str, ...]


async def play(
    application: Application, recording: Recording, stop: asyncio.Event, watch: Callable[[Tally], None]
) -> Report:
    """Play a recording to its end, or until `stop` is set: then what has begun is still settled."""
    now = application.clock()
    if _price(application, recording.model, 0, now) is None:
        model = f"{recording.model.provider}/{recording.model.model}"
        raise UnpricedModelError(f"the price list has no price for {model}: name another model")
    slug = f"replay-{now:%Y%m%d-%H%M%S}-{token_hex(3)}"
    plan = application.catalog.plans_of("india", now)[0]
    order = TenantOrder(slug, f"Replay of {recording.path.name}", plan.region, plan.key, metered=True)
    tenant_id = await tenants.set_up(application, order, plan)
    if recording.balance:
        await credit(application, tenant_id, METERED_KEY, recording.balance, LotSource.TOP_UP, "replay")
    player = _Player(application, recording, Caller(tenant_id, Role.SERVICE, "replay"), stop)
    watching = asyncio.create_task(_look(watch, player.tally))
    started = perf_counter()
    try:
        calls = read_calls(recording.path, recording.limit)
        async with asyncio.TaskGroup() as workers:
            for _ in range(recording.concurrency):
                workers.create_task(player.work(calls))
    finally:
        watching.cancel()
        watch(player.tally)
    seconds = perf_counter() - started
    differences = await _differences(application, tenant_id, player.tally)
    return Report(tenant_id, slug, player.tally, seconds, stop.is_set(), differences)


def cost_by_hand(price: Price, input_tokens: int, output_tokens: int) -> int:
    """Nano-dollars of one call: its tokens times the list's figures, rounded up to a whole one. Deliberately not the
    function that Purser charges by."""
    tokens = input_tokens * (price.input_per_million or 0) + output_tokens * (price.output_per_million or 0)
    return math.ceil(Fraction(tokens, MILLION) + (price.per_call or 0))


class _Player:
    """Takes the calls in turn. Several workers share the calls and the tally."""

    def __init__(self, application: Application, recording: Recording, caller: Caller, stop: asyncio.Event) -> None:
        self.tally = Tally()
        self._application = application
        self._recording = recording
        self._caller = caller
        self._stop = stop
        self._started: tuple[float, datetime] | None = None

    async def work(self, calls: Iterator[RecordedCall]) -> None:
        for call in calls:
            await self._until_due(call)
            if self._stop.is_set():
                return
            await self._play(call)

    async def _until_due(self, call: RecordedCall) -> None:
        speed = self._recording.speed
        if speed is None:
            return
        if self._started is None:
            self._started = (perf_counter(), call.at)
        started, first = self._started
        wait = started + (call.at - first).total_seconds() / speed - perf_counter()
        if wait > 0:
            try:
                await asyncio.wait_for(self._stop.wait(), wait)
            except TimeoutError:
                return

    async def _play(self, call: RecordedCall) -> None:
        application, tally = self._application, self.tally
        key = f"line-{call.line}"
        estimate = Estimate(tokens=Tokens(call.input_tokens, self._recording.max_output_tokens))
        wish = Wish(
            FEATURE, model=self._recording.model, estimate=estimate, attribution=Attribution(agent_role="replay")
        )
        began = perf_counter()
        granted = await reservations.reserve(application, self._caller, key, wish)
        tally.reserve.add(perf_counter() - began)
        if isinstance(granted, Refused):
            tally.refused[granted.refusal.code.value] += 1
            return
        tally.admitted += 1
        usage = Usage(tokens=Tokens(call.input_tokens, call.output_tokens))
        began = perf_counter()
        consumed = await settlements.consume(application, self._caller, key, granted.reservation.id, None, [usage])
        tally.consume.add(perf_counter() - began)
        self._count(call, granted, consumed)

    def _count(self, call: RecordedCall, granted: Granted, consumed: Consumed | Refused) -> None:
        tally = self.tally
        if isinstance(consumed, Refused):
            tally.not_settled[consumed.refusal.code.value] += 1
            return
        settled = consumed.reservation
        tally.cost += settled.cost_usd or 0
        for wallet_key, amount in settled.charges:
            tally.charged[wallet_key] += amount
        price = _price(self._application, self._recording.model, call.input_tokens, granted.reservation.created_at)
        assert price is not None, "what has no price is refused"
        tally.cost_by_hand += cost_by_hand(price, call.input_tokens, call.output_tokens)


def _price(application: Application, model: ModelName, input_tokens: int, at: datetime) -> Price | None:
    return application.catalog.prices.find(model.provider, model.model, model.operation, at, at, input_tokens)


async def _look(watch: Callable[[Tally], None], tally: Tally) -> None:
    while True:
        watch(tally)
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


async def _differences(application: Application, tenant_id: UUID, tally: Tally) -> tuple[str, ...]:
    """Where what was answered, what is kept and what was summed by hand are not the same."""
    found: list[str] = []

    def compare(what: str, here: str, there: str) -> None:
        if here != there:
            found.append(f"{what}: {here} is not {there}")

    kept = await application.readers.of(tenant_id).fetchrow(KEPT_USAGE, tenant_id)
    (view,) = await wallets.get_many_by_key(application, tenant_id, [METERED_KEY])
    assert view is not None
    assert kept is not None
    settled = tally.admitted - tally.not_settled.total()
    charged = tally.charged[METERED_KEY]
    compare("admitted calls and settled ones", str(tally.admitted), str(settled))
    compare("cost answered and cost by hand", format_amount(tally.cost), format_amount(tally.cost_by_hand))
    compare("cost answered and cost of the usage kept", format_amount(tally.cost), format_amount(int(kept["cost"])))
    compare("calls settled and usage events kept", str(settled), str(kept["events"]))
    compare("charges answered and consumed of the wallet", format_amount(charged), format_amount(view.wallet.consumed))
    compare("nothing and what is still reserved", "0", format_amount(view.wallet.reserved))
    return tuple(found)
