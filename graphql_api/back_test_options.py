"""What the command `back-test` is told, as assumptions. Bad input names the option and what to write instead."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import typer

from domain.back_tests import Assumptions, RateChange
from domain.budgets import BudgetKey, BudgetPeriod
from domain.money import AmountError, parse_amount
from domain.refusals import BudgetScope, FieldProblem

NO_CAP: Final = "none"
CAP_FORM: Final = "tenant=500, agent:writer=50, campaign:spring:TOTAL=none, tag:team=red=20 or task:writer=2"
RATE_FORM: Final = "FEATURE:WALLET=AMOUNT, such as blog_post:credits=3"
_OPTIONS: Final = {
    "caps": "--cap",
    "rates": "--rate",
    "rateCard": "--rate-card",
    "creditValueUsd": "--credit-value",
    "markup": "--markup",
    "plan": "--plan",
    "month": "--month",
}


class Options(NamedTuple):
    """What the command was told, as it was written."""

    tenant: str
    month: str
    caps: tuple[str, ...] = ()
    rate_card: int | None = None
    markup: str | None = None
    credit_value: str | None = None
    rates: tuple[str, ...] = ()
    plan: str | None = None
    as_json: bool = False

    @property
    def assumes(self) -> bool:
        """Whether anything is assumed."""
        return bool(self.caps or self.rates or self.markup or self.credit_value or self.plan) or (
            self.rate_card is not None
        )


def assumptions(options: Options) -> Assumptions:
    """The options, read."""
    return Assumptions(
        caps=tuple([_cap(text) for text in options.caps]),
        rate_card=options.rate_card,
        markup=None if options.markup is None else _amount(options.markup, "--markup"),
        credit_value=None if options.credit_value is None else _amount(options.credit_value, "--credit-value"),
        rates=tuple([_rate(text) for text in options.rates]),
        plan=options.plan,
    )


def in_options(problems: Iterable[FieldProblem]) -> str:
    """Problems as who wrote options knows them: `caps.0.cap` is that of the first --cap."""
    return "; ".join([f"{_option(problem.path)}: {problem.message}" for problem in problems])


def _option(path: str) -> str:
    name, _, rest = path.partition(".")
    option = _OPTIONS[name]
    if not rest:
        return option
    number, _, part = rest.partition(".")
    which = f"{option} number {int(number) + 1}"
    return f"{which}, {part}" if part else which


def _cap(text: str) -> tuple[BudgetKey, int | None]:
    """SCOPE[:ID][:PERIOD]=DOLLARS. A tag's id has an equals sign itself, so the last one counts."""
    address, equals, cap = text.rpartition("=")
    scope, colon, rest = address.partition(":")
    if not equals or scope.upper() not in BudgetScope.__members__:
        raise typer.BadParameter(f"{text!r} is no cap: write {CAP_FORM}", param_hint="--cap")
    amount = None if cap == NO_CAP else _amount(cap, "--cap", f" in {text!r}: or {NO_CAP}")
    named = BudgetScope[scope.upper()]
    if named is BudgetScope.TASK:
        return BudgetKey(BudgetScope.AGENT, rest, BudgetPeriod.TASK), amount
    scope_id, separator, period = rest.rpartition(":")
    if not colon or period not in BudgetPeriod.__members__:
        return BudgetKey(named, rest, BudgetPeriod.MONTH), amount
    # "tenant:MONTH" has no id before its period.
    return BudgetKey(named, scope_id if separator else "", BudgetPeriod[period]), amount


def _rate(text: str) -> RateChange:
    place, equals, amount = text.rpartition("=")
    feature, colon, wallet_key = place.rpartition(":")
    if not equals or not colon:
        raise typer.BadParameter(f"{text!r} is no rate: write {RATE_FORM}", param_hint="--rate")
    return RateChange(feature, wallet_key, _amount(amount, "--rate", f" in {text!r}"))


def _amount(text: str, option: str, more: str = "") -> int:
    try:
        return parse_amount(text)
    except AmountError as error:
        raise typer.BadParameter(f"{text!r}{more}: {error}", param_hint=option) from error
