"""A stand-in for Stripe, for tests and the demo: what Purser needs of Stripe's API, spoken to over HTTP only.

It keeps its state in memory and asks no other host than the webhook's. The objects have the names and fields of the
SDK's types (16.1, API version 2026-10-28). Behaviour was compared with these pages of docs.stripe.com:
api/idempotent_requests, error-low-level, api/checkout/sessions/expire, api/payment_intents/confirm,
api/disputes/object, changelog/acacia/2024-10-28/refund-webhook-update, currencies. It was never compared with a live
account.
"""

from infra.stripe_stand_in.app import create_stand_in
from infra.stripe_stand_in.stand_in import StandIn

__all__ = ["StandIn", "create_stand_in"]
