"""Errors: what a client is told when a request fails, and what is kept from it.

An expected "no" of the business is data and never comes here. What does: a request that cannot be understood or is
too much, a missing or insufficient key, overload, a time limit, and our own mistakes. The latter are logged in full
and answered with an id only.
"""

import logging
from collections.abc import Iterable
from enum import StrEnum
from secrets import token_hex
from typing import Any, Final

from graphql import GraphQLError, GraphQLFormattedError

from infra.group_commit import Overloaded
from infra.payments import PaymentsNotSetUpError, PaymentsUnavailableError
from infra.topics import FellBehindError


class ErrorCode(StrEnum):
    """`extensions.code` of a top-level error."""

    UNAUTHENTICATED = "UNAUTHENTICATED"  # no key, or none that we know
    FORBIDDEN = "FORBIDDEN"  # the key's role may not do this
    TENANT_REQUIRED = "TENANT_REQUIRED"  # an operator must name the tenant
    BAD_USER_INPUT = "BAD_USER_INPUT"  # the request is malformed: sending it again will not help
    TOO_COMPLEX = "TOO_COMPLEX"  # the request asks for more than one request may
    RATE_LIMITED = "RATE_LIMITED"  # too many requests of one key, or wrong ones from one address: wait
    OVERLOADED = "OVERLOADED"  # nothing was done: send it again
    TIMEOUT = "TIMEOUT"  # the outcome is unknown: send it again with the same idempotency key
    PAYMENTS_UNAVAILABLE = "PAYMENTS_UNAVAILABLE"  # the outcome is unknown: send it again with the same key
    PAYMENTS_NOT_SET_UP = "PAYMENTS_NOT_SET_UP"  # there is no payment service here
    IDENTITY_PROVIDER_UNAVAILABLE = "IDENTITY_PROVIDER_UNAVAILABLE"  # a token cannot be verified now: send it again
    FELL_BEHIND = "FELL_BEHIND"  # a subscription was read too slowly and has ended
    INTERNAL = "INTERNAL"  # our mistake; the error's id finds it in the log


class RequestError(GraphQLError):
    """An error that is shown as it is."""

    def __init__(self, code: ErrorCode, message: str, nodes: Any = None) -> None:
        super().__init__(message, nodes, extensions={"code": code.value})


def bad_input(message: str) -> RequestError:
    """The caller sent what cannot be taken; the message names it."""
    return RequestError(ErrorCode.BAD_USER_INPUT, message)


# What is missing or does not answer, and what to do then.
_OUTAGES: Final[dict[type, tuple[ErrorCode, str]]] = {
    Overloaded: (ErrorCode.OVERLOADED, "The server is overloaded. Nothing was done: send it again."),
    PaymentsUnavailableError: (
        ErrorCode.PAYMENTS_UNAVAILABLE,
        "The payment service does not answer: send it again with the same idempotency key.",
    ),
    FellBehindError: (
        ErrorCode.FELL_BEHIND,
        "You fell behind and missed something: read it by a query, and subscribe again.",
    ),
    PaymentsNotSetUpError: (
        ErrorCode.PAYMENTS_NOT_SET_UP,
        "Payments are not set up here: the operator sets STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET.",
    ),
}
_log: Final = logging.getLogger(__name__)


def formatted(errors: Iterable[GraphQLError]) -> list[GraphQLFormattedError]:
    """Errors as they are answered: ours and the engine's own as they are, anything unexpected masked."""
    return [_formatted(error) for error in errors]


def internal(error: BaseException) -> RequestError:
    """Log a mistake of ours and answer with the id of the log's line."""
    identifier = token_hex(8)
    _log.error("error %s while a request was answered", identifier, exc_info=error)
    masked = RequestError(ErrorCode.INTERNAL, "Internal error")
    masked.extensions = {"code": ErrorCode.INTERNAL.value, "errorId": identifier}
    return masked


def _formatted(error: GraphQLError) -> GraphQLFormattedError:
    cause = error.original_error
    while isinstance(cause, GraphQLError) and not isinstance(cause, RequestError):
        cause = cause.original_error
    if isinstance(error, RequestError) or isinstance(cause, RequestError):
        shown = error.formatted
    elif type(cause) in _OUTAGES:
        code, message = _OUTAGES[type(cause)]
        shown = error.formatted
        shown["message"] = message
        shown["extensions"] = {"code": code.value}
    elif cause is None and (error.path is None or error.message.startswith("Argument ")):
        # The engine's own: the document does not parse or fit the schema, a variable or an argument has the wrong type.
        shown = error.formatted
        # The engine shows the whole object that does not fit, and secrets may stand in it.
        shown["message"] = shown["message"].partition(", found: ")[0]
        shown["extensions"] = {"code": ErrorCode.BAD_USER_INPUT.value}
    else:
        shown = internal(cause or error).formatted
        if error.path is not None:
            shown["path"] = error.path
        located = error.formatted.get("locations")
        if located is not None:
            shown["locations"] = located
    return shown
