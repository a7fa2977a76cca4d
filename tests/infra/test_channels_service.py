"""Channels: added, shown without their secrets, tried and removed."""

import logging
import smtplib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.channels import MOST_CHANNELS, MOST_TESTS_AN_HOUR, ChannelKind
from domain.refusals import Conflict, IdempotencyKeyReused, InvalidInput, NotFound, ScopePaused
from infra.application import Application, open_application
from infra.audit import audit as proven
from infra.notifications import NO_EMAIL
from infra.queries.channels import list_channels
from infra.services import channels, tenants
from infra.services.callers import Caller, Refused
from infra.services.channels import ChannelAdded, ChannelTested
from infra.settings import Settings
from tests.in_process import Listener
from tests.infra.builders import Clock, contents, nothing_moves, open_tenant
from tests.infra.receiver import Receiver, receiving

pytestmark = pytest.mark.anyio

SLACK = "https://hooks.slack.com/services/T00000000/B00000000/abcDEF123456ghiJKL789mno"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Where tenants are trusted, and mail goes nowhere."""
    return replace(settings, local_webhooks_allowed=True, email_url="mailto://127.0.0.1:9?from=purser@example.com")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving("/in?token=s3cret") as opened:
        yield opened


async def added(application: Application, caller: Caller, key: str, kind: ChannelKind, target: str) -> ChannelAdded:
    answer = await channels.add_channel(application, caller, key, kind, "Ops", target)
    assert isinstance(answer, ChannelAdded), answer
    return answer


async def test_a_channel_is_added_once_and_its_secret_is_shown_to_who_added_it(
    application: Application, caller: Caller, receiver: Receiver
) -> None:
    first = await added(application, caller, "k", ChannelKind.WEBHOOK, receiver.url)
    assert first.secret is not None
    assert first.secret.startswith("whsec_")
    async with nothing_moves(application):
        assert await added(application, caller, "k", ChannelKind.WEBHOOK, receiver.url) == first, "the answer was lost"
        other = await channels.add_channel(application, caller, "k", ChannelKind.SLACK, "Ops", SLACK)
    assert isinstance(other, Refused)
    assert isinstance(other.refusal, IdempotencyKeyReused)
    slack = await added(application, caller, "s", ChannelKind.SLACK, SLACK)
    assert slack.secret is None
    assert await list_channels(application, caller.tenant_id) == [first.channel, slack.channel]
    assert receiver.taken == [], "nothing is sent by adding"


async def test_neither_rows_nor_values_nor_logs_show_addresses_and_secrets(
    application: Application, caller: Caller, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "urllib3", "apprise"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    webhook = await added(application, caller, "w", ChannelKind.WEBHOOK, receiver.url)
    mail = await added(application, caller, "m", ChannelKind.EMAIL, "somebody@example.com")
    for number, channel in enumerate((webhook.channel, mail.channel)):
        tested = await channels.test_channel(application, caller, f"{number}", channel.id)
        assert isinstance(tested, ChannelTested)
    assert webhook.secret is not None
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    assert logged
    seen = f"{await contents(application)} {webhook!r} {mail!r} {logged}"
    for secret in (webhook.secret, webhook.secret[6:], "s3cret", "somebody"):
        assert secret not in seen
    assert mail.channel.hint == "s...@example.com"


@pytest.mark.parametrize(
    ("kind", "target", "path"),
    [
        (ChannelKind.SLACK, "https://example.com/services/T0/B0/x", "target"),
        (ChannelKind.EMAIL, "a@example.com,b@example.com", "target"),
        (ChannelKind.WEBHOOK, "ftp://example.com", "target"),
        (ChannelKind.WEBHOOK, "https://no-such-host.invalid/", "target"),
        (ChannelKind.WEBHOOK, "https://xn--\u00e9/", "target"),
    ],
)
async def test_what_cannot_be_a_channel_is_refused(
    application: Application, caller: Caller, kind: ChannelKind, target: str, path: str
) -> None:
    async with nothing_moves(application):
        answer = await channels.add_channel(application, caller, "k", kind, "Ops", target)
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, InvalidInput)
    assert [problem.path for problem in answer.refusal.fields] == [path]


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://127.1/",
    ],
)
async def test_what_is_not_public_is_no_webhook_unless_the_operator_says_so(
    settings: Settings, database_url: str, target: str
) -> None:
    strict = replace(settings, local_webhooks_allowed=False)
    async with open_application(strict, database_url) as application:
        caller = await open_tenant(application)
        answer = await channels.add_channel(application, caller, "k", ChannelKind.WEBHOOK, "Ops", target)
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, InvalidInput)
    assert [problem.path for problem in answer.refusal.fields] == ["target"]


async def test_a_name_that_points_inside_later_is_not_followed(
    settings: Settings, database_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_application(settings, database_url) as trusting:
        caller = await open_tenant(trusting)
        channel = (await added(trusting, caller, "k", ChannelKind.WEBHOOK, receiver.url)).channel
    async with open_application(replace(settings, local_webhooks_allowed=False), database_url) as application:
        tested = await channels.test_channel(application, caller, "t", channel.id)
    assert tested == ChannelTested("its host has no public address")
    assert receiver.taken == []


async def test_without_a_mail_server_there_is_no_email(settings: Settings, database_url: str) -> None:
    async with open_application(replace(settings, email_url=None), database_url) as application:
        caller = await open_tenant(application)
        answer = await channels.add_channel(application, caller, "k", ChannelKind.EMAIL, "Ops", "a@example.com")
    assert isinstance(answer, Refused)
    assert answer.refusal.message == f"kind: {NO_EMAIL}"


async def test_a_test_says_what_happened_and_is_sent_once_for_its_key(
    application: Application, caller: Caller, receiver: Receiver
) -> None:
    channel = (await added(application, caller, "k", ChannelKind.WEBHOOK, receiver.url)).channel
    assert await channels.test_channel(application, caller, "1", channel.id) == ChannelTested(None)
    receiver.statuses = [500]
    for _ in range(2):
        tested = await channels.test_channel(application, caller, "2", channel.id)
        assert tested == ChannelTested("it answered 500")
    receiver.statuses = [302]
    tested = await channels.test_channel(application, caller, "3", channel.id)
    assert tested == ChannelTested("it answered 302: redirects are not followed")
    assert len(receiver.taken) == 3


async def test_tests_are_counted(timed: Application, clock: Clock, receiver: Receiver) -> None:
    caller = await open_tenant(timed)
    channel = (await added(timed, caller, "k", ChannelKind.WEBHOOK, receiver.url)).channel
    for number in range(MOST_TESTS_AN_HOUR):
        assert await channels.test_channel(timed, caller, f"{number}", channel.id) == ChannelTested(None)
    further = await channels.test_channel(timed, caller, "further", channel.id)
    assert isinstance(further, Refused)
    assert isinstance(further.refusal, Conflict)
    clock.advance(3_601)
    assert await channels.test_channel(timed, caller, "further", channel.id) == ChannelTested(None)


async def test_a_channel_is_removed_once_and_its_address_forgotten(
    application: Application, caller: Caller, receiver: Receiver
) -> None:
    made = await added(application, caller, "k", ChannelKind.WEBHOOK, receiver.url)
    await channels.test_channel(application, caller, "t0", made.channel.id)
    removed = await channels.remove_channel(application, caller, "r", made.channel.id)
    assert removed == made.channel
    async with nothing_moves(application):
        assert await channels.remove_channel(application, caller, "r", made.channel.id) == removed
        again = await channels.remove_channel(application, caller, "other", made.channel.id)
        tested = await channels.test_channel(application, caller, "t", made.channel.id)
    for answer in (again, tested):
        assert isinstance(answer, Refused)
        assert isinstance(answer.refusal, NotFound)
    assert await list_channels(application, caller.tenant_id) == []
    assert await application.across_tenants.fetchval("SELECT sealed FROM channel") == b""
    async with application.across_tenants.acquire() as connection:
        assert (await proven(connection)).findings == (), "keys of channels and tests refer to something"
    late = await added(application, caller, "k", ChannelKind.WEBHOOK, receiver.url)
    assert late == ChannelAdded(made.channel, None), "its secret is gone"


async def test_another_tenants_channels_are_not_there(
    application: Application, caller: Caller, receiver: Receiver
) -> None:
    channel = (await added(application, caller, "k", ChannelKind.WEBHOOK, receiver.url)).channel
    stranger = await open_tenant(application, "globex")
    assert await list_channels(application, stranger.tenant_id) == []
    async with nothing_moves(application):
        answers: list[Any] = [
            await channels.remove_channel(application, stranger, "r", channel.id),
            await channels.test_channel(application, stranger, "t", channel.id),
        ]
    assert [answer.refusal for answer in answers] == [NotFound("channel")] * 2
    assert receiver.taken == []


async def test_there_are_only_so_many_channels(application: Application, caller: Caller) -> None:
    for number in range(MOST_CHANNELS):
        await added(application, caller, f"{number}", ChannelKind.SLACK, SLACK)
    answer = await channels.add_channel(application, caller, "further", ChannelKind.SLACK, "Ops", SLACK)
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, Conflict)


async def test_a_suspended_tenant_adds_none(application: Application, caller: Caller) -> None:
    await tenants.suspend_tenant(application, caller, "s")
    answer = await channels.add_channel(application, caller, "k", ChannelKind.SLACK, "Ops", SLACK)
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, ScopePaused)


async def test_slack_is_told_in_plain_text(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apprise.plugins.slack import NotifySlack

    taken: list[tuple[str, dict[str, Any]]] = []
    answers = [("ok", 200), ("no_service", 404)]

    async def answer(request: Request) -> Response:
        taken.append((request.url.path, await request.json()))
        return Response(*answers.pop(0))

    listener = Listener()
    monkeypatch.setattr(NotifySlack, "webhook_url", f"{listener.origin}/services")
    app = Starlette(routes=[Route("/{rest:path}", answer, methods=["POST"])])
    channel = await channels.add_channel(application, caller, "k", ChannelKind.SLACK, "<!channel> & co", SLACK)
    assert isinstance(channel, ChannelAdded)
    async with listener.serving(app):
        assert await channels.test_channel(application, caller, "1", channel.channel.id) == ChannelTested(None)
        refused = await channels.test_channel(application, caller, "2", channel.channel.id)
    assert refused == ChannelTested("Slack did not take it")
    path, sent = taken[0]
    assert path == SLACK.removeprefix("https://hooks.slack.com")
    assert "Purser: test" in str(sent)
    assert 'A test of channel "&lt;!channel&gt; &amp; co"' in str(sent), "nobody is called by a name"
    assert "<!channel>" not in str(sent)


async def test_mail_goes_by_the_operators_server_to_one_address(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Any, ...]] = []

    class Server:
        """As smtplib's, and takes everything."""

        def __init__(self, host: str, port: int, *_: Any, **__: Any) -> None:
            self.place = (host, port)

        def sendmail(self, *given: Any, **_: Any) -> dict[str, Any]:
            sent.append((self.place, *given))
            return {}

        def __getattr__(self, _: str) -> Any:
            return lambda *_, **__: (250, b"ok")

    mail = (await added(application, caller, "k", ChannelKind.EMAIL, "somebody@example.com")).channel
    assert await channels.test_channel(application, caller, "1", mail.id) == ChannelTested(
        "the mail server did not take it"
    )
    monkeypatch.setattr(smtplib, "SMTP", Server)
    assert await channels.test_channel(application, caller, "2", mail.id) == ChannelTested(None)
    ((place, from_address, to, body, *_),) = sent
    assert (place, from_address, list(to)) == (("127.0.0.1", 9), "purser@example.com", ["somebody@example.com"])
    assert "Subject: Purser: test" in body
