"""What a month that is played again keeps in memory."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from domain.admission import Wish
from domain.books import Operation
from domain.ids import uuid7
from domain.outcomes import Tally
from domain.reservations import Granted, Release, Reserve
from infra.back_test.played_books import PlayedBooks
from infra.batch import OpenBooks
from tests.domain.builders import CATALOG, NOW, tenant


def test_no_more_is_kept_than_the_work_that_is_open() -> None:
    open_books = OpenBooks(tenant(zone=ZoneInfo("UTC")), "2026-11")
    played = PlayedBooks(open_books, CATALOG, Tally(), own_keys_allowed=False)
    for number in range(50):
        at = NOW + timedelta(seconds=number)
        work = Reserve(played.request(Operation.RESERVE), uuid7(number, 0), Wish("seo_score"))
        assert isinstance(played.decide(work, at), Granted)
        if number:
            played.decide(Release(played.request(Operation.RELEASE), work.reservation_id), at)
    assert list(open_books.reservations) == [uuid7(0, 0)]
    assert not open_books.tasks | open_books.used_keys | open_books.usage
    # The first is still open; those behind it are looked at when it is due.
    played.decide(Release(played.request(Operation.RELEASE), uuid7(0, 0)), NOW + timedelta(minutes=1))
    assert not open_books.reservations
    assert not played.due
