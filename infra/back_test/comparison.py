"""Comparison: whether a month that is played again as it was comes out as the books say.

Every decision is held against what was really decided: who was admitted, where each budget stood, what was charged, which
refusal came with which figures. At the end the balances are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Final
from uuid import UUID

from domain import ids
from domain.budget_steps import Counted
from domain.budgets import counter_keys
from domain.decisions import Answer
from domain.holds import Reservation
from domain.money import format_amount
from domain.refusals import Refusal, ReservationState
from domain.reservations import Granted, Released
from domain.settlements import Consumed
from domain.wallets import Wallet
from infra.back_test.facts import Denied, Ended, Extended, Fact, Reserved

MOST: Final = 20


class Comparison:
    """Collects differences. `corrected` are reservations that were re-rated since: what they were charged first is not kept
    beside what they were charged in the end."""

    def __init__(self, corrected: Iterable[UUID]) -> None:
        self._corrected = frozenset(corrected)
        self._found: list[str] = []
        self._more = 0

    @property
    def differences(self) -> tuple[str, ...]:
        """For people, the first MOST of them."""
        more = (f"and {self._more} more",) if self._more else ()
        return (*self._found, *more)

    def look(self, fact: Fact, answer: Answer | None) -> None:
        """Hold what was answered now against what was answered then."""
        match fact.what:
            case Reserved(real):
                self._reserved(real, answer)
            case Extended(real, _):
                if not isinstance(answer, Granted):
                    self._note(fact.at, f"{_name(real)} was extended; played again it is {_said(answer)}")
            case Ended(real, _) if real.state is ReservationState.RELEASED:
                if not isinstance(answer, Released):
                    self._note(fact.at, f"{_name(real)} was released; played again it is {_said(answer)}")
            case Ended(real, _):
                self._settled(real, answer, fact.at)
            case Denied():
                self._denied(fact.what, answer, fact.at)
            case _:
                pass

    def close(self, played: Mapping[str, Wallet], real: Mapping[str, Wallet], at: datetime) -> None:
        """Hold the balances at the end against the real ones."""
        for key, wallet in real.items():
            for name in ("granted", "available", "reserved", "consumed", "expired"):
                then, now = getattr(wallet, name), getattr(played[key], name)
                if then != now:
                    self._note(at, f"wallet {key}: {format_amount(then)} {name}; played again {format_amount(now)}")

    def _reserved(self, real: Reservation, answer: Answer | None) -> None:
        if not isinstance(answer, Granted) or answer.reservation.id != real.id:
            self._note(real.created_at, f"{_name(real)} was admitted; played again it is {_said(answer)}")
        elif real.counted:
            self._counted(real, real.counted[0], answer.reservation.counted[0], real.created_at)

    def _settled(self, real: Reservation, answer: Answer | None, at: datetime) -> None:
        if not isinstance(answer, Consumed):
            self._note(at, f"{_name(real)} was consumed; played again it is {_said(answer)}")
            return
        settled = answer.reservation
        if real.id not in self._corrected:
            if sorted(settled.charges) != sorted(real.charges):
                self._note(at, f"{_name(real)} was charged {_amounts(real)}; played again {_amounts(settled)}")
            if settled.cost_usd != real.cost_usd:
                self._note(at, f"{_name(real)} cost another amount when played again")
        if real.counted:
            self._counted(real, real.counted[-1], settled.counted[-1], at)

    def _counted(self, real: Reservation, then: Counted, now: Counted, at: datetime) -> None:
        """The first budget that stood elsewhere, or had another cap."""
        for key, before, found in zip(counter_keys(real.attribution, then.month), then.levels, now.levels, strict=True):
            if before != found:
                self._note(
                    at, f"{_name(real)} found {' '.join(key)} at {_of_cap(*before)}; played again {_of_cap(*found)}"
                )
                return

    def _denied(self, denied: Denied, answer: Answer | None, at: datetime) -> None:
        asked = denied.asked
        if not isinstance(answer, Refusal):
            self._note(at, f"{asked.feature} was refused ({denied.code}); played again it is admitted")
        elif answer.code is not denied.code or (asked.idempotency_key and _plain(answer) != denied.figures):
            self._note(
                at, f"{asked.feature} was refused ({denied.code}) otherwise than when played again: {answer.message}"
            )

    def _note(self, at: datetime, difference: str) -> None:
        if len(self._found) < MOST:
            self._found.append(f"{at.isoformat()}: {difference}")
        else:
            self._more += 1


def _of_cap(amount: int, cap: int | None) -> str:
    return f"{format_amount(amount)} of {'no cap' if cap is None else format_amount(cap)}"


def _plain(refusal: Refusal) -> dict[str, object]:
    return {name: getattr(value, "value", value) for name, value in asdict(refusal).items()}


def _said(answer: Answer | None) -> str:
    return f"refused: {answer.message}" if isinstance(answer, Refusal) else "not"


def _name(reservation: Reservation) -> str:
    return ids.public("reservation", reservation.id)


def _amounts(reservation: Reservation) -> str:
    return ", ".join([f"{format_amount(amount)} {key}" for key, amount in sorted(reservation.charges)]) or "nothing"
