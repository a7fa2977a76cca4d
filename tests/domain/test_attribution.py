"""Attribution: which ids of the customer can be stored, and what is said about those that cannot."""

import pytest

from domain.attribution import IDENTIFIER_RULE, NOBODY, Attribution, camel, is_identifier, is_text, problems
from domain.refusals import FieldProblem


@pytest.mark.parametrize("text", ["a", "spring campaign", "ÄÖ-42", "x" * 200, "a=b", "⚠️"])
def test_what_people_call_their_things_is_taken(text: str) -> None:
    assert is_identifier(text)


@pytest.mark.parametrize("text", ["", " ", "a ", " a", "x" * 201, "a\0b", "a\nb", "\ud800", "a\u200bb", "\u00a0a"])
def test_what_cannot_be_stored_or_seen_is_not(text: str) -> None:
    assert not is_identifier(text)


def test_free_text_may_have_lines_but_neither_nul_nor_half_a_surrogate_pair() -> None:
    assert is_text("refund for\nOctober ⚠️", 200)
    assert is_text("", 0)
    assert not is_text("abc", 2)
    assert not is_text("a\0b", 200)
    assert not is_text("\ud83d", 200)


def test_nobody_has_no_problems() -> None:
    assert problems(NOBODY, "attribution") == ()
    assert problems(Attribution(), "attribution") == ()


def test_a_full_attribution_has_no_problems() -> None:
    full = Attribution("p", "r", "c", "a", "cl", "blog-writer", "s", "t", tags=(("team", "a=b"), ("x", "y")))
    assert problems(full, "attribution") == ()


def test_each_bad_field_is_named_as_the_client_wrote_it() -> None:
    bad = Attribution(project="", agent_role=" x", task_run="y" * 201)
    assert problems(bad, "attribution") == (
        FieldProblem("attribution.project", IDENTIFIER_RULE),
        FieldProblem("attribution.agentRole", IDENTIFIER_RULE),
        FieldProblem("attribution.taskRun", IDENTIFIER_RULE),
    )


def test_an_eleventh_tag_is_one_too_many() -> None:
    tags = tuple((f"key{index:02d}", "v") for index in range(11))
    assert problems(Attribution(tags=tags[:10]), "a") == ()
    assert problems(Attribution(tags=tags), "a") == (FieldProblem("a.tags", "at most 10 tags"),)


def test_a_tag_key_stands_only_once() -> None:
    assert problems(Attribution(tags=(("k", "1"), ("k", "2"))), "a") == (
        FieldProblem("a.tags", "a tag key may stand only once"),
    )


@pytest.mark.parametrize("tag", [("", "v"), ("k", ""), ("k=", "v"), ("k", "v ")])
def test_a_tag_needs_a_key_without_equals_and_a_value(tag: tuple[str, str]) -> None:
    message = f"a tag's key (without '=') and value: {IDENTIFIER_RULE}"
    assert problems(Attribution(tags=(tag,)), "a") == (FieldProblem("a.tags", message),)


def test_names_are_written_as_clients_write_them() -> None:
    assert [camel(name) for name in ("agent_role", "project", "task_run")] == ["agentRole", "project", "taskRun"]
