"""The demo's present: while a demo server runs, something small happens every few seconds, so that its figures live.

Small calls of Acme's agents are reserved and settled by the services, some on local models and none for more than a fraction of
a cent. What is refused is skipped: who pauses an agent, or uses the balance up, sees the traffic end.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from secrets import token_hex
from typing import Final, NamedTuple
from uuid import UUID

from domain.admission import Wish
from domain.attribution import Attribution
from domain.holds import Estimate, ModelName
from domain.money import NANO
from domain.prices import Tokens
from domain.reservations import Granted
from domain.usage import Usage
from infra.application import Application
from infra.demo.people import CAMPAIGNS
from infra.services import reservations, settlements
from infra.services.callers import Caller, Role

SECONDS_BETWEEN: Final = 4.0
# For as long a hold is seen.
SECONDS_OF_A_CALL: Final = 1.5
_ACTOR: Final = "key:demo-service"
_TENANT: Final = "SELECT id FROM tenant WHERE slug = 'acme'"

_log: Final = logging.getLogger(__name__)


class SmallCall(NamedTuple):
    """A call that costs next to nothing: one of a local model, or some ten thousandths of a dollar."""

    feature: str
    role: str
    provider: str
    model: str
    campaigns: tuple[str | None, ...]


CALLS: Final = (
    SmallCall("lead_qualify", "lead-scout", "openai", "gpt-5-nano", ("trade-fair", "win-back")),
    SmallCall("llm_call", "blog-writer", "openai", "gpt-4o-mini", ("spring", "partner-webinar")),
    SmallCall("llm_call", "review-response-writer", "ollama", "gemma3:4b", ("win-back", None)),
    SmallCall("outreach_draft", "social-post-writer", "anthropic", "claude-haiku-5-5", ("spring", "trade-fair")),
    SmallCall("llm_call", "content-repurposer", "google", "gemini-2.5-flash-lite", ("newsletter", "spring")),
    SmallCall("x_reply_draft", "social-post-writer", "openai", "gpt-4.1-nano", ("spring", "win-back")),
    SmallCall("llm_call", "content-scorer", "ollama", "llama3.2", ("newsletter", "partner-webinar")),
)


@asynccontextmanager
async def traffic(application: Application) -> AsyncIterator[None]:
    """Keep making small calls while the body runs; one that is under way is finished first."""
    stopping = asyncio.Event()
    running = asyncio.create_task(_make_calls(application, stopping))
    try:
        yield
    finally:
        stopping.set()
        await running


async def make_call(application: Application, tenant_id: UUID, number: int, key: str, stopping: asyncio.Event) -> bool:
    """Make one of the small calls; whether it was let through and settled. What it is follows from its number."""
    random = Random(number)  # noqa: S311  # figures of a demo
    call = CALLS[number % len(CALLS)]
    campaign = random.choice(call.campaigns)
    client = None if campaign is None else CAMPAIGNS[campaign][1]
    who = Attribution(campaign=campaign, client=client, agent_role=call.role, session=f"live-{call.role}")
    caller = Caller(tenant_id, Role.SERVICE, _ACTOR)
    model = ModelName(call.provider, call.model)
    tokens = Tokens(random.randrange(200, 500), random.randrange(60, 160))
    wish = Wish(call.feature, NANO, model, Estimate(tokens), who)
    granted = await reservations.reserve(application, caller, key, wish, ttl_seconds=60)
    if not isinstance(granted, Granted):
        return False
    await _pause(stopping, SECONDS_OF_A_CALL)
    spent = Usage(
        provider=call.provider,
        model=call.model,
        tokens=tokens,
        duration_ms=random.randrange(300, int(SECONDS_OF_A_CALL * 1_000)),
    )
    await settlements.consume(application, caller, f"{key}:done", granted.reservation.id, None, [spent])
    return True


async def _make_calls(application: Application, stopping: asyncio.Event) -> None:
    start, number = token_hex(6), 0
    tenant_id: UUID = await application.across_tenants.fetchval(_TENANT)
    while not stopping.is_set():
        try:
            await make_call(application, tenant_id, number, f"demo:traffic:{start}:{number}", stopping)
        except Exception:  # noqa: BLE001  # it must not end the server, nor itself
            _log.exception("a call of the demo's traffic failed")
        number += 1
        await _pause(stopping, SECONDS_BETWEEN - SECONDS_OF_A_CALL)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait, but not for longer than until it is to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
