"""Identifiers: ordered by time inside, named by their kind outside."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import KINDS, PREFIXES, milliseconds_of, parse, public, uuid7

milliseconds = st.integers(0, 2**48 - 1)
bits = st.integers(0, 2**74 - 1)


def test_the_example_of_rfc_9562_comes_out() -> None:
    random_bits = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    assert uuid7(0x017F22E279B0, random_bits) == UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


@given(milliseconds, bits)
def test_an_identifier_carries_version_variant_and_its_moment(moment: int, random_bits: int) -> None:
    identifier = uuid7(moment, random_bits)
    assert identifier.version == 7
    assert identifier.variant == "specified in RFC 4122"
    assert milliseconds_of(identifier) == moment


@given(milliseconds, milliseconds, bits, bits)
def test_an_identifier_of_a_later_moment_sorts_later(first: int, second: int, left: int, right: int) -> None:
    if first != second:
        assert (uuid7(first, left) < uuid7(second, right)) == (first < second)


@given(milliseconds, st.integers(0, 2**80))
def test_bits_beyond_74_change_nothing(moment: int, random_bits: int) -> None:
    assert uuid7(moment, random_bits) == uuid7(moment, random_bits & 2**74 - 1)


@given(st.sampled_from(sorted(PREFIXES)), st.uuids())
def test_the_public_form_is_read_back(kind: str, identifier: UUID) -> None:
    text = public(kind, identifier)
    assert parse(kind, text) == identifier
    assert text == f"{PREFIXES[kind]}_{identifier.hex}"


def test_every_prefix_names_one_kind() -> None:
    assert {PREFIXES[kind]: kind for kind in PREFIXES} == KINDS
    assert len(KINDS) == len(PREFIXES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rsv_",
        "wal_017f22e279b07cc398c4dc0c0c07398f",
        "rsv_017F22E279B07CC398C4DC0C0C07398F",
        "rsv_017f22e279b07cc398c4dc0c0c07398",
        "rsv_017f22e279b07cc398c4dc0c0c07398f0",
        "rsv_017f22e279b07cc398c4dc0c0c07398f\n",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "rsv_017f22e279b07cc398c4dc0c0c0739８f",
    ],
)
def test_what_is_not_a_public_form_of_the_kind_is_nobody(text: str) -> None:
    assert parse("reservation", text) is None
