"""Stripe's form encoding: `metadata[order]=1&expand[0]=customer` as nested values."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from infra.stripe_stand_in.errors import invalid

_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_MOST_FIELDS: Final = 500
_DEEPEST: Final = 8


def decoded(encoded: str) -> dict[str, Any]:
    """The parameters of a request."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise invalid("Too many parameters") from error
    tree: dict[str, Any] = {}
    for name, value in pairs:
        match = _NAME.fullmatch(name)
        steps = [] if match is None else [match.group(1), *re.findall(r"\[([^\[\]]*)\]", match.group(2))]
        if not 1 <= len(steps) <= _DEEPEST:
            raise invalid(f"Invalid parameter name: {name}")
        _put(tree, steps, value)
    return {name: _with_lists(value) for name, value in tree.items()}


def checked(params: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse parameters that an endpoint does not take, as Stripe does."""
    for name in params:
        if name not in known:
            raise invalid(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")


def required(params: Mapping[str, Any], name: str) -> str:
    """A parameter that must be there."""
    value = params.get(name)
    if not isinstance(value, str) or value == "":
        raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    return value


def whole(params: Mapping[str, Any], name: str) -> int:
    """A parameter that must be an integer above 0."""
    value = required(params, name)
    if re.fullmatch(r"[0-9]{1,12}", value, re.ASCII) is None or int(value) == 0:
        raise invalid(f"Invalid positive integer: {name}", param=name, code="parameter_invalid_integer")
    return int(value)


def nested(params: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A parameter that is an object; an empty one where it is left out."""
    value = params.get(name, {})
    if not isinstance(value, dict):
        raise invalid(f"Invalid object: {name}", param=name)
    return value


def _put(tree: dict[str, Any], steps: list[str], value: str) -> None:
    for step in steps[:-1]:
        tree = tree.setdefault(step or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise invalid(f"Invalid parameter: {step}")
    tree[steps[-1] or str(len(tree))] = value


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(each) for name, each in value.items()}
    if inner and all(name.isascii() and name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
