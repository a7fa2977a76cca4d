"""Work: one piece of metered work, from its admission to its settlement."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, Unpack

from purser_client.entries import Entry
from purser_client.facts import Amount, Usage, Wire, amount, event
from purser_client.means import Means, tell_unwritten
from purser_client.operations import CHECK, EXTEND, RESERVE
from purser_client.refusals import JournalError, Refused, Unavailable
from purser_client.settling import Settlement

DEFAULT_TTL: Final = 900
LONGEST_REASON: Final = 1_000
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BudgetWarning:
    """A budget of this work that fills up; amounts in USD."""

    scope: str
    scope_id: str | None
    used_percent: float
    cap: Decimal
    spent: Decimal
    held: Decimal


class Work:
    """A piece of work: `async with` holds what it may cost; leaving the block settles it, an exception gives it back.

    route: MANAGED, BYOK or FREE: on whose provider key the calls run.
    prompt_notice: to be put before the agent's prompt; None where there is nothing to say.
    warnings: budgets that fill up.
    max_cost_usd: what this work may cost at most, where there is a cap.
    already_done: the task key stands for work that was done and charged before: do not call the model again.
    charges: what was charged, as (wallet, amount), once Purser has answered; None before.
    """

    def __init__(self, means: Means, entry: Entry) -> None:
        self._means = means
        self._entry = entry
        self._settlement: Settlement | None = None
        self._extensions = 0
        self._is_begun = False
        self._kept: asyncio.Task[None] | None = None
        self.already_done = False
        self.route = ""
        self.prompt_notice: str | None = None
        self.warnings: tuple[BudgetWarning, ...] = ()
        self.max_cost_usd: Decimal | None = None
        self.expires_at: datetime | None = None

    async def __aenter__(self) -> Self:
        means, entry = self._means, self._entry
        if self._is_begun:
            raise RuntimeError("this work was begun before: make another reservation for another try")
        self._is_begun = True
        deadline = monotonic() + means.patience
        if entry.task is not None:
            await means.settler.earlier(entry.task, means.patience)
        try:
            means.journal.add(entry)
            await means.journal.synced()
        except BaseException:
            means.journal.settled(entry)
            raise
        try:
            self._grant(await means.connection.ask_until(deadline, RESERVE, {"input": entry.request}))
        except BaseException as error:
            if isinstance(error, Refused) or (isinstance(error, Unavailable) and error.nothing_done):
                means.journal.settled(entry)
            elif not means.settler.closed:
                # It may hold all the same.
                self._end({"release": "nobody waited for the answer"})
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._means.settler.closed and kind is not None:
            return
        if self._settlement is None:
            # Only its kind: a message may hold what is nobody's business, and the ledger keeps it for ever.
            self._end({} if kind is None else {"release": f"the work failed: {kind.__name__}"})
        await self._tried()

    @property
    def id(self) -> str:
        """The id of the reservation, which finds its receipt."""
        if self._entry.reservation is None:
            raise RuntimeError("this work was not admitted: begin it first, async with purser.reservation(...) as work")
        return self._entry.reservation

    @property
    def charges(self) -> tuple[tuple[str, Decimal], ...] | None:
        charges = None if self._settlement is None else self._settlement.charges
        return None if charges is None else tuple((wallet, Decimal(charged)) for wallet, charged in charges)

    def record(self, **usage: Unpack[Usage]) -> None:
        """Say that a call was made. It outlives this process when this returns, and is settled with the work."""
        facts = event(usage, self._means.connection.now())
        reservation = self.id
        if self.route == "BYOK":
            facts["usage"].setdefault("ownKey", True)
        if self._settlement is not None:
            self._means.take({**facts, "reservationId": reservation})
            return
        name = f"{facts['source']} {facts['eventId']}"
        if name not in self._entry.usage:
            self._entry.usage[name] = facts
            try:
                self._means.journal.recorded(self._entry, name)
            except JournalError as error:
                tell_unwritten(error)

    async def consume(self, quantity: Amount | None = None) -> None:
        """Settle now: the work is done, whatever happens afterwards. `quantity`: what was really made, as reserved unless
        said otherwise. Returns as soon as Purser answered, or the settlement is on disk and was tried once."""
        ending = {} if quantity is None else {"quantity": amount("quantity", quantity)}
        await self._settle_once(ending)

    async def release(self, reason: str) -> None:
        """Give the hold back now: nothing was made. What recorded calls cost still counts."""
        stored = reason.replace("\0", " ").encode(errors="replace").decode()
        await self._settle_once({"release": stored[:LONGEST_REASON]})

    async def check(
        self,
        *,
        running_cost_usd: Amount | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> bool:
        """Whether running work may go on, for calls in the midst of a stream: False as soon as it is paused, not held any
        more, or above its task cap. Where Purser does not answer it goes on: what it spends is settled in any case."""
        cost = None if running_cost_usd is None else amount("running_cost_usd", running_cost_usd, rounded_up=True)
        if cost is not None and self.max_cost_usd is not None and Decimal(cost) > self.max_cost_usd:
            return False
        asked: Wire = {"reservation": self.id, "cost": cost, "input": input_tokens, "output": output_tokens}
        try:
            verdict = await self._means.connection.ask(CHECK, asked)
        except Unavailable as error:
            _log.warning("nobody says whether %s may go on: %s", self.id, error)
            return True
        return bool(verdict == "CONTINUE")

    async def extend(
        self,
        *,
        ttl_seconds: int | None = None,
        cost_usd: Amount | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> None:
        """Hold for longer (from now), or hold more. Raises Refused, as a reservation does, and holds what it held then."""
        estimate: Wire = {"inputTokens": input_tokens, "outputTokens": output_tokens}
        estimate["costUsd"] = None if cost_usd is None else amount("cost_usd", cost_usd, rounded_up=True)
        more = {name: value for name, value in estimate.items() if value is not None}
        await self._extend({"ttlSeconds": ttl_seconds, "estimate": more or None}, self._means.patience)

    def _grant(self, granted: Any) -> None:
        self._entry.reservation = granted["id"]
        self._means.journal.reserved(self._entry)
        self.already_done = granted["state"] == "CONSUMED"
        self.route = granted["route"]
        self._show(granted)
        if not self.already_done and self.expires_at is not None:
            self._kept = asyncio.create_task(self._keep())

    def _show(self, granted: Any) -> None:
        self.prompt_notice = granted["promptNotice"]
        self.max_cost_usd = None if granted["maxCostUsd"] is None else Decimal(granted["maxCostUsd"])
        self.expires_at = None if granted["expiresAt"] is None else datetime.fromisoformat(granted["expiresAt"])
        self.warnings = tuple(
            BudgetWarning(
                warning["scope"],
                warning["scopeId"],
                warning["usedPercent"],
                Decimal(warning["cap"]),
                Decimal(warning["spent"]),
                Decimal(warning["held"]),
            )
            for warning in granted["warnings"]
        )

    async def _extend(self, wish: Wire, seconds: float) -> None:
        self._extensions += 1
        key = f"{self._entry.id}-{self._extensions}"
        asked = {"input": {"idempotencyKey": key, "reservationId": self.id, **wish}}
        self._show(await self._means.connection.ask_until(monotonic() + seconds, EXTEND, asked))

    async def _keep(self) -> None:
        """Extend long work in time. Where that fails it goes on: an expired hold is settled all the same."""
        assert self._entry.request is not None, "work is reserved"
        ttl = self._entry.request.get("ttlSeconds") or DEFAULT_TTL
        while True:
            await asyncio.sleep(ttl / 2)
            if self._means.settler.closed:
                return
            try:
                await self._extend({"ttlSeconds": ttl}, ttl / 2)
            except Unavailable as error:
                _log.warning("%s could not be extended: %s", self.id, error)
            except Refused as error:
                _log.warning("%s is not extended any more: %s", self.id, error.message)
                return

    async def _settle_once(self, ending: Wire) -> None:
        reservation = self.id
        if self._settlement is not None:
            raise RuntimeError(f"{reservation} was settled before")
        self._end(ending)
        await self._tried()

    def _end(self, ending: Wire) -> None:
        """From here on it is settled, whoever waits for it."""
        if self._means.settler.closed:
            raise RuntimeError("the client was closed before this work ended: the next one gives its hold back")
        if self._kept is not None:
            self._kept.cancel()
        if self.already_done:
            ending = {"release": "it was done before"}
        elif self._entry.reservation is not None and self.expires_at is None and "release" not in ending:
            # Capacity is never consumed: it stays taken until it is given back.
            ending = {"keep": True}
        self._entry.ending = ending
        self._settlement = self._means.settler.start(self._entry)

    async def _tried(self) -> None:
        assert self._settlement is not None, "it has ended"
        with suppress(TimeoutError):
            async with asyncio.timeout(self._means.timeout):
                await self._settlement.tried.wait()
