"""What the demo's campaigns have cost beside the platform, and whom they won. Each entry has its key, and so stands once."""

import asyncio
from datetime import date
from typing import Final

from domain.expenses import ExpenseEntry, ExpenseKind
from domain.money import NANO, parse_amount
from infra.application import Application
from infra.services import expenses
from infra.services.callers import Caller

CAMPAIGN: Final = "spring"
# Of a month of its own: the README asks for these days.
EXPENSES: Final = (
    ExpenseEntry(
        CAMPAIGN, ExpenseKind.ADWORDS, "EUR", date(2026, 11, 3), 1_250 * NANO, description="Search, first week"
    ),
    ExpenseEntry(CAMPAIGN, ExpenseKind.LINKEDIN_ADS, "EUR", date(2026, 11, 5), 480 * NANO),
    ExpenseEntry(CAMPAIGN, ExpenseKind.AGENCY, "EUR", date(2026, 11, 10), 900 * NANO, description="Landing page"),
    ExpenseEntry(
        CAMPAIGN, ExpenseKind.LABOR, "EUR", date(2026, 11, 12), hours=12 * NANO + NANO // 2, hourly_rate=60 * NANO
    ),
)
CUSTOMERS_WON: Final = ((3, date(2026, 11, 14)), (4, date(2026, 11, 20)))

# Of every month: campaign, kind, currency, day of the month, amount, description. Nothing of partner-webinar; trade-fair in
# two currencies; newsletter has won nobody.
_OF_MONTH: Final = (
    ("summer-trial", ExpenseKind.META_ADS, "EUR", 1, "640", "Stories and reels"),
    ("summer-trial", ExpenseKind.CONTENT, "EUR", 9, "310.5", "Photographs"),
    ("winter-clearance", ExpenseKind.ADWORDS, "EUR", 2, "420", "Shopping ads"),
    ("trade-fair", ExpenseKind.EVENT, "EUR", 1, "2400", "Booth, half of the fee"),
    ("trade-fair", ExpenseKind.OTHER, "CHF", 3, "380", "Travel from Zurich"),
    ("newsletter", ExpenseKind.SOFTWARE, "EUR", 1, "49", "Sending plan"),
    ("win-back", ExpenseKind.OTHER_ADS, "EUR", 5, "150", None),
    ("win-back", ExpenseKind.AGENCY, "EUR", 12, "275", "Call scripts"),
)
_WON_IN_MONTH: Final = (
    ("summer-trial", 4, 1),
    ("summer-trial", 7, 15),
    ("winter-clearance", 5, 6),
    ("trade-fair", 2, 4),
    ("win-back", 3, 8),
)


async def enter_spring(application: Application, caller: Caller) -> None:
    """What the README asks about, on whatever day the demo starts."""
    spent = enumerate(EXPENSES)
    await asyncio.gather(
        *[expenses.add_expense(application, caller, f"demo:expense:{number}", entry) for number, entry in spent],
        *[
            expenses.record_customers_won(application, caller, f"demo:customers:{day}", CAMPAIGN, count, day)
            for count, day in CUSTOMERS_WON
        ],
    )


async def enter_day(application: Application, caller: Caller, day: date) -> None:
    """What the other campaigns spent and won on a day of any month."""
    for campaign, kind, currency, of_month, amount, description in _OF_MONTH:
        if of_month == day.day:
            entry = ExpenseEntry(campaign, kind, currency, day, parse_amount(amount), description=description)
            await expenses.add_expense(application, caller, f"demo:{campaign}:{kind.lower()}:{day}", entry)
    for campaign, of_month, count in _WON_IN_MONTH:
        if of_month == day.day:
            await expenses.record_customers_won(application, caller, f"demo:{campaign}:won:{day}", campaign, count, day)
