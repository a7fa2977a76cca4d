"""What a channel may be, what goes there, and when it is sent again."""

import pytest

from domain.books import EventType
from domain.channels import BACK_OFF, TEST, ChannelKind, Notice, hint, next_attempt, notice, problems, wants
from tests.domain.builders import NOW

SLACK = "https://hooks.slack.com/services/T00000000/B00000000/abcDEF123456ghiJKL789mno"


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (ChannelKind.SLACK, SLACK),
        (ChannelKind.EMAIL, "alerts+purser@mail.example.co.uk"),
        (ChannelKind.WEBHOOK, "https://example.com"),
        (ChannelKind.WEBHOOK, "https://example.com:8443/purser/in?token=abc"),
        (ChannelKind.WEBHOOK, "https://[2606:4700::1111]/"),
        (ChannelKind.WEBHOOK, "https://[2606:4700::1111]:1/"),
        (ChannelKind.WEBHOOK, "https://example.com:65535?token=a:b"),
        (ChannelKind.EMAIL, "a" * 64 + "@example.com"),
    ],
)
def test_takes_what_can_be_reached(kind: ChannelKind, target: str) -> None:
    assert problems(kind, "Ops", target, (), local_allowed=False) == ()


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (ChannelKind.SLACK, "https://example.com/services/T00000000/B00000000/abc"),
        (ChannelKind.SLACK, "https://hooks.slack.com.example.com/services/T0/B0/abc"),
        (ChannelKind.SLACK, "https://hooks.slack.com/triggers/T0/123/abc"),
        (ChannelKind.SLACK, SLACK + "?channel=general"),
        (ChannelKind.SLACK, SLACK + "\n"),
        (ChannelKind.EMAIL, "nobody"),
        (ChannelKind.EMAIL, "a@example.com,b@example.com"),
        (ChannelKind.EMAIL, "a@example.com\r\nBcc: b@example.com"),
        (ChannelKind.EMAIL, "mailto://user:password@example.com"),
        (ChannelKind.WEBHOOK, "http://example.com"),
        (ChannelKind.WEBHOOK, "ftp://example.com"),
        (ChannelKind.WEBHOOK, "https://user:password@example.com"),
        (ChannelKind.WEBHOOK, "https://example.com/#part"),
        (ChannelKind.WEBHOOK, "https://"),
        *[
            (ChannelKind.WEBHOOK, f"https://example.com:{port}/")
            for port in ("99999", "65536", "-1", "0", "00", "", "1a")
        ],
        (ChannelKind.EMAIL, ".a@example.com"),
        (ChannelKind.EMAIL, "a..b@example.com"),
        (ChannelKind.EMAIL, "a.@example.com"),
        (ChannelKind.EMAIL, "a" * 65 + "@example.com"),
        (ChannelKind.WEBHOOK, "https://example.com/" + "a" * 2_000),
    ],
)
def test_refuses_what_cannot(kind: ChannelKind, target: str) -> None:
    (problem,) = problems(kind, "Ops", target, (), local_allowed=False)
    assert problem.path == "target"
    assert len(target) < 10 or target not in problem.message


def test_plain_http_is_for_installations_that_allow_it() -> None:
    assert problems(ChannelKind.WEBHOOK, "Ops", "http://127.0.0.1:8080/in", (), local_allowed=True) == ()


@pytest.mark.parametrize(
    ("kind", "types", "fits"),
    [
        (ChannelKind.WEBHOOK, ("alert.raised", "scope.paused"), True),
        (ChannelKind.WEBHOOK, ("alert.raised", "alert.raised"), False),
        (ChannelKind.WEBHOOK, ("alert.lowered",), False),
        (ChannelKind.EMAIL, ("alert.raised",), False),
    ],
)
def test_only_webhooks_choose_their_events(kind: ChannelKind, types: tuple[str, ...], fits: bool) -> None:
    target = "a@example.com" if kind is ChannelKind.EMAIL else "https://example.com"
    found = problems(kind, "Ops", target, types, local_allowed=False)
    assert [problem.path for problem in found] == ([] if fits else ["eventTypes"])


def test_every_wrong_field_is_named() -> None:
    found = problems(ChannelKind.SLACK, " ", "x", ("y",), local_allowed=False)
    assert [problem.path for problem in found] == ["name", "target", "eventTypes"]


def test_a_hint_is_of_no_use_to_others() -> None:
    assert hint(ChannelKind.SLACK, SLACK) == "hooks.slack.com ...9mno"
    assert hint(ChannelKind.EMAIL, "alerts@example.com") == "a...@example.com"
    assert hint(ChannelKind.WEBHOOK, "https://example.com:8443?token=abc") == "example.com:8443"


def test_people_get_alerts_and_programs_what_they_name() -> None:
    alert, paused = EventType.ALERT_RAISED, EventType.SCOPE_PAUSED
    for kind in (ChannelKind.SLACK, ChannelKind.EMAIL):
        assert wants(kind, (), alert)
        assert not wants(kind, (), paused)
    assert wants(ChannelKind.WEBHOOK, (), alert)
    assert wants(ChannelKind.WEBHOOK, (), paused)
    assert wants(ChannelKind.WEBHOOK, ("scope.paused",), paused)
    assert not wants(ChannelKind.WEBHOOK, ("scope.paused",), alert)


def test_what_does_not_arrive_is_sent_again_for_most_of_a_day() -> None:
    waits = [next_attempt(attempts, NOW) for attempts in range(1, len(BACK_OFF) + 2)]
    assert waits == [*(NOW + pause for pause in BACK_OFF), None]
    assert sum(pause.total_seconds() for pause in BACK_OFF) == 63_305
    assert list(BACK_OFF) == sorted(BACK_OFF)


def test_a_notice_says_what_is_the_matter_and_what_was_done() -> None:
    alert = {"kind": "low_balance", "message": "It runs low.", "action": "People are told."}
    assert notice("alert.raised", alert) == Notice("Purser: low balance", "It runs low.\nPeople are told.")
    assert notice("alert.raised", {**alert, "action": None}) == Notice("Purser: low balance", "It runs low.")
    assert notice(TEST, {"message": "A test."}) == Notice("Purser: test", "A test.")
