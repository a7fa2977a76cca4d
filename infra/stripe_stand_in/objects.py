"""Stripe's objects as they are when they are made, with the fields that a payment by card has."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Final

API_VERSION: Final = "2026-10-28.endive"
DAY: Final = 24 * 60 * 60

Object = dict[str, Any]


def new_id(prefix: str) -> str:
    """An id such as `pi_3f...`."""
    return f"{prefix}_{token_hex(12)}"


def customer(now: int, params: Mapping[str, Any]) -> Object:
    """Whom cards are kept for."""
    return {
        **_head("customer", "cus", now),
        "email": params.get("email"),
        "name": params.get("name"),
        "description": params.get("description"),
        "metadata": dict(params.get("metadata", {})),
    }


def session(now: int, params: Mapping[str, Any], amount: int, currency: str) -> Object:
    """A checkout that is open for a day."""
    return {
        **_head("checkout.session", "cs_test", now),
        "amount_subtotal": amount,
        "amount_total": amount,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "currency": currency,
        "customer": params.get("customer"),
        "expires_at": now + DAY,
        "metadata": dict(params.get("metadata", {})),
        "mode": "payment",
        "payment_intent": None,
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "status": "open",
        "success_url": params.get("success_url"),
        "url": None,
    }


def payment_intent(now: int, params: Mapping[str, Any], amount: int, currency: str) -> Object:
    """A payment that nobody has tried yet."""
    head = _head("payment_intent", "pi", now)
    return {
        **head,
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{head['id']}_secret_{token_hex(8)}",
        "confirmation_method": "automatic",
        "currency": currency,
        "customer": params.get("customer"),
        "description": params.get("description"),
        "last_payment_error": None,
        "latest_charge": None,
        "metadata": dict(params.get("metadata", {})),
        "next_action": None,
        "payment_method": params.get("payment_method"),
        "payment_method_types": ["card"],
        "setup_future_usage": params.get("setup_future_usage"),
        "status": "requires_confirmation" if params.get("payment_method") else "requires_payment_method",
    }


def charge(now: int, intent: Object) -> Object:
    """A try to take an intent's money; its metadata is copied here."""
    return {
        **_head("charge", "ch", now),
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "captured": False,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "metadata": dict(intent["metadata"]),
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "refunded": False,
        "status": "pending",
    }


def payment_method(now: int, number: str) -> Object:
    """A test card. Its id tells the number, so that a kept card is known again after a restart."""
    return {
        **_head("payment_method", "pm", now),
        "id": f"{new_id('pm')}_{number}",
        "card": {"brand": "visa", "exp_month": 12, "exp_year": 2034, "last4": number[-4:]},
        "customer": None,
        "metadata": {},
        "type": "card",
    }


def refund(now: int, charged: Object, amount: int, status: str, params: Mapping[str, Any]) -> Object:
    """Money that goes back."""
    return {
        **_head("refund", "re", now),
        "amount": amount,
        "charge": charged["id"],
        "currency": charged["currency"],
        "metadata": dict(params.get("metadata", {})),
        "payment_intent": charged["payment_intent"],
        "reason": params.get("reason"),
        "status": status,
    }


def dispute(now: int, charged: Object, amount: int, status: str) -> Object:
    """A complaint at the bank."""
    return {
        **_head("dispute", "du", now),
        "amount": amount,
        "charge": charged["id"],
        "currency": charged["currency"],
        "is_charge_refundable": status.startswith("warning_"),
        "metadata": {},
        "payment_intent": charged["payment_intent"],
        "reason": "fraudulent",
        "status": status,
    }


def _head(noun: str, prefix: str, now: int) -> Object:
    return {"id": new_id(prefix), "object": noun, "created": now, "livemode": False}
