"""Stripe's test cards by their numbers (https://docs.stripe.com/testing): none of them is anybody's card."""

from typing import Final, NamedTuple


class Decline(NamedTuple):
    """Why a bank says no."""

    code: str
    decline_code: str | None
    message: str


class Card(NamedTuple):
    """What happens to a card while its owner is there, and later without; `disputed`: its owner then complains."""

    meaning: str
    present: Decline | None = None
    absent: Decline | None = None
    disputed: bool = False


_DECLINED: Final = Decline("card_declined", "generic_decline", "Your card was declined.")
_NO_FUNDS: Final = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
_ASKS_OWNER: Final = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)

SUCCEEDS: Final = "4242424242424242"

CARDS: Final = {
    SUCCEEDS: Card("succeeds"),
    "4000000000000002": Card("is declined", _DECLINED, _DECLINED),
    "4000000000009995": Card("has insufficient funds", _NO_FUNDS, _NO_FUNDS),
    "4000000000000341": Card("succeeds now, is declined when charged later", None, _DECLINED),
    # Stripe's own asks no more once it is kept for later charges; here both of these do.
    "4000002500003155": Card("succeeds now, asks its owner when charged later", None, _ASKS_OWNER),
    "4000002760003184": Card("succeeds now, asks its owner when charged later", None, _ASKS_OWNER),
    "4000000000000259": Card("succeeds, then is disputed", disputed=True),
}
