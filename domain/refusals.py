"""Refusals: every expected "no", as a value with its figures. None of them is an exception.

`code` is what clients switch on, `message` what people read. Amounts are nano-units.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from domain.money import format_amount


class RefusalCode(StrEnum):
    """Why a request was refused; one for each refusal type."""

    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    SCOPE_PAUSED = "SCOPE_PAUSED"
    UNKNOWN_FEATURE = "UNKNOWN_FEATURE"
    UNPRICED_MODEL = "UNPRICED_MODEL"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    NOT_FOUND = "NOT_FOUND"
    RESERVATION_ENDED = "RESERVATION_ENDED"
    INVALID_INPUT = "INVALID_INPUT"
    PLAN_LIMIT = "PLAN_LIMIT"
    CONFLICT = "CONFLICT"


class BudgetScope(StrEnum):
    """What a budget or a pause is about. TASK stands only in refusals: the cap of one reservation."""

    TENANT = "TENANT"
    AGENT = "AGENT"
    CAMPAIGN = "CAMPAIGN"
    TASK = "TASK"
    TAG = "TAG"


class ReservationState(StrEnum):
    """A hold is HELD until it is settled (CONSUMED), given back (RELEASED) or overdue and booked (EXPIRED)."""

    HELD = "HELD"
    CONSUMED = "CONSUMED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field of a request and what to send instead; the path is as the client wrote it."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class InsufficientFunds:
    """A wallet does not hold what the request needs, or is below zero, or does not exist (available 0)."""

    code: ClassVar = RefusalCode.INSUFFICIENT_FUNDS
    wallet_key: str
    requested: int
    available: int

    @property
    def short_by(self) -> int:
        """How much has to come in before the same request fits."""
        return self.requested - self.available

    @property
    def message(self) -> str:
        """For people."""
        return (
            f"Wallet {self.wallet_key} has {format_amount(self.available)} available, "
            f"{format_amount(self.requested)} is needed: add {format_amount(self.short_by)} or ask for less."
        )


@dataclass(frozen=True, slots=True)
class BudgetExceeded:
    """spent + held + requested is over a cap; `retryable` where only other holds are in the way."""

    code: ClassVar = RefusalCode.BUDGET_EXCEEDED
    scope: BudgetScope
    scope_id: str | None
    cap: int
    spent: int
    held: int
    requested: int
    retryable: bool

    @property
    def message(self) -> str:
        """For people."""
        name = f"{self.scope.lower()} {self.scope_id}" if self.scope_id else self.scope.lower()
        remedy = (
            "send it again when other work has settled"
            if self.retryable
            else "raise the cap or wait for the next period"
        )
        if self.requested > self.cap or self.scope is BudgetScope.TASK:
            remedy = "ask for less or raise the cap"
        return (
            f"The budget of {name} is {format_amount(self.cap)} USD: {format_amount(self.spent)} spent, "
            f"{format_amount(self.held)} held, {format_amount(self.requested)} requested; {remedy}."
        )


@dataclass(frozen=True, slots=True)
class ScopePaused:
    """The tenant, an agent role or a campaign is paused (or suspended, or inactive), with the reason."""

    code: ClassVar = RefusalCode.SCOPE_PAUSED
    scope: BudgetScope
    scope_id: str | None
    reason: str

    @property
    def message(self) -> str:
        """For people."""
        name = f"{self.scope.capitalize()} {self.scope_id}" if self.scope_id else "The tenant"
        remedy = "resume it (resumeScope)"
        if self.reason == "metered_empty":
            remedy = "top up the metered wallet, then resume it"
        elif self.reason in ("tenant_suspended", "tenant_closed"):
            remedy = "ask the operator"
        elif self.reason.endswith("budget_exceeded"):
            remedy = "raise the cap or wait for the next period"
        return f"{name} is paused: {self.reason}; {remedy}."


@dataclass(frozen=True, slots=True)
class UnknownFeature:
    """The rate card in force has no such feature."""

    code: ClassVar = RefusalCode.UNKNOWN_FEATURE
    feature: str

    @property
    def message(self) -> str:
        """For people."""
        return f"The rate card has no feature {self.feature!r}: query rateCard for those that it has."


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """The price list in force has no price for this provider, model and operation."""

    code: ClassVar = RefusalCode.UNPRICED_MODEL
    provider: str
    model: str | None
    operation: str | None

    @property
    def message(self) -> str:
        """For people."""
        name = " ".join(part for part in (self.provider, self.model, self.operation) if part)
        return f"The price list has no price for {name}: query prices for those that it has."


@dataclass(frozen=True, slots=True)
class PlanLimit:
    """The tenant's plan allows no more of `what`: agent roles that are not inactive, or seats (document 004)."""

    code: ClassVar = RefusalCode.PLAN_LIMIT
    what: str
    limit: int
    used: int

    @property
    def message(self) -> str:
        """For people."""
        return (
            f"The plan allows {self.limit} {self.what}, {self.used} are in use: deactivate one or choose a larger plan."
        )


@dataclass(frozen=True, slots=True)
class IdempotencyKeyReused:
    """The key was used before for another request of this operation."""

    code: ClassVar = RefusalCode.IDEMPOTENCY_KEY_REUSED
    idempotency_key: str

    @property
    def message(self) -> str:
        """For people."""
        return f"The idempotency key {self.idempotency_key!r} belongs to another request: use a new key."


@dataclass(frozen=True, slots=True)
class NotFound:
    """The tenant has no such thing; a foreign tenant's answers exactly like one that does not exist."""

    code: ClassVar = RefusalCode.NOT_FOUND
    what: str

    @property
    def message(self) -> str:
        """For people."""
        return f"There is no such {self.what}."


@dataclass(frozen=True, slots=True)
class ReservationEnded:
    """The reservation is settled or given back already."""

    code: ClassVar = RefusalCode.RESERVATION_ENDED
    state: ReservationState

    @property
    def message(self) -> str:
        """For people."""
        return f"The reservation has ended: it is {self.state.lower()}."


@dataclass(frozen=True, slots=True)
class InvalidInput:
    """Fields that cannot be taken as they are."""

    code: ClassVar = RefusalCode.INVALID_INPUT
    fields: tuple[FieldProblem, ...]

    @property
    def message(self) -> str:
        """For people."""
        return "; ".join(f"{field.path}: {field.message}" for field in self.fields)


@dataclass(frozen=True, slots=True)
class Conflict:
    """What is asked for does not go with the state that something is in; `reason` says which, and what would help."""

    code: ClassVar = RefusalCode.CONFLICT
    reason: str

    @property
    def message(self) -> str:
        """For people."""
        return self.reason


Refusal = (
    InsufficientFunds
    | BudgetExceeded
    | ScopePaused
    | UnknownFeature
    | UnpricedModel
    | PlanLimit
    | IdempotencyKeyReused
    | NotFound
    | ReservationEnded
    | InvalidInput
    | Conflict
)


def invalid(path: str, message: str) -> InvalidInput:
    """One field that cannot be taken."""
    return InvalidInput((FieldProblem(path, message),))


def no_plan(plan: str, region: str) -> NotFound:
    """A plan that is not sold in a region."""
    return NotFound(f"plan {plan!r} in region {region}: query plans")
