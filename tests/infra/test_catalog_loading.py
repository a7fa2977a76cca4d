"""How data files are read, and what is said of one that is wrong."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.money import NANO
from infra.catalog import CatalogError, load

NOVEMBER = datetime(2026, 11, 21, tzinfo=UTC)

PROVIDER = '[[provider]]\nslug = "acme"\nname = "Acme"\ncategory = "LLM"\npurpose = "Tests"\n'
PRICES = '[[prices]]\nprovider = "acme"\neffective_from = 2026-01-01T00:00:00Z\nrows = [{ROW}]\n'
CARD_1 = '[[card]]\nversion = 1\neffective_from = 2026-01-01T00:00:00Z\ncredit_value = "0.5"\nmarkup = "1.3"\n'
RATES = (
    '[[rates]]\ncard = 1\ncharge_type = "FIXED"\nwallet = "credits"\nroute_class = "OTHER"\n'
    'estimate_per_credit = "0.3"\nrows = [{ROW}]\n'
)
REGION = '[[region]]\nkey = "mars"\ncurrency = "JPY"\nminor_digits = 0\n'
BUNDLE = '[[region.bundle]]\nkey = "few"\nwallet = "credits"\namount = "1"\n'


def prices_row(row: str) -> str:
    return PROVIDER + PRICES.replace("{ROW}", row)


def rates_row(row: str) -> str:
    return CARD_1 + RATES.replace("{ROW}", row)


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
        (prices_row('{ model = "m", input = "-1" }'), "rows[1].input: is negative"),
        (prices_row('{ model = "m", inptu = "1", output = "1" }'), "prices[1].rows[1]: unknown key inptu"),
        (prices_row('{ model = "m" }'), "prices[1].rows[1]: a price needs at least one figure"),
        (prices_row('{ model = "", input = "1" }'), "rows[1].model: is empty"),
        (prices_row('{ aliases = ["m"], input = "1" }'), "rows[1]: aliases without a model"),
        (prices_row('{ model = "m", aliases = [1], input = "1" }'), "rows[1].aliases: expected a list of texts"),
        (prices_row('{ model = "m", context_above = true, input = "1" }'), "context_above: expected a whole number"),
        (prices_row('{ model = "m", context_above = -1, input = "1" }'), "context_above: is negative"),
        (
            prices_row('{ model = "m", input = "1", effective_from = 2026-01-01T00:00:00+05:30 }'),
            "effective_from: expected a moment in UTC",
        ),
        (prices_row('{ model = "m", input = "1" }, { model = "m", input = "2" }'), "a price is given twice"),
        (PRICES.replace("{ROW}", '{ input = "1" }'), "prices of provider acme: there is no such provider"),
        (prices_row("").replace('provider = "acme"', 'provider = "acme"\ntypo = 1'), "prices[1]: unknown key typo"),
        (PROVIDER + PROVIDER, "provider acme: is given twice"),
        (PROVIDER.replace('name = "Acme"\n', ""), "data.toml.provider[1].name: is missing"),
        (CARD_1 + CARD_1, "a rate card version is given twice"),
        (CARD_1.replace("1.3", "0.9"), "data.toml.card[1]: a markup under 1"),
        (RATES.replace("{ROW}", ""), "rates of card 1: there is no such card"),
        (
            rates_row('{ feature = "f", name = "F", amount = "1", charge_type = "GIFT" }'),
            "charge_type: expected one of",
        ),
        (rates_row('{ feature = "f", name = "F" }'), "rates[1].rows[1]: f: amount does not fit FIXED"),
        (REGION + BUNDLE, "region[1].bundle[1].price: is missing"),
        (REGION + BUNDLE + 'price = "0.5"\n', "bundle[1].price: has more than 0 fractional digits"),
        (REGION + (BUNDLE + 'price = "5"\n') * 2, "bundle mars few: is given twice"),
        (REGION + "[[region.plan]]\n" + 'key = "p"\nname = "P"\nprice = "1"\n', "plan[1].allocations: is missing"),
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
    (tmp_path / "data.toml").write_text(REGION + BUNDLE + 'price = "500"\n')
    (bundle,) = load(tmp_path).bundles
    assert (bundle.price, bundle.currency, bundle.amount) == (500, "JPY", NANO)


def test_an_empty_folder_is_an_empty_catalog(tmp_path: Path) -> None:
    catalog = load(tmp_path)
    assert (catalog.providers, catalog.plans, catalog.bundles) == ((), (), ())
    assert catalog.rate_cards.at(NOVEMBER, NOVEMBER) is None
