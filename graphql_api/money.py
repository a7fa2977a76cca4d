"""Money: sums that people pay, with their currency."""

import strawberry

from domain import money
from graphql_api.scalars import Amount


@strawberry.type(description="A sum in a currency.")
class Money:
    """A sum in a currency."""

    amount: Amount = strawberry.field(description="In the currency's own unit, such as '34999' rupees.")
    currency: str = strawberry.field(description="ISO 4217, such as INR.")

    @classmethod
    def of(cls, sum_paid: money.Money) -> "Money":
        return cls(amount=Amount(money.minor_to_nano(sum_paid)), currency=sum_paid.currency)
