"""The state of one account at the stand-in, and what a try to take money does to it."""

import re
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from typing import Final

from infra.stripe_stand_in import objects
from infra.stripe_stand_in.cards import CARDS, Decline
from infra.stripe_stand_in.deliveries import Deliveries
from infra.stripe_stand_in.errors import StripeRefusal, missing, unexpected
from infra.stripe_stand_in.objects import Object

UNEXPECTED_STATE: Final = "payment_intent_unexpected_state"
_OF_OURS: Final = re.compile(r"cus_[0-9a-f]{24}", re.ASCII)


class Account:
    """Every object by its id."""

    def __init__(self, clock: Callable[[], datetime], deliveries: Deliveries) -> None:
        self.deliveries = deliveries
        self._clock = clock
        self.customers: dict[str, Object] = {}
        self.sessions: dict[str, Object] = {}
        self.intents: dict[str, Object] = {}
        self.charges: dict[str, Object] = {}
        self.refunds: dict[str, Object] = {}
        self.disputes: dict[str, Object] = {}
        self.payment_methods: dict[str, Object] = {}

    @property
    def captured(self) -> list[Object]:
        """The charges that took money, oldest first."""
        return [charge for charge in self.charges.values() if charge["captured"]]

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self._clock().timestamp())

    def intent(self, intent_id: str) -> Object:
        intent = self.intents.get(intent_id)
        if intent is None:
            raise missing("payment_intent", intent_id, "intent", status=404)
        return intent

    def customer(self, customer_id: str) -> Object:
        """A customer. One that was opened before a restart is taken in again: other state outlives this one."""
        if customer_id not in self.customers:
            if _OF_OURS.fullmatch(customer_id) is None:
                raise missing("customer", customer_id, "customer")
            self.customers[customer_id] = {**objects.customer(self.now, {}), "id": customer_id}
        return self.customers[customer_id]

    def payment_method(self, method_id: str, customer_id: str | None = None) -> Object:
        """A kept card; as with customers, one of before a restart is taken in again."""
        if method_id not in self.payment_methods:
            if not method_id.startswith("pm_") or number_of(method_id) not in CARDS:
                raise missing("PaymentMethod", method_id, "payment_method")
            found = objects.payment_method(self.now, number_of(method_id))
            self.payment_methods[method_id] = {**found, "id": method_id, "customer": customer_id}
        return self.payment_methods[method_id]

    def charge_of(self, intent_id: str) -> Object:
        """The charge that took a payment's money."""
        intent = self.intent(intent_id)
        charge = self.charges.get(intent["latest_charge"] or "")
        if charge is None or not charge["captured"]:
            raise unexpected(UNEXPECTED_STATE, f"This PaymentIntent ({intent_id}) does not have a successful charge.")
        return charge

    def attempt(self, intent: Object, decline: Decline | None) -> None:
        """Take an intent's money, unless the bank declines."""
        charge = objects.charge(self.now, intent)
        self.charges[charge["id"]] = charge
        intent["latest_charge"] = charge["id"]
        if decline is not None:
            raise self._declined(intent, charge, decline)
        charge.update(status="succeeded", paid=True, captured=True, amount_captured=charge["amount"])
        intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None)
        if intent["setup_future_usage"] is not None:
            self.payment_methods[intent["payment_method"]]["customer"] = intent["customer"]
        self.deliveries.tell("charge.succeeded", charge)
        self.deliveries.tell("payment_intent.succeeded", intent)

    def _declined(self, intent: Object, charge: Object, decline: Decline) -> StripeRefusal:
        fields = {"code": decline.code, "decline_code": decline.decline_code, "charge": charge["id"]}
        error = {
            **fields,
            "message": decline.message,
            "payment_method": deepcopy(self.payment_methods[intent["payment_method"]]),
            "type": "card_error",
        }
        charge.update(status="failed", failure_code=decline.code, failure_message=decline.message)
        intent.update(status="requires_payment_method", payment_method=None, last_payment_error=error)
        self.deliveries.tell("charge.failed", charge)
        self.deliveries.tell("payment_intent.payment_failed", intent)
        return StripeRefusal(402, "card_error", decline.message, payment_intent=deepcopy(intent), **fields)


def number_of(method_id: str) -> str:
    """The number of the test card that a payment method stands for."""
    return method_id.rpartition("_")[2]
