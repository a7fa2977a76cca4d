"""Expenses: what people enter against a campaign, and what a customer has cost to win (PRODUCT.md 8, document 000).

Ten kinds. Labor is hours times a rate, every other kind an amount. Sums stay in their currencies: nothing is converted,
and a cost of acquisition is told only where one currency is used. What the platform tracks by itself (US dollars of
providers) stands beside it and is never added in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from domain.attribution import IDENTIFIER_RULE, is_identifier, is_text
from domain.currencies import CURRENCIES
from domain.money import (
    LARGEST_AMOUNT,
    NANO,
    Money,
    divide_rounding_up,
    minor_digits,
    minor_to_nano,
    nano_to_minor,
    product_rounding_half_up,
)
from domain.refusals import FieldProblem

EARLIEST: Final = date(2000, 1, 1)
# A subscription may be paid a year ahead; what lies further off is a slip of the pen.
MOST_AHEAD: Final = timedelta(days=366)
LONGEST_DESCRIPTION: Final = 1_000
MOST_HOURS: Final = 100_000 * NANO
# Of a campaign and a day: all days from the earliest on, until 2058, sum up to no more than an integer of GraphQL holds.
MOST_CUSTOMERS: Final = 100_000

_MOST_OF_A_DAY: Final = f"a day has at most {MOST_CUSTOMERS}"
_LARGEST: Final = LARGEST_AMOUNT // NANO


class ExpenseKind(StrEnum):
    """What the money went to."""

    ADWORDS = "ADWORDS"
    META_ADS = "META_ADS"
    LINKEDIN_ADS = "LINKEDIN_ADS"
    OTHER_ADS = "OTHER_ADS"
    AGENCY = "AGENCY"
    LABOR = "LABOR"
    SOFTWARE = "SOFTWARE"
    CONTENT = "CONTENT"
    EVENT = "EVENT"
    OTHER = "OTHER"


class ExpenseChange(StrEnum):
    """How a version of an expense came to be."""

    ADDED = "ADDED"
    CHANGED = "CHANGED"
    DELETED = "DELETED"


class CacStatus(StrEnum):
    """Whether a cost of acquisition can be told, or why not."""

    OK = "OK"
    NO_EXPENSES = "NO_EXPENSES"
    MIXED_CURRENCIES = "MIXED_CURRENCIES"
    NO_CUSTOMERS = "NO_CUSTOMERS"


class ExpenseEntry(NamedTuple):
    """An expense as a person enters it; amounts, hours and rates in nano-units."""

    campaign: str
    kind: ExpenseKind
    currency: str
    incurred_on: date
    amount: int | None = None
    hours: int | None = None
    hourly_rate: int | None = None
    description: str | None = None


class ExpenseFacts(NamedTuple):
    """An expense as it is kept. `hours` (nano) and `hourly_rate` (nano-units of the currency): of labor alone."""

    campaign: str
    kind: ExpenseKind
    money: Money
    hours: int | None
    hourly_rate: int | None
    incurred_on: date
    description: str | None


@dataclass(frozen=True, slots=True)
class Cac:
    """What a customer cost to win: `money`, where the status is OK."""

    status: CacStatus
    money: Money | None = None


def problems(entry: ExpenseEntry, today: date) -> tuple[FieldProblem, ...]:
    """What is wrong with an entry; none: `facts_of` makes an expense of it."""
    found: list[FieldProblem] = []
    if not is_identifier(entry.campaign):
        found.append(FieldProblem("campaign", IDENTIFIER_RULE))
    if entry.currency not in CURRENCIES:
        found.append(FieldProblem("currency", "must be a currency's code by ISO 4217, such as EUR"))
    elif entry.kind is ExpenseKind.LABOR:
        found.extend(_labor_problems(entry))
    else:
        found.extend(_amount_problems(entry))
    found.extend(day_problems("incurredOn", entry.incurred_on, today))
    found.extend(text_problems("description", entry.description))
    return tuple(found)


def facts_of(entry: ExpenseEntry) -> ExpenseFacts:
    """The expense that an entry without problems stands for. Labor is hours times the rate, rounded half up to the minor
    unit. An empty description is none."""
    if entry.kind is ExpenseKind.LABOR:
        assert entry.hours is not None
        assert entry.hourly_rate is not None
        money = product_rounding_half_up(entry.hours, entry.hourly_rate, entry.currency)
    else:
        assert entry.amount is not None
        minor = nano_to_minor(entry.amount, entry.currency)
        assert minor is not None
        money = Money(minor, entry.currency)
    return ExpenseFacts(
        entry.campaign,
        entry.kind,
        money,
        entry.hours,
        entry.hourly_rate,
        entry.incurred_on,
        entry.description or None,
    )


def text_problems(path: str, text: str | None) -> tuple[FieldProblem, ...]:
    """Whether a description, or the reason of a deletion, can be kept."""
    if text is None or is_text(text, LONGEST_DESCRIPTION):
        return ()
    return (FieldProblem(path, f"must be at most {LONGEST_DESCRIPTION} characters, without the character NUL"),)


def day_problems(path: str, day: date, today: date) -> tuple[FieldProblem, ...]:
    """Whether an expense or a customer can be of a day: from the year 2000 to a year from now."""
    if EARLIEST <= day <= today + MOST_AHEAD:
        return ()
    return (FieldProblem(path, f"must be from {EARLIEST} to {today + MOST_AHEAD}, a year from now"),)


def customers_problems(campaign: str, count: int, day: date, today: date) -> tuple[FieldProblem, ...]:
    """What is wrong with a number of customers won. A negative one takes back what was recorded of the same day."""
    found: list[FieldProblem] = []
    if not is_identifier(campaign):
        found.append(FieldProblem("campaign", IDENTIFIER_RULE))
    if count == 0 or abs(count) > MOST_CUSTOMERS:
        found.append(FieldProblem("count", f"must be 1 to {MOST_CUSTOMERS}, or as many below zero to take some back"))
    found.extend(day_problems("on", day, today))
    return tuple(found)


def correction_problems(recorded: int, count: int) -> tuple[FieldProblem, ...]:
    """Whether a number of customers goes with those that are recorded of the campaign and day: never below none, and no
    more of a day than one request may name."""
    if recorded + count > MOST_CUSTOMERS:
        return (FieldProblem("count", f"the campaign has {recorded} customers recorded on this day: {_MOST_OF_A_DAY}"),)
    if recorded + count >= 0:
        return ()
    least = "there is nothing to take back" if recorded == 0 else f"it may be -{recorded} at the least"
    return (FieldProblem("count", f"the campaign has {recorded} customers recorded on this day: {least}"),)


def cac(totals: Sequence[Money], customers: int) -> Cac:
    """The cost of acquisition: what people entered, divided by customers won, rounded up to the minor unit. `totals`: one
    sum for each currency that was used."""
    if not totals:
        return Cac(CacStatus.NO_EXPENSES)
    if len(totals) > 1:
        return Cac(CacStatus.MIXED_CURRENCIES)
    if customers <= 0:
        return Cac(CacStatus.NO_CUSTOMERS)
    (total,) = totals
    return Cac(CacStatus.OK, Money(divide_rounding_up(total.minor, customers), total.currency))


def _labor_problems(entry: ExpenseEntry) -> list[FieldProblem]:
    found: list[FieldProblem] = []
    if entry.hours is None or not 0 < entry.hours <= MOST_HOURS:
        found.append(FieldProblem("hours", f"labor needs hours, above zero and at most {MOST_HOURS // NANO}"))
    if entry.hourly_rate is None or entry.hourly_rate <= 0:
        found.append(FieldProblem("hourlyRate", "labor needs what an hour costs, above zero"))
    if found or entry.hours is None or entry.hourly_rate is None:
        return found
    product = product_rounding_half_up(entry.hours, entry.hourly_rate, entry.currency)
    if not product.minor > 0 or minor_to_nano(product) > LARGEST_AMOUNT:
        found.append(FieldProblem("hourlyRate", f"hours times rate must be above zero and at most {_LARGEST}"))
    elif entry.amount not in (None, minor_to_nano(product)):
        found.append(FieldProblem("amount", "of labor it is hours times hourlyRate: leave it out"))
    return found


def _amount_problems(entry: ExpenseEntry) -> list[FieldProblem]:
    found: list[FieldProblem] = []
    if entry.amount is None:
        found.append(FieldProblem("amount", "is missing: only labor goes without it, by hours and hourlyRate"))
    elif not 0 < entry.amount <= LARGEST_AMOUNT:
        found.append(
            FieldProblem(
                "amount", f"must be above zero and at most {_LARGEST}; for money that came back, change the expense"
            )
        )
    elif nano_to_minor(entry.amount, entry.currency) is None:
        digits = minor_digits(entry.currency)
        found.append(
            FieldProblem("amount", f"{entry.currency} has {digits or 'no'} digits after the point, it has more")
        )
    if entry.hours is not None or entry.hourly_rate is not None:
        path = "hours" if entry.hours is not None else "hourlyRate"
        found.append(FieldProblem(path, "only labor has hours and hourlyRate: leave them out"))
    return found
