"""The endpoints: what each takes, and what it does. Parameters that Purser does not use are refused as unknown."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final

from infra.stripe_stand_in import forms, objects
from infra.stripe_stand_in.errors import invalid, missing
from infra.stripe_stand_in.objects import Object
from infra.stripe_stand_in.stand_in import StandIn

Operation = Callable[[StandIn, Mapping[str, Any], str], Object]

_SESSION: Final = frozenset(
    {
        "adaptive_pricing",
        "cancel_url",
        "client_reference_id",
        "customer",
        "line_items",
        "metadata",
        "mode",
        "payment_intent_data",
        "success_url",
    }
)
_INTENT_DATA: Final = frozenset({"description", "metadata", "setup_future_usage"})
_INTENT: Final = frozenset(
    {
        "amount",
        "automatic_payment_methods",
        "currency",
        "customer",
        "description",
        "metadata",
        "payment_method",
        "setup_future_usage",
    }
)
_EXPANDABLE: Final = {"payment_intent": "intents", "latest_charge": "charges"}
_MOST_LISTED: Final = 100


def open_customer(stand_in: StandIn, params: Mapping[str, Any], _identifier: str) -> Object:
    """`POST /v1/customers`."""
    forms.checked(params, frozenset({"name", "email", "description", "metadata"}))
    customer = objects.customer(stand_in.now, {**params, "metadata": forms.nested(params, "metadata")})
    stand_in.customers[customer["id"]] = customer
    return customer


def read_customer(stand_in: StandIn, _params: Mapping[str, Any], identifier: str) -> Object:
    """`GET /v1/customers/{id}`."""
    return stand_in.customer(identifier)


def open_session(stand_in: StandIn, params: Mapping[str, Any], _identifier: str) -> Object:
    """`POST /v1/checkout/sessions`."""
    forms.checked(params, _SESSION)
    if forms.required(params, "mode") != "payment":
        raise invalid("Invalid mode: only payment is known here", param="mode")
    forms.required(params, "success_url")
    intent_data = forms.nested(params, "payment_intent_data")
    forms.checked(intent_data, _INTENT_DATA)
    amount, currency = _sum(params.get("line_items"))
    if "customer" in params:
        stand_in.customer(forms.required(params, "customer"))
    return stand_in.open_session(params, intent_data, amount, currency)


def read_session(stand_in: StandIn, _params: Mapping[str, Any], identifier: str) -> Object:
    """`GET /v1/checkout/sessions/{id}`."""
    return stand_in.session(identifier)


def expire_session(stand_in: StandIn, params: Mapping[str, Any], identifier: str) -> Object:
    """`POST /v1/checkout/sessions/{id}/expire`."""
    forms.checked(params, frozenset())
    return stand_in.expire(identifier)


def open_intent(stand_in: StandIn, params: Mapping[str, Any], _identifier: str) -> Object:
    """`POST /v1/payment_intents`: never confirmed at once."""
    forms.checked(params, _INTENT)
    amount, currency = forms.whole(params, "amount"), _currency(params)
    if "customer" in params:
        stand_in.customer(forms.required(params, "customer"))
    if "payment_method" in params:
        method = stand_in.payment_method(forms.required(params, "payment_method"), params.get("customer"))
        if method["customer"] != params.get("customer"):
            raise missing("PaymentMethod of this customer", method["id"], "payment_method")
    intent = objects.payment_intent(stand_in.now, params, amount, currency)
    stand_in.intents[intent["id"]] = intent
    stand_in.deliveries.tell("payment_intent.created", intent)
    return intent


def read_intent(stand_in: StandIn, _params: Mapping[str, Any], identifier: str) -> Object:
    """`GET /v1/payment_intents/{id}`."""
    return stand_in.intent(identifier)


def confirm_intent(stand_in: StandIn, params: Mapping[str, Any], identifier: str) -> Object:
    """`POST /v1/payment_intents/{id}/confirm`."""
    forms.checked(params, frozenset({"off_session"}))
    return stand_in.confirm(identifier, off_session=params.get("off_session") == "true")


def cancel_intent(stand_in: StandIn, params: Mapping[str, Any], identifier: str) -> Object:
    """`POST /v1/payment_intents/{id}/cancel`."""
    forms.checked(params, frozenset({"cancellation_reason"}))
    return stand_in.cancel(identifier, params.get("cancellation_reason"))


def open_refund(stand_in: StandIn, params: Mapping[str, Any], _identifier: str) -> Object:
    """`POST /v1/refunds`."""
    forms.checked(params, frozenset({"amount", "metadata", "payment_intent", "reason"}))
    amount = forms.whole(params, "amount") if "amount" in params else None
    return stand_in.refund(forms.required(params, "payment_intent"), amount, params=params)


def list_refunds(stand_in: StandIn, params: Mapping[str, Any], _identifier: str) -> Object:
    """`GET /v1/refunds`."""
    return _listed(stand_in.refunds, params, "/v1/refunds")


def list_disputes(stand_in: StandIn, params: Mapping[str, Any], _identifier: str) -> Object:
    """`GET /v1/disputes`."""
    return _listed(stand_in.disputes, params, "/v1/disputes")


def read_payment_method(stand_in: StandIn, _params: Mapping[str, Any], identifier: str) -> Object:
    """`GET /v1/payment_methods/{id}`."""
    return stand_in.payment_method(identifier)


def expanded(stand_in: StandIn, found: Object, paths: object) -> Object:
    """A copy of an object with those that it names put in their place (https://docs.stripe.com/api/expanding_objects)."""
    copied = deepcopy(found)
    for path in paths if isinstance(paths, list) else []:
        place = copied
        for name in str(path).split("."):
            if name not in _EXPANDABLE or name not in place:
                raise invalid(f"This property cannot be expanded ({name}).", param="expand")
            if isinstance(place[name], str):
                place[name] = deepcopy(getattr(stand_in, _EXPANDABLE[name])[place[name]])
            if place[name] is None:
                break
            place = place[name]
    return copied


def _listed(found: Mapping[str, Object], params: Mapping[str, Any], url: str) -> Object:
    forms.checked(params, frozenset({"limit", "payment_intent", "starting_after"}))
    limit = forms.whole(params, "limit") if "limit" in params else 10
    if limit > _MOST_LISTED:
        raise invalid("This value must be less than or equal to 100.", param="limit")
    # Newest first.
    wanted = [
        each
        for each in reversed(list(found.values()))
        if params.get("payment_intent") in (None, each["payment_intent"])
    ]
    after = params.get("starting_after")
    if after is not None:
        known = [each["id"] for each in wanted]
        if after not in known:
            raise missing("object", after, "starting_after")
        wanted = wanted[known.index(after) + 1 :]
    return {"object": "list", "data": wanted[:limit], "has_more": len(wanted) > limit, "url": url}


def _sum(line_items: object) -> tuple[int, str]:
    if not isinstance(line_items, list) or not line_items:
        raise invalid("Missing required param: line_items.", param="line_items", code="parameter_missing")
    total, currencies = 0, set()
    for item in line_items:
        if not isinstance(item, dict):
            raise invalid("Invalid object: line_items", param="line_items")
        price = forms.nested(item, "price_data")
        forms.required(forms.nested(price, "product_data"), "name")
        total += forms.whole(price, "unit_amount") * forms.whole(item, "quantity")
        currencies.add(_currency(price))
    if len(currencies) != 1:
        raise invalid("All prices on a Checkout Session must be in the same currency.", param="line_items")
    return total, currencies.pop()


def _currency(params: Mapping[str, Any]) -> str:
    currency = forms.required(params, "currency").lower()
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
        raise invalid(f"Invalid currency: {currency}.", param="currency")
    return currency
