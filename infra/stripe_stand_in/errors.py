"""Stripe's errors (https://docs.stripe.com/api/errors)."""

from typing import Any


class StripeRefusal(Exception):
    """An answer that is an error. `was_executed`: the request passed its checks, so the answer is kept under its
    idempotency key."""

    def __init__(self, status: int, kind: str, message: str, *, was_executed: bool = True, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.was_executed = was_executed
        self.body = {"error": {"type": kind, "message": message, **fields}}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeRefusal:
    """The parameters are not those that the endpoint takes."""
    return StripeRefusal(400, "invalid_request_error", message, was_executed=False, **_given(param=param, code=code))


def missing(noun: str, identifier: str, param: str, *, status: int = 400) -> StripeRefusal:
    """An object that does not exist: 404 in a path, 400 in a parameter."""
    message = f"No such {noun}: '{identifier}'"
    return StripeRefusal(status, "invalid_request_error", message, code="resource_missing", param=param)


def unexpected(code: str, message: str, **fields: Any) -> StripeRefusal:
    """What is asked for does not go with the object's state."""
    return StripeRefusal(400, "invalid_request_error", message, code=code, **fields)


def _given(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}
