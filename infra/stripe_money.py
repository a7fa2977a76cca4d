"""Money as Stripe writes it: lower-case currencies, and minor units that are not always those of ISO 4217.

https://docs.stripe.com/currencies: ISK and UGX are given with two decimals although they have none, MGA with none, and
the last digit of three-decimal currencies must be 0.
"""

from typing import Final

from domain.money import LARGEST_STORED, Money, minor_digits

_DIGITS: Final = {"ISK": 2, "UGX": 2, "MGA": 0}


class UnitsError(ValueError):
    """A sum that does not come out whole in the other's units; the message says which."""


def to_stripe(money: Money) -> tuple[int, str]:
    """Stripe's amount and currency. Raises UnitsError for what Stripe cannot take exactly."""
    if minor_digits(money.currency) == 3 and money.minor % 10:
        raise UnitsError(f"Stripe takes no thousandths of {money.currency}: the last digit must be 0")
    return _scaled(money.minor, minor_digits(money.currency), _digits(money.currency)), money.currency.lower()


def from_stripe(amount: int, currency: str) -> Money:
    """Money of an amount and a currency of Stripe's. Raises UnitsError where it is no sum of that currency."""
    code = currency.upper()
    if len(code) != 3 or not code.isascii() or not code.isalpha() or amount < 0:
        raise UnitsError("no sum of money")
    minor = _scaled(amount, _digits(code), minor_digits(code))
    if minor > LARGEST_STORED:
        raise UnitsError("more than can be stored")
    return Money(minor, code)


def _digits(currency: str) -> int:
    return _DIGITS.get(currency, minor_digits(currency))


def _scaled(amount: int, digits: int, wanted: int) -> int:
    more, fewer = 10 ** max(wanted - digits, 0), 10 ** max(digits - wanted, 0)
    scaled, beyond = divmod(amount * more, fewer)
    if beyond:
        raise UnitsError("does not come out whole in its currency")
    return int(scaled)
