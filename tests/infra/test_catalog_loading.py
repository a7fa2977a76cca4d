"""How data files are read, and what is said of one that is wrong."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.money import NANO
from infra.catalog import CatalogError, load

NOVEMBER = datetime(2026, 11, 21, tzinfo=UTC)

PROVIDER = (
    "[[providers]]\neffective_from = 2026-01-01T00:00:00Z\n"
    '[[providers.rows]]\nslug = "acme"\nname = "Acme"\ncategory = "LLM"\npurpose = "Tests"\n'
)
PRICES = '[[prices]]\nprovider = "acme"\neffective_from = 2026-01-01T00:00:00Z\nrows = [{ROW}]\n'
CARD_1 = '[[card]]\nversion = 1\neffective_from = 2026-01-01T00:00:00Z\ncredit_value = "0.5"\nmarkup = "1.3"\n'
RATES = (
    '[[rates]]\ncard = 1\ncharge_type = "FIXED"\nwallet = "credits"\nroute_class = "OTHER"\n'
    'estimate_per_credit = "0.3"\nrows = [{ROW}]\n'
)
RATE = 'feature = "f", name = "F", amount = "1"'
CREDITS = CARD_1 + RATES.replace("{ROW}", "{ " + RATE + " }")
MARS = 'region = "mars"\ncurrency = "JPY"\neffective_from = 2026-01-01T00:00:00Z\n'
BUNDLE = 'key = "few", wallet = "credits", amount = "1", price = "5"'
PLAN = 'key = "p", name = "P", price = "1", seats = 1, agents = 1, allocations = { credits = "1" }'


def prices_row(row: str) -> str:
    return PROVIDER + PRICES.replace("{ROW}", row)


def rates_row(row: str) -> str:
    return CARD_1 + RATES.replace("{ROW}", row)


def bundle_rows(*rows: str) -> str:
    return CREDITS + "[[bundles]]\n" + MARS + f"rows = [{', '.join(f'{{ {row} }}' for row in rows)}]\n"


def plan_rows(*rows: str) -> str:
    return CREDITS + "[[plans]]\n" + MARS + f"rows = [{', '.join(f'{{ {row} }}' for row in rows)}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = ", "data.toml: Invalid value"),
        ("[[prise]]\n", "data.toml: unknown key prise"),
        ("prices = 1\n", "data.toml.prices: expected a list of tables, found 1"),
        ("prices = [1]\n", "data.toml.prices[1]: expected a table, found 1"),
        (prices_row('{ model = "m", input = 3 }'), "prices[1].rows[1].input: expected an amount in a string, found 3"),
        (prices_row('{ model = "m", input = 0.15 }'), "rows[1].input: expected an amount in a string, found 0.15"),
        (prices_row('{ model = "m", input = "1e5" }'), "rows[1].input: an amount is a plain decimal"),
        (prices_row('{ model = "m", input = "0.0000000001" }'), "rows[1].input: an amount has at most 9 fractional"),
        (prices_row('{ model = "m", input = "-1" }'), "rows[1].input: must be 0 or more"),
        (prices_row('{ model = "m", inptu = "1", output = "1" }'), "prices[1].rows[1]: unknown key inptu"),
        (prices_row('{ model = "m" }'), "prices[1].rows[1]: a price needs at least one figure"),
        (prices_row('{ model = "", input = "1" }'), "rows[1].model: must not be empty"),
        (prices_row('{ aliases = ["m"], input = "1" }'), "rows[1].aliases: aliases need a model"),
        (prices_row('{ model = "m", aliases = [1], input = "1" }'), "rows[1].aliases: expected a list of texts"),
        (prices_row('{ model = "m", context_above = true, input = "1" }'), "context_above: expected a whole number"),
        (prices_row('{ model = "m", context_above = -1, input = "1" }'), "context_above: must be 0 or more"),
        (
            prices_row('{ model = "m", input = "1", effective_from = 2026-01-01T00:00:00+05:30 }'),
            "effective_from: expected a moment in UTC",
        ),
        (prices_row('{ model = "m", input = "1" }, { model = "m", input = "2" }'), "a price is given twice"),
        (PRICES.replace("{ROW}", '{ input = "1" }'), "prices of provider acme.provider: there is no such provider"),
        (prices_row("").replace('provider = "acme"', 'provider = "acme"\ntypo = 1'), "prices[1]: unknown key typo"),
        (PROVIDER + PROVIDER, "acme: is given twice"),
        (PROVIDER.replace('name = "Acme"\n', ""), "data.toml.providers[1].rows[1].name: must be given"),
        (CREDITS + CARD_1, "data.toml.card[2].rates: give at least one rate"),
        (CARD_1.replace("1.3", "0.9"), "data.toml.card[1].markup: a markup is at least 1"),
        (RATES.replace("{ROW}", ""), "rates of card 1: there is no such card"),
        (
            rates_row('{ feature = "f", name = "F", amount = "1", charge_type = "GIFT" }'),
            "charge_type: expected one of",
        ),
        (rates_row('{ feature = "f", name = "F" }'), "rates[1].rows[1].amount: f: FIXED needs credits"),
        (rates_row(f'{{ {RATE}, floor = "1" }}'), "rows[1].floor: f: only cost-plus rates have a floor"),
        (rates_row(f'{{ {RATE}, bundle = "b" }}'), "rows[1].bundle: f: bundled rates, and no others"),
        (rates_row(f"{{ {RATE} }}, {{ {RATE} }}"), "data.toml.card[1]: f: two rates on wallet credits"),
        (bundle_rows(BUNDLE.replace(', price = "5"', "")), "bundles[1].rows[1].price: must be given"),
        (bundle_rows(BUNDLE.replace('"5"', '"0.5"')), "rows[1].price: must have at most 0 fractional digits in JPY"),
        (bundle_rows(BUNDLE.replace('"5"', '"0"')), "rows[1].price: must be above 0"),
        (bundle_rows(BUNDLE.replace('"1"', '"0"')), "rows[1].amount: must be above 0"),
        (bundle_rows(BUNDLE, BUNDLE), "mars few: is given twice"),
        (bundle_rows(BUNDLE).replace("JPY", "Yen"), "rows[1].currency: expected a code of ISO 4217 such as USD"),
        (bundle_rows(BUNDLE.replace('"credits"', '"gold"')), "bundle mars few.wallet: no rate draws on wallet gold"),
        (plan_rows(PLAN.partition(", allocations")[0]), "plans[1].rows[1].allocations: must be given"),
        (
            plan_rows(PLAN.replace("credits", "gold")),
            "plan mars p.allocations.gold.wallet: no rate draws on wallet gold",
        ),
        (plan_rows(PLAN.replace("seats = 1", "seats = 0")), "rows[1].seats: must be above 0"),
        (plan_rows(PLAN.replace("agents = 1", "agents = 0")), "rows[1].agents: must be above 0"),
        (plan_rows(PLAN.replace("seats = 1", "seats = 2147483648")), "rows[1].seats: must be at most 2147483647"),
        (plan_rows(PLAN, PLAN.replace('"p"', '"q"') + ', currency = "USD"'), "region mars is priced in"),
        (plan_rows(PLAN.replace('"p"', '"Team P"')), "rows[1].key: must be 1 to 63 lower-case letters"),
        (plan_rows(PLAN).replace('"mars"', '"Mars"'), "rows[1].region: must be 1 to 63 lower-case letters"),
        (plan_rows(PLAN.replace('"P"', '" P"')), "rows[1].name: must be 1 to 200 characters"),
    ],
)
def test_a_mistake_in_a_file_is_said_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "data.toml").write_text(text)
    with pytest.raises(CatalogError) as refusal:
        load(tmp_path)
    assert message in str(refusal.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogError, match=r"^data\.toml"):
        load(tmp_path)


def test_a_row_may_state_what_its_group_states_and_its_own_goes_first(tmp_path: Path) -> None:
    text = prices_row('{ model = "m", input = "1" }, { model = "n", input = "1", note = "mine" }')
    (tmp_path / "data.toml").write_text(text.replace("rows =", 'note = "shared"\nrows ='))
    assert {price.model: price.note for price in load(tmp_path).prices} == {"m": "shared", "n": "mine"}


def test_a_currency_without_minor_units_is_read_in_whole_units(tmp_path: Path) -> None:
    (tmp_path / "data.toml").write_text(bundle_rows(BUNDLE.replace('"5"', '"500"')))
    (bundle,) = load(tmp_path).bundles
    assert (bundle.price, bundle.currency, bundle.amount) == (500, "JPY", NANO)


def test_an_empty_folder_is_an_empty_catalog(tmp_path: Path) -> None:
    catalog = load(tmp_path)
    assert [*catalog.providers, *catalog.plans, *catalog.bundles, *catalog.rate_cards] == []
    assert catalog.rate_cards.at(NOVEMBER, NOVEMBER) is None
