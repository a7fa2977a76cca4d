"""Amounts: what a number of credits or dollars is, and the only place where one is rounded.

Every amount is an integer at one scale, 10^-9 of its unit (nano), for credits and US dollars alike
(PRODUCT.md 2). Prices are nano-dollars per 1,000,000 units. A function that rounds says in its name
which way; a charge rounds up, so that no call is billed below what it cost (document 001).
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

NANO: Final = 10**9
FRACTION_DIGITS: Final = 9
MILLION: Final = 1_000_000

# PostgreSQL's bigint; every stored balance and counter must fit.
LARGEST_STORED: Final = 2**63 - 1
# The largest amount that one request may name: a billion units. Nine of them still fit a balance.
LARGEST_AMOUNT: Final = 10**9 * NANO

_PLAIN_DECIMAL: Final = re.compile(r"(-?)([0-9]{1,30})(?:\.([0-9]{1,30}))?", re.ASCII)


class AmountError(ValueError):
    """A text is not an amount; the message says what to send instead."""


def parse_amount(text: str) -> int:
    """Read a plain decimal such as "12", "0.25" or "-3.5" into nano-units, exactly.

    Raises AmountError for exponents, NaN, a leading plus, blanks, a bare point, more than nine
    fractional digits and magnitudes over a billion units.
    """
    match = _PLAIN_DECIMAL.fullmatch(text)
    if match is None:
        raise AmountError("an amount is a plain decimal in a string, such as '12' or '0.25'")
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    if len(fraction) > FRACTION_DIGITS:
        raise AmountError("an amount has at most 9 fractional digits")
    nano = int(whole) * NANO + int(fraction.ljust(FRACTION_DIGITS, "0"))
    if nano > LARGEST_AMOUNT:
        raise AmountError("an amount is at most 1000000000")
    return -nano if sign else nano


def read_amount(value: object) -> int:
    """Read an amount from JSON, where it is a string: a number may have become a float on its way.

    Raises AmountError as parse_amount does, and for everything that is no string."""
    if not isinstance(value, str):
        raise AmountError(f"an amount is a plain decimal in a string: send {_quoted(value)}")
    return parse_amount(value)


def format_amount(nano: int) -> str:
    """Write nano-units as a plain decimal without trailing zeros: 250_000_000 is "0.25"."""
    whole, fraction = divmod(abs(nano), NANO)
    sign = "-" if nano < 0 else ""
    if fraction == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:09d}".rstrip("0")


def fits_storage(nano: int) -> bool:
    """Whether a balance or counter can be stored (PostgreSQL's bigint)."""
    return -LARGEST_STORED <= nano <= LARGEST_STORED


def divide_rounding_up(dividend: int, divisor: int) -> int:
    """The quotient, rounded towards plus infinity. The divisor must be positive."""
    assert divisor > 0
    return -(-dividend // divisor)


def multiply_rounding_up(left: int, right: int) -> int:
    """The product of two nano-amounts as a nano-amount, rounded up: 0.1 credits times 3 units."""
    return divide_rounding_up(left * right, NANO)


def multiply_rounding_down(left: int, right: int) -> int:
    """The product of two nano-amounts as a nano-amount, rounded towards minus infinity: credits times what one is worth, so
    that what was earned is never overstated."""
    return left * right // NANO


def quantity_rounding_down(amount: int, each: int) -> int:
    """How many (nano) an amount is at so much for each, all in nano-units: 4 credits at 2 each are two."""
    return amount * NANO // each


def price_for_margin_rounding_down(cost: int, margin: int) -> int:
    """What must be earned by something that costs this much, so that of every unit earned a part remains: `margin`, in
    hundredths of a percent, under 10_000. At 5_000 (50 %) it is twice the cost."""
    assert 0 <= margin < 10_000
    return cost * 10_000 // (10_000 - margin)


def cost_rounding_up(classes: Iterable[tuple[int, int]]) -> int:
    """Price quantities: each pair is (units, nano-dollars per 1,000,000 units).

    The sum is divided once and rounded up once, so the order and the split into classes do not matter.
    """
    return divide_rounding_up(sum([units * price for units, price in classes]), MILLION)


def mark_up_rounding_up(cost: int, markup: int, unit_value: int = NANO) -> int:
    """Cost-plus: nano-dollars of cost times a markup (nano; 1.3 is 1_300_000_000), in units that are
    worth `unit_value` nano-dollars each (a dollar: NANO; a credit: its USD value)."""
    assert unit_value > 0
    return divide_rounding_up(cost * markup, unit_value)


def percent(part: int, whole: int) -> int:
    """Hundredths of a percent (8_000 is 80 %), rounded down, so that a limit never shows as reached
    before it is; 0 of nothing."""
    return 0 if whole == 0 else part * 10_000 // whole


# ISO 4217: currencies whose minor unit is not a hundredth.
_WITHOUT_MINOR: Final = frozenset(
    {
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    }
)
_THOUSANDTHS: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


class Money(NamedTuple):
    """A sum in a currency (ISO 4217), in its minor units: 34,999 rupees are 3_499_900."""

    minor: int
    currency: str


def minor_digits(currency: str) -> int:
    """How many digits a currency has after the point: 0, 2 or 3."""
    if currency in _WITHOUT_MINOR:
        return 0
    return 3 if currency in _THOUSANDTHS else 2


def minor_to_nano(money: Money) -> int:
    """Money as a nano-amount of its currency's unit, exactly."""
    per_minor: int = 10 ** (FRACTION_DIGITS - minor_digits(money.currency))
    return money.minor * per_minor


def nano_to_minor(nano: int, currency: str) -> int | None:
    """A nano-amount in minor units; None where it does not come out whole."""
    per_minor: int = 10 ** (FRACTION_DIGITS - minor_digits(currency))
    minor, beyond = divmod(nano, per_minor)
    return None if beyond else minor


def product_rounding_half_up(left: int, right: int, currency: str) -> Money:
    """The product of two nano-amounts, such as hours and what one costs, in minor units; half of one rounds up, as on
    invoices."""
    per_minor: int = NANO * 10 ** (FRACTION_DIGITS - minor_digits(currency))
    return Money((2 * left * right + per_minor) // (2 * per_minor), currency)


def share_rounding_down(amount: int, part: int, whole: int) -> int:
    """The share of an amount that goes with a part of a whole, rounded down; all of it for the whole."""
    assert 0 <= part <= whole
    assert whole > 0
    return amount * part // whole


def _quoted(value: object) -> str:
    """The likely intention of somebody who sent a number."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 10**9
    return f"'{value}'" if whole else "'0.25', not 0.25"
