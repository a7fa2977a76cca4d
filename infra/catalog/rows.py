"""Rows of the catalog: how a table becomes a rate card, a price, a provider, a plan or a bundle.

Data files and publications are read by the same functions, so that both are held to the same rules. All amounts are
strings. What is not published at another moment is published on the day from which it holds.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from domain.catalog import Provider, ProviderProduct
from domain.money import NANO, format_amount, multiply_rounding_up
from domain.plans import Bundle, Plan
from domain.prices import Price
from domain.rates import ChargeType, Rate, RateCard, RouteClass
from domain.wallets import CAPACITY_KEYS, METERED_KEY
from infra.catalog.reading import KEY_RULE, Table, is_key

Row = RateCard | Price | Provider | Plan | Bundle

WITHOUT_AMOUNT: Final = (ChargeType.COST_PLUS, ChargeType.FREE)
BY_CREDITS: Final = (ChargeType.FIXED, ChargeType.BUNDLED)
# Document 004: provider cost is 0.20 to 0.30 dollars a credit; an estimate takes the top.
ESTIMATE_PER_CREDIT: Final = 3 * NANO // 10
MOST_PRODUCTS: Final = 200
FIGURES: Final = ("input", "output", "cache_read", "cache_write", "reasoning", "per_call")


def rate_card(row: Table, rates: tuple[Rate, ...] = (), *, for_tenant: bool = False) -> RateCard:
    """A version of the card: with these rates, and those that the row itself lists."""
    with row.complete():
        effective_from, effective_to, published_at = _dates(row)
        markup, credit_value = row.amount("markup"), row.amount("credit_value")
        row.check("markup", markup >= NANO, "a markup is at least 1: under 1 it would bill calls below their cost")
        row.check("credit_value", credit_value > 0, "must be above 0")
        listed = row.tables("rates")
        row.check("rates", bool(rates or listed), "give at least one rate")
        return RateCard(
            version=row.whole("version"),
            effective_from=effective_from,
            effective_to=effective_to,
            published_at=published_at,
            credit_value=credit_value,
            markup=markup,
            rates=_without_contradictions(listed, rates),
            for_tenant=for_tenant,
        )


def rate(row: Table) -> Rate:
    """How one feature is charged on one wallet."""
    with row.complete():
        charge_type, amount = row.choice("charge_type", ChargeType), row.optional_amount("amount") or 0
        feature, floor, bundle = row.key("feature"), row.optional_amount("floor"), row.optional_text("bundle")
        free = charge_type in WITHOUT_AMOUNT
        problem = f"{feature}: {charge_type} {'takes no' if free else 'needs'} credits"
        row.check("amount", (amount == 0) == free, problem)
        cost_plus = charge_type is ChargeType.COST_PLUS
        row.check("floor", floor is None or cost_plus, f"{feature}: only cost-plus rates have a floor")
        bundled = charge_type is ChargeType.BUNDLED
        row.check(
            "bundle", (bundle is not None) == bundled, f"{feature}: bundled rates, and no others, name their bundle"
        )
        return Rate(
            feature=feature,
            name=row.text("name"),
            charge_type=charge_type,
            wallet_key=row.key("wallet"),
            amount=amount,
            floor=floor,
            default_estimate=_default_estimate(row, charge_type, amount),
            route_class=row.choice("route_class", RouteClass),
            needs_model=row.flag("needs_model"),
            bundle=bundle,
            agents=row.texts("agents"),
            note=row.note(),
        )


def row_of_rate(rate: Rate) -> dict[str, Any]:
    """The row that is read into this rate."""
    row = {
        "feature": rate.feature,
        "name": rate.name,
        "charge_type": rate.charge_type.value,
        "wallet": rate.wallet_key,
        "amount": None if rate.charge_type in WITHOUT_AMOUNT else format_amount(rate.amount),
        "floor": None if rate.floor is None else format_amount(rate.floor),
        "default_estimate": format_amount(rate.default_estimate),
        "route_class": rate.route_class.value,
        "needs_model": rate.needs_model,
        "bundle": rate.bundle,
        "agents": list(rate.agents),
        "note": rate.note,
    }
    return {key: value for key, value in row.items() if value is not None}


def prices(row: Table, *, for_tenant: bool = False) -> list[Price]:
    """A row is one price, and the same price for each other name (alias) of its model."""
    with row.complete():
        model, aliases = row.optional_text("model"), row.texts("aliases")
        row.check("aliases", model is not None or not aliases, "aliases need a model: give it")
        effective_from, effective_to, published_at = _dates(row)
        figures = {name: row.optional_amount(name) for name in FIGURES}
        row.check("", any(figure is not None for figure in figures.values()), "a price needs at least one figure")
        price = Price(
            provider=row.text("provider"),
            model=model,
            operation=row.optional_text("operation"),
            input_per_million=figures["input"],
            output_per_million=figures["output"],
            cache_read_per_million=figures["cache_read"],
            cache_write_per_million=figures["cache_write"],
            reasoning_per_million=figures["reasoning"],
            context_above=row.optional_whole("context_above"),
            per_call=figures["per_call"],
            effective_from=effective_from,
            effective_to=effective_to,
            published_at=published_at,
            note=row.note(),
            for_tenant=for_tenant,
        )
    return [price, *(replace(price, model=alias) for alias in aliases)]


def provider(row: Table) -> Provider:
    """A version of a provider with all of its products."""
    with row.complete():
        effective_from, _, published_at = _dates(row, ends=False)
        return Provider(
            slug=row.key("slug"),
            name=row.text("name"),
            category=row.text("category"),
            purpose=row.text("purpose"),
            effective_from=effective_from,
            published_at=published_at,
            products=_products(row),
        )


def plan(row: Table) -> Plan:
    """A version of a plan."""
    with row.complete():
        effective_from, _, published_at = _dates(row, ends=False)
        price = row.money("price")
        seats, agents = row.whole("seats"), row.whole("agents")
        row.check("seats", seats > 0, "must be above 0")
        row.check("agents", agents > 0, "must be above 0")
        return Plan(
            key=row.key("key"),
            name=row.text("name"),
            region=row.key("region"),
            currency=price.currency,
            price=price.minor,
            allocations=_allocations(row.table("allocations")),
            seats=seats,
            agents=agents,
            effective_from=effective_from,
            published_at=published_at,
            unlimited=row.flag("unlimited"),
            note=row.note(),
            withdrawn=row.flag("withdrawn"),
        )


def bundle(row: Table) -> Bundle:
    """A version of a bundle."""
    with row.complete():
        effective_from, _, published_at = _dates(row, ends=False)
        price, amount = row.money("price"), row.amount("amount")
        wallet_key = row.key("wallet")
        row.check("amount", amount > 0, "must be above 0")
        row.check(
            "wallet", wallet_key != METERED_KEY, "metered dollars are sold by the amount: a bundle takes another wallet"
        )
        row.check(
            "wallet", wallet_key not in CAPACITY_KEYS, "capacity comes with the plan: a bundle takes another wallet"
        )
        return Bundle(
            key=row.key("key"),
            region=row.key("region"),
            wallet_key=wallet_key,
            amount=amount,
            price=price.minor,
            currency=price.currency,
            effective_from=effective_from,
            published_at=published_at,
            note=row.note(),
            withdrawn=row.flag("withdrawn"),
        )


def _default_estimate(row: Table, charge_type: ChargeType, amount: int) -> int:
    """Nano-dollars of provider cost per unit: stated, or by the credits of the amount."""
    per_credit = row.optional_amount("estimate_per_credit")
    if per_credit is None and row.optional_amount("default_estimate") is None and charge_type in BY_CREDITS:
        per_credit = ESTIMATE_PER_CREDIT
    return row.amount("default_estimate") if per_credit is None else multiply_rounding_up(amount, per_credit)


def _allocations(row: Table) -> tuple[tuple[str, int], ...]:
    """What a plan gives each wallet. What is wrong with the key of a wallet is said at `wallet` under it."""
    amounts = row.amounts()
    for wallet_key, amount in amounts:
        row.check(f"{wallet_key}.wallet", is_key(wallet_key), KEY_RULE)
        row.check(f"{wallet_key}.wallet", wallet_key != METERED_KEY, "metered is prepaid: a plan does not fill it")
        row.check(wallet_key, wallet_key not in CAPACITY_KEYS or amount % NANO == 0, "capacity must be a whole number")
    return amounts


def _products(row: Table) -> tuple[ProviderProduct, ...]:
    listed = row.tables("products")
    row.check("products", len(listed) <= MOST_PRODUCTS, f"must be at most {MOST_PRODUCTS} products")
    products: dict[str, ProviderProduct] = {}
    for each in listed:
        product = _product(each)
        each.check("name", product.name not in products, f"{product.name}: a product is listed once")
        products[product.name] = product
    return tuple(products.values())


def _product(row: Table) -> ProviderProduct:
    with row.complete():
        return ProviderProduct(row.text("name"), row.optional_text("model"), row.text("category"), row.text("purpose"))


def _dates(row: Table, *, ends: bool = True) -> tuple[datetime, datetime | None, datetime]:
    effective_from = row.moment("effective_from")
    effective_to = row.optional_moment("effective_to") if ends else None
    row.check(
        "effective_to", effective_to is None or effective_to >= effective_from, "must not be before effectiveFrom"
    )
    return effective_from, effective_to, row.optional_moment("published_at") or effective_from


def _without_contradictions(listed: tuple[Table, ...], before: tuple[Rate, ...]) -> tuple[Rate, ...]:
    """The rates of a card: two on one wallet, and a bundle at two prices, are said at the row that came second."""
    wallets = {(each.feature, each.wallet_key) for each in before}
    charges = {each.bundle: (each.wallet_key, each.amount) for each in before if each.bundle is not None}
    rates = list(before)
    for row in listed:
        added = rate(row)
        charge = (added.wallet_key, added.amount)
        twice = (added.feature, added.wallet_key) in wallets
        row.check("feature", not twice, f"{added.feature}: two rates on wallet {added.wallet_key}")
        alike = added.bundle is None or charges.setdefault(added.bundle, charge) == charge
        row.check("amount", alike, f"bundle {added.bundle}: either feature alone must cost the same")
        wallets.add((added.feature, added.wallet_key))
        rates.append(added)
    return tuple(rates)
