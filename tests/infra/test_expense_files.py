"""CSV files of expenses: whatever is in them, each row is an entry or says what is wrong, and memory stays flat."""

import io
import tracemalloc
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from domain.expenses import ExpenseKind
from infra import expense_files
from infra.expense_cells import DecimalSign
from infra.expense_files import LONGEST_ROW, MOST_BLANK, Charset, Row, read_rows
from infra.file_errors import UnreadableFileError
from tests.domain.builders import nano

HEADER = "campaign,kind,amount,hours,hourlyRate,currency,incurredOn,description,reference\n"
GOOD = "spring,adwords,12.5,,,EUR,2026-11-03,text,\n"


def rows(content: str | bytes, **options: Any) -> list[Row]:
    return list(read_rows(io.BytesIO(content.encode() if isinstance(content, str) else content), **options))


def problem(content: str | bytes, **options: Any) -> tuple[str, str]:
    """The one problem of a file's one row."""
    (row,) = rows(content, **options)
    (found,) = row.problems
    return found.path, found.message


def one(cells: str, **options: Any) -> tuple[str, str]:
    return problem(HEADER + cells + "\n", **options)


def unreadable(content: str | bytes, **options: Any) -> str:
    with pytest.raises(UnreadableFileError) as raised:
        rows(content, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + GOOD).encode(),
        b"\xef\xbb\xbf" + (HEADER + GOOD).encode(),
        (HEADER + GOOD).encode("utf-16"),
        b"\xfe\xff" + (HEADER + GOOD).encode("utf-16-be"),
        (HEADER + GOOD).replace("\n", "\r\n").encode(),
        (HEADER + GOOD).replace("\n", "\r").encode(),
        (HEADER + GOOD).rstrip("\n").encode(),
        (HEADER + GOOD).replace(",", ";").encode(),
        (HEADER + GOOD).replace(",", "\t").encode(),
        b"\n \n" + (HEADER + GOOD).encode(),
        (
            b'"Date","CAMPAIGN","Kind","amount","Currency","Hourly Rate","hours","description","id"\n'
            b'"2026-11-03","spring","Adwords","12.5"," eur ","","","text",""\n'
        ),
    ],
)
def test_one_expense_is_read_however_it_is_written(content: bytes) -> None:
    (row,) = rows(content)
    assert row.entry is not None
    assert row.entry[:5] == ("spring", ExpenseKind.ADWORDS, "EUR", date(2026, 11, 3), nano("12.5"))
    assert (row.entry.description, row.reference, row.problems) == ("text", None, ())


def test_letters_of_older_windows_are_read_only_if_the_caller_says_so() -> None:
    content = (HEADER + "frühling,adwords,12,,,EUR,2026-11-03,,\n").encode("cp1252")
    path, message = problem(content)
    assert (path, message[:24]) == ("line", "holds the byte 0xFC, whi")
    assert "charset=cp1252" in message
    (row,) = rows(content, charset=Charset.CP1252)
    assert row.entry is not None
    assert row.entry.campaign == "frühling"
    path, message = problem(HEADER.encode() + b"a\x81b,adwords,12,,,EUR,2026-11-03,,\n", charset=Charset.CP1252)
    assert (path, message[:19]) == ("line", "holds the byte 0x81")
    assert "leave the charset out" in unreadable(b"\xef\xbb\xbf" + HEADER.encode(), charset=Charset.CP1252)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (HEADER.encode("utf-16-le"), "NUL in its first line"),
        (HEADER.encode("utf-32"), "is in UTF-32"),
        (b"PK\x03\x04...", "is a spreadsheet"),
        (HEADER.encode("utf-16") + b"x", "save it as UTF-8"),
        (b"campa\xfcgn,kind\n", "line 1 holds the byte 0xFC"),
        (b"x" * (LONGEST_ROW + 1), "line 1 is longer"),
        (b"a|b|c\n", "it must name columns, separated by commas, semicolons or tabs"),
        (b'campaign,"kind\n', "it must name columns"),
        (b"campaign,kind,amount,currency\n", "it lacks incurredOn"),
        (b"campaign,kind,currency,date,hours\n", "it lacks amount (or hours and hourlyRate)"),
        (b"campaign,kind,amount,currency,date,colour\n", "there is no column 'colour'"),
        (b"campaign,kind,amount,currency,date,\n", "column 6 has no name"),
        (b"campaign,kind,amount,currency,date,incurred_on\n", "the column incurredOn stands there more than once"),
    ],
)
def test_a_file_that_makes_no_sense_says_why(content: bytes, said: str) -> None:
    assert said in unreadable(content)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ('"1.234,56"', "without signs between thousands"),
        ('"1,234.56"', "without signs between thousands"),
        ('"12,5"', "decimal=comma"),
        ("=1+1", "a formula"),
        ("+12", "a formula or a sign too many"),
        ("@SUM(A1)", "a formula"),
        ("\t12", "an amount is a plain decimal"),
        ("1e5", "an amount is a plain decimal"),
        ("NaN", "an amount is a plain decimal"),
        ("€12", "an amount is a plain decimal"),
        ("12 EUR", "an amount is a plain decimal"),
        ("1 234", "an amount is a plain decimal"),
        ("٣", "an amount is a plain decimal"),
        ("0.1234567891", "at most 9 fractional digits"),
        ("10000000000", "at most 1000000000"),
    ],
)
def test_a_figure_is_never_guessed_at(amount: str, said: str) -> None:
    path, message = one(f"spring,adwords,{amount},,,EUR,2026-11-03,,")
    assert path == "amount"
    assert said in message


def test_the_comma_is_the_decimal_sign_where_the_caller_says_so() -> None:
    def amount(cell: str) -> int | str:
        (row,) = rows(HEADER.replace(",", ";") + f"a;event;{cell};;;EUR;2026-11-03;;\n", sign=DecimalSign.COMMA)
        return row.problems[0].message if row.entry is None else row.entry.amount or 0

    assert amount("1234,56") == nano("1234.56")
    assert amount("1234") == nano("1234")
    for wrong in ("1.234,56", "1.234", "12,", ",5", "1,2,3", "=1"):
        assert wrong in str(amount(wrong))


@pytest.mark.parametrize(
    ("cells", "path", "said"),
    [
        ("spring,ads,1,,,EUR,2026-11-03,,", "kind", "must be one of adwords, meta_ads"),
        ("spring,adwords,1,,,EUR,03.11.2026,,", "incurredOn", "must be a day such as 2026-11-21, and is '03.11.2026'"),
        ("spring,adwords,1,,,EUR,2026-02-30,,", "incurredOn", "must be a day"),
        ("spring,adwords,1,,,EUR,2026-11-03,a\0b,", "description", "NUL"),
        ("spring,adwords,1,,,EUR,2026-11-03,,\tx", "reference", "without control characters"),
        ("spring,adwords,1,,,EUR,2026-11-03,", "line", "has 8 columns, the header has 9"),
        ("spring,adwords,1,000,,EUR,2026-11-03,,,,", "line", "a separator within a text needs quotes"),
        ('spring,adwords,1,,,EUR,2026-11-03,"a"b,', "quotes", "do not go"),
        ('spring,adwords,1,,,EUR,2026-11-03,"open,', "quotes", "do not go (unexpected end"),
    ],
)
def test_a_cell_or_a_row_that_does_not_go_is_named(cells: str, path: str, said: str) -> None:
    found = one(cells)
    assert found[0] == path
    assert said in found[1]


def test_all_wrong_cells_of_a_row_are_named() -> None:
    (row,) = rows(HEADER + "spring,ads,x,,,EUR,today,,\n")
    assert [each.path for each in row.problems] == ["kind", "incurredOn", "amount"]


def test_no_letter_of_another_alphabet_becomes_part_of_a_currency() -> None:
    found = rows(HEADER + "".join(f"spring,adwords,1,,,{code},2026-11-03,,\n" for code in ("idr", " Eur ", "\u0131dr")))
    assert [row.entry.currency for row in found if row.entry] == ["IDR", "EUR", "\u0131dr"]


def test_texts_stay_what_they_are_also_formulas() -> None:
    content = HEADER + '=cmd|\' /C calc\'!A0,adwords,1,,,EUR,2026-11-03,"\t@SUM(1+1)\n""quoted""",-1+2\n'
    (row,) = rows(content)
    assert row.entry is not None
    assert (row.entry.campaign, row.reference) == ("=cmd|' /C calc'!A0", "-1+2")
    assert row.entry.description == '\t@SUM(1+1)\n"quoted"'
    assert (row.line, row.past) == (2, 3)


def test_after_a_broken_row_the_next_line_begins_a_row() -> None:
    long = "x" * (LONGEST_ROW + 5)
    content = [
        HEADER,
        GOOD,
        '"a"b\n',
        GOOD,
        long,
        "\n",
        GOOD,
        "\n",
        ",,,\n",
        " \n",
        GOOD,
        '"open\n',
        "x\n" * LONGEST_ROW,
    ]
    found = [(row.line, row.past, row.entry is not None, bool(row.problems)) for row in rows("".join(content))][:9]
    assert found[:7] == [
        (2, 2, True, False),
        (3, 3, False, True),
        (4, 4, True, False),
        (5, 5, False, True),
        (6, 6, True, False),
        (7, 9, False, False),
        (10, 10, True, False),
    ]
    start, past, *rest = found[7]
    assert (start, rest) == (11, [False, True])
    assert past == 11 + LONGEST_ROW // 2 - 2, "so far the open quote may have reached"
    assert found[8][:2] == (past + 1, past + 1)


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expense_files, "MOST_ROWS", 3)
    assert len(rows(HEADER + GOOD * 3 + "\n")) == 4
    assert "more than 3 rows" in unreadable(HEADER + GOOD * 4)


def test_nothing_is_told_in_pieces_so_that_others_have_a_turn() -> None:
    many = 2 * MOST_BLANK + 500
    found = rows(HEADER + "\n" * many + GOOD + ",,,,\n" * 2 + GOOD)
    assert [(row.line, row.past) for row in found] == [
        (2, MOST_BLANK + 1),
        (MOST_BLANK + 2, 2 * MOST_BLANK + 1),
        (2 * MOST_BLANK + 2, many + 1),
        (many + 2, many + 2),
        (many + 3, many + 4),
        (many + 5, many + 5),
    ]
    assert len(rows(HEADER + ("," * (LONGEST_ROW - 1) + "\n") * 4)) == 2, "wide ones too"
    assert len(rows("\n" * (MOST_BLANK - 1) + HEADER + GOOD)) == 1
    assert f"begins with more than {MOST_BLANK} lines of nothing" in unreadable("\n" * MOST_BLANK + HEADER)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(Charset), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_no_bytes_break_it(content: bytes, charset: Charset, separator: str, with_header: bool) -> None:
    header = HEADER.replace(",", separator).encode() if with_header else b""
    try:
        found = rows(header + content, charset=charset)
    except UnreadableFileError:
        return
    assert [row.line for row in found] == sorted({row.line for row in found})
    for row in found:
        assert row.line <= row.past
        assert row.entry is None or not row.problems


class Endless(io.RawIOBase):
    """A file that is made while it is read: the header, then the same again and again."""

    def __init__(self, piece: bytes, size: int) -> None:
        self._piece, self._left = piece, size
        self._rest = HEADER.encode()

    @override
    def readable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = 0) -> int:
        """Only after the first look at how it begins."""
        assert (offset, whence) == (0, 0)
        self._rest = HEADER.encode()[:4] + self._rest
        return 0

    @override
    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and self._left > 0:
            self._rest += self._piece
            self._left -= len(self._piece)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@pytest.mark.parametrize(
    ("piece", "size"),
    [
        (GOOD, 200_000),
        ("x" * 10_000, 10_000_000),
        ('a,"' + "y\n" * 5_000, 50_000),
        ("," * 10_000, 10_000_000),
        ("\n", 50_000),
    ],
    ids=["rows", "one line", "open quotes", "commas", "nothing"],
)
def test_memory_stays_flat_whatever_stands_there(piece: str, size: int) -> None:
    tracemalloc.start()
    try:
        for _ in read_rows(Endless(piece.encode(), size)):  # type: ignore[arg-type]  # it reads bytes
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000, "a row and a half, however much there is"
