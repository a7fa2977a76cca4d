"""Stripe as a payment rail, by its SDK: https://docs.stripe.com/api.

What is made at Stripe carries an idempotency key of our own ids and a hash of all that is asked for: the same order
repeated is the same object, and what changed since (a bundle's name) never goes under a key that has been used. Such a
second object costs nothing: a session that nobody was told of, a payment that nobody confirms.
Our ids are written beside every session and payment (metadata); they lead back from a message to the order.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from domain import ids, payments
from domain.payments import Outcome, PaymentFacts, TopUp, TopUpOrigin
from infra import stripe_events, stripe_objects
from infra.payments import Checkout, OrderReference, PaymentEvent, PaymentsRefusedError, PaymentsUnavailableError
from infra.stripe_money import UnitsError, to_stripe
from infra.stripe_objects import UnreadableError

if TYPE_CHECKING:
    # Importing stripe takes 160 ms of CPU, and most jobs never need it.
    import stripe
    from stripe import RequestOptions
    from stripe._v1_services import V1Services
    from stripe.params import CustomerCreateParams, PaymentIntentCreateParams
    from stripe.params.checkout import SessionCreateParams

    from infra.stripe_http import StripeHttp

# One more attempt under the same key, after half a second; whoever asks repeats the call, or asks for the facts.
_REPEATS: Final = 1
_LISTED_AT_ONCE: Final = 100
_LONGEST_REASON: Final = 300
_GONE: Final = "resource_missing"
_NOT_NOW: Final = "payment_intent_unexpected_state"
_COME_BACK: Final = frozenset({"lock_timeout", "rate_limit", "idempotency_key_in_use"})


class StripeGateway:
    """One Stripe account. `api_base` is Stripe's own address unless given; payers come back to `public_url`."""

    def __init__(self, api_key: str, webhook_secret: str, *, api_base: str | None, public_url: str) -> None:
        self._api_key = api_key
        self._webhook_secret = webhook_secret
        self._api_base = api_base
        self._public_url = public_url.rstrip("/")
        self._http: StripeHttp | None = None

    @cached_property
    def _stripe(self) -> "V1Services":
        """The SDK, loaded when it is first used."""
        import stripe

        from infra.stripe_http import StripeHttp

        # Else it writes a file into the user's home and tells Stripe about the machine.
        stripe.enable_telemetry = False
        self._http = StripeHttp()
        return stripe.StripeClient(
            self._api_key,
            base_addresses={} if self._api_base is None else {"api": self._api_base.rstrip("/")},
            http_client=self._http,
            max_network_retries=_REPEATS,
        ).v1

    async def open_customer(self, tenant_id: UUID, name: str) -> str:
        params: CustomerCreateParams = {
            "name": name,
            "metadata": {stripe_objects.TENANT: ids.public("tenant", tenant_id)},
        }
        with _told_apart("open a customer"):
            customer = await self._stripe.customers.create_async(params, _key("customer", tenant_id, params))
            return stripe_objects.text(customer.to_dict(), "id")

    async def open_checkout(self, tenant_id: UUID, top_up: TopUp, customer_id: str, description: str) -> Checkout:
        metadata = _metadata(tenant_id, top_up, TopUpOrigin.CHECKOUT)
        amount, currency = _price(top_up)
        back = f"{self._public_url}/?top_up={ids.public('top_up', top_up.id)}"
        params: SessionCreateParams = {
            "mode": "payment",
            "customer": customer_id,
            "client_reference_id": ids.public("top_up", top_up.id),
            "line_items": [
                {
                    "price_data": {
                        "currency": currency,
                        "unit_amount": amount,
                        "product_data": {"name": description},
                    },
                    "quantity": 1,
                }
            ],
            # What comes in must be what was ordered, in its currency.
            "adaptive_pricing": {"enabled": False},
            "metadata": metadata,
            "payment_intent_data": {
                "description": description,
                "metadata": metadata,
                "setup_future_usage": "off_session",
            },
            "success_url": f"{back}&paid=1",
            "cancel_url": f"{back}&paid=0",
        }
        with _told_apart("open a checkout"):
            session = await self._stripe.checkout.sessions.create_async(params, _key("checkout", top_up.id, params))
            opened = session.to_dict()
            if not isinstance(opened.get("url"), str):
                raise UnreadableError("url is missing")
            return Checkout(stripe_objects.text(opened, "id"), opened["url"])

    async def prepare_charge(
        self, tenant_id: UUID, top_up: TopUp, customer_id: str, card_id: str, description: str
    ) -> str:
        amount, currency = _price(top_up)
        params: PaymentIntentCreateParams = {
            "amount": amount,
            "currency": currency,
            "customer": customer_id,
            "payment_method": card_id,
            # Nobody is there to be sent to a page of the bank's.
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "description": description,
            "metadata": _metadata(tenant_id, top_up, TopUpOrigin.AUTO_RECHARGE),
        }
        with _told_apart("prepare a charge"):
            intent = await self._stripe.payment_intents.create_async(params, _key("charge", top_up.id, params))
            return stripe_objects.text(intent.to_dict(), "id")

    async def charge(self, payment_id: str) -> PaymentFacts:
        import stripe

        with _told_apart("charge a card"):
            try:
                intent = await self._stripe.payment_intents.confirm_async(
                    payment_id, {"off_session": True}, {"idempotency_key": f"confirm:{payment_id}"}
                )
            except stripe.CardError as error:
                return _declined(payment_id, error)
            except stripe.InvalidRequestError as error:
                if error.code == _GONE:
                    return PaymentFacts(Outcome.FAILED, payment_id=payment_id, failure=_GONE)
                if error.code != _NOT_NOW:
                    raise
                intent = await self._stripe.payment_intents.retrieve_async(payment_id)
            return stripe_objects.facts_of_intent(intent.to_dict())

    async def cancel(self, payment_id: str) -> PaymentFacts:
        import stripe

        with _told_apart("cancel a payment"):
            try:
                intent = await self._stripe.payment_intents.cancel_async(
                    payment_id, {}, {"idempotency_key": f"cancel:{payment_id}"}
                )
            except stripe.InvalidRequestError as error:
                if error.code == _GONE:
                    return PaymentFacts(Outcome.FAILED, payment_id=payment_id, failure=_GONE)
                if error.code != _NOT_NOW:
                    raise
                intent = await self._stripe.payment_intents.retrieve_async(payment_id)
            return stripe_objects.facts_of_intent(intent.to_dict())

    async def facts_of(self, session_id: str | None, payment_id: str | None) -> PaymentFacts:
        facts = payments.NOTHING_KNOWN
        if session_id is not None:
            facts = await self._facts_of_session(session_id)
        for payment in sorted({facts.payment_id, payment_id} - {None}, key=str):
            assert payment is not None
            facts = payments.joined(facts, await self._facts_of_payment(payment))
        return facts

    async def order_of(self, payment_id: str) -> OrderReference | None:
        with _told_apart("read a payment"):
            intent = await self._retrieved_intent(payment_id)
            return None if intent is None else stripe_objects.order_of(intent)

    def read_event(self, payload: bytes, signature: str, now: datetime) -> PaymentEvent | None:
        return stripe_events.read_event(payload, signature, self._webhook_secret, now)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close_async()

    async def _facts_of_session(self, session_id: str) -> PaymentFacts:
        import stripe

        with _told_apart("read a checkout"):
            try:
                session = await self._stripe.checkout.sessions.retrieve_async(
                    session_id, {"expand": ["payment_intent"]}
                )
            except stripe.InvalidRequestError as error:
                if error.code != _GONE:
                    raise
                return PaymentFacts(Outcome.EXPIRED, session_id=session_id)
            return stripe_objects.facts_of_checkout(session.to_dict())

    async def _facts_of_payment(self, payment_id: str) -> PaymentFacts:
        with _told_apart("read a payment"):
            intent = await self._retrieved_intent(payment_id)
            if intent is None:
                return PaymentFacts(payment_id=payment_id)
            facts = stripe_objects.facts_of_intent(intent)
            if facts.outcome is not Outcome.PAID:
                return facts
            refunds = await self._stripe.refunds.list_async({"payment_intent": payment_id, "limit": _LISTED_AT_ONCE})
            disputes = await self._stripe.disputes.list_async({"payment_intent": payment_id, "limit": _LISTED_AT_ONCE})
            told = PaymentFacts(
                refunds=tuple([stripe_objects.refund_of(item.to_dict()) async for item in refunds.auto_paging_iter()]),
                disputes=tuple(
                    [stripe_objects.dispute_of(item.to_dict()) async for item in disputes.auto_paging_iter()]
                ),
            )
            return payments.joined(facts, told)

    async def _retrieved_intent(self, payment_id: str) -> stripe_objects.Object | None:
        import stripe

        try:
            return (await self._stripe.payment_intents.retrieve_async(payment_id)).to_dict()
        except stripe.InvalidRequestError as error:
            if error.code != _GONE:
                raise
            return None


def _metadata(tenant_id: UUID, top_up: TopUp, origin: TopUpOrigin) -> dict[str, str]:
    """The order, and whether somebody is there to try again: also where a recharge is paid on a page after all."""
    return {
        stripe_objects.TENANT: ids.public("tenant", tenant_id),
        stripe_objects.TOP_UP: ids.public("top_up", top_up.id),
        stripe_objects.ORIGIN: origin.value,
    }


def _price(top_up: TopUp) -> tuple[int, str]:
    try:
        return to_stripe(top_up.price)
    except UnitsError as error:
        raise PaymentsRefusedError(str(error)) from error


def _key(verb: str, identifier: UUID, params: Mapping[str, Any]) -> "RequestOptions":
    asked = sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
    return {"idempotency_key": f"{verb}:{identifier.hex}:{asked}"}


def _declined(payment_id: str, error: "stripe.CardError") -> PaymentFacts:
    """A decline is an answer: its code is that of the bank, if it gave one."""
    body = error.json_body if isinstance(error.json_body, Mapping) else {}
    return stripe_objects.declined(PaymentFacts(payment_id=payment_id), stripe_objects.inner(body, "error"))


@contextmanager
def _told_apart(deed: str) -> Iterator[None]:
    """Tell the SDK's errors apart: those after which the outcome is unknown, and refusals."""
    import stripe

    try:
        yield
    except UnreadableError as error:
        raise PaymentsRefusedError(f"Stripe's answer, when asked to {deed}, cannot be read: {error}") from error
    except (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError) as error:
        raise PaymentsUnavailableError(f"Stripe did not {deed}: {_reason(error)}") from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        # Stripe's messages show a part of the key.
        raise PaymentsRefusedError(f"Stripe did not {deed}: the key in STRIPE_API_KEY does not allow it") from error
    except stripe.StripeError as error:
        kind = PaymentsUnavailableError if error.code in _COME_BACK else PaymentsRefusedError
        raise kind(f"Stripe did not {deed}: {_reason(error)}") from error


def _reason(error: "stripe.StripeError") -> str:
    status = "" if error.http_status is None else f" (HTTP {error.http_status})"
    return f"{(error.user_message or type(error).__name__)[:_LONGEST_REASON]}{status}"
