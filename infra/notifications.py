"""Notifications: one message to one channel, by whatever way its kind goes.

Slack and e-mail go by Apprise, in a thread: it speaks to the network in its own time, at most some seconds. Tenants give
addresses alone; the mail server is the operator's.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from domain import channels, ids
from domain.channels import ChannelKind, Notice
from domain.event_data import event_data
from infra import webhooks
from infra.sending import DELIVERED, Sent
from infra.settings import Settings

_log: Final = logging.getLogger(__name__)
NO_EMAIL: Final = "e-mail is not set up here: the operator names a mail server in PURSER_EMAIL_URL"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a channel is, in clear. `secret`: what a webhook is signed by."""

    kind: ChannelKind
    target: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """An event for the outside. Amounts in its data are still nano-units."""

    id: UUID
    tenant_id: UUID
    type: str
    at: datetime
    data: Mapping[str, Any]


async def send(settings: Settings, address: Address, message: Message, now: datetime) -> Sent:
    """Try once. Nothing is raised for what the channel, or the way to it, does."""
    match address.kind:
        case ChannelKind.WEBHOOK:
            assert address.secret is not None
            allowed = settings.local_webhooks_allowed
            message_id, body = ids.public("event", message.id), body_of(message)
            return await webhooks.post(address.target, address.secret, message_id, body, now, local_allowed=allowed)
        case ChannelKind.SLACK:
            return await asyncio.to_thread(_to_slack, address.target, channels.notice(message.type, message.data))
        case ChannelKind.EMAIL:
            if settings.email_url is None:
                return Sent(NO_EMAIL)
            notice = channels.notice(message.type, message.data)
            return await asyncio.to_thread(_by_email, settings.email_url, address.target, notice)


def body_of(message: Message) -> bytes:
    """What a webhook is sent: amounts are decimals here."""
    return orjson.dumps(
        {
            "type": message.type,
            "timestamp": message.at.isoformat(),
            "tenant": ids.public("tenant", message.tenant_id),
            "data": event_data(message.type, message.data),
        }
    )


def _to_slack(url: str, notice: Notice) -> Sent:
    from apprise.plugins.slack import NotifySlack

    token_a, token_b, token_c = url.rsplit("/", 3)[1:]
    parts = {
        "token_a": token_a,
        "token_b": token_b,
        "token_c": token_c,
        "include_image": False,
        "include_footer": False,
    }
    return _notify(NotifySlack, {**parts, "secure": True}, notice, "Slack did not take it")


def _by_email(server: str, address: str, notice: Notice) -> Sent:
    from apprise.plugins.email.base import NotifyEmail

    parts = NotifyEmail.parse_url(server) or {}  # type: ignore[no-untyped-call]
    return _notify(NotifyEmail, {**parts, "targets": [address]}, notice, "the mail server did not take it")


def _notify(service: Any, parts: Mapping[str, Any], notice: Notice, failure: str) -> Sent:
    """By Apprise's class for the service: its registry would load all of its hundred services to find this one."""
    from apprise import AppriseAsset, NotifyFormat
    from apprise.exception import AppriseImproperlyConfigured

    for name, level in (("apprise", logging.WARNING), ("urllib3", logging.INFO)):
        # What they log below these levels shows URLs, which are secrets, and addresses.
        log = logging.getLogger(name)
        log.setLevel(max(log.level, level))
    asset = AppriseAsset(app_id="Purser", app_desc="Purser", app_url="", http_redirects=False)
    try:
        opened = service(**parts, asset=asset)
    except AppriseImproperlyConfigured:
        _log.warning("PURSER_EMAIL_URL names no mail server that can be used")
        return Sent("it is not set up as it must be: ask the operator", reached=False)
    taken = opened.notify(body=notice.body, title=notice.title, body_format=NotifyFormat.TEXT)
    return DELIVERED if taken else Sent(failure, reached=False)
