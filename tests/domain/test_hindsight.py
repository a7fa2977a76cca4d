"""A wallet as it was before: every entry can be taken back, down to the empty wallet."""

from hypothesis import given, settings

from domain import hindsight
from tests.domain.builders import figures
from tests.domain.test_properties import history_of, played, seeds


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_taking_back_every_entry_finds_each_balance_of_the_past_and_at_last_the_empty_wallet(seed: int) -> None:
    books = played(seed, history_of(seed, 80))
    for wallet in books.wallets.values():
        entries = [entry for entry in books.entries if entry.wallet_id == wallet.id]
        past = wallet._replace(lots=tuple(books.lots[wallet.id].values()))
        for entry in reversed(entries):
            assert (past.granted, past.available, past.reserved, past.consumed, past.expired) == entry[5:10]
            assert tuple(map(sum, zip(*map(figures, past.lots), strict=True))) == figures(past)
            past = hindsight.before(past, entry)
            assert past.head_hash == entry.previous_hash
        assert past.sequence == 0
        assert figures(past) == (0, 0, 0, 0, 0)
        assert all(figures(lot) == (0, 0, 0, 0, 0) for lot in past.lots)
