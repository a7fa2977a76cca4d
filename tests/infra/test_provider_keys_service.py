"""Tenants' own provider keys: kept sealed, counted in admissions, given to nobody but the worker that calls on them."""

import asyncio
import logging
from base64 import b64encode
from dataclasses import replace
from typing import Final

import pytest

from domain.admission import Wish
from domain.holds import ModelName
from domain.money import NANO
from domain.refusals import BudgetScope, InvalidInput, NotFound, ScopePaused
from domain.reservations import Granted
from domain.usage import Route
from infra.application import Application, open_application
from infra.queries.provider_keys import ProviderKeyView, list_provider_keys
from infra.services import reservations, tenants
from infra.services.callers import Caller, Refused, Role
from infra.services.provider_keys import provider_secret, remove_provider_key, set_provider_key
from infra.settings import DeploymentMode, Settings
from infra.transaction import transaction
from infra.vault import VaultError
from tests.infra.builders import contents, held, nothing_moves, open_tenant

SECRET: Final = "sk-proj-seven-seals-4711"
MINI: Final = ModelName("openai", "gpt-4o-mini")


@pytest.fixture
def deployment_mode() -> DeploymentMode:
    """Own keys count here; a test that is about another mode says so."""
    return DeploymentMode.SELF_HOSTED


async def keep(
    application: Application, caller: Caller, provider: str = "openai", key: str = SECRET
) -> ProviderKeyView:
    """A key that must be accepted."""
    view = await set_provider_key(application, caller, provider, key)
    assert isinstance(view, ProviderKeyView), view
    return view


async def own_key_providers(application: Application, caller: Caller) -> list[str]:
    found: list[str] = await application.across_tenants.fetchval(
        "SELECT own_key_providers FROM tenant WHERE id = $1", caller.tenant_id
    )
    return found


async def route(application: Application, caller: Caller, key: str) -> Route:
    answer = await reservations.reserve(application, caller, key, Wish("llm_call", NANO, MINI))
    return held(answer).route


async def test_a_key_is_listed_by_its_end_and_given_in_clear_to_who_asks_for_it(
    application: Application, caller: Caller
) -> None:
    kept = await keep(application, caller)
    assert (kept.provider, kept.hint, kept.actor, kept.used) == ("openai", "4711", "key:test", True)
    assert await list_provider_keys(application, caller.tenant_id) == [kept]
    assert await provider_secret(application, caller, "openai") == SECRET
    assert await provider_secret(application, caller, "anthropic") is None


async def test_a_key_counts_in_the_next_reservation_and_no_more_once_it_is_removed(
    application: Application, second_application: Application, caller: Caller
) -> None:
    assert await route(application, caller, "before") is Route.MANAGED
    await keep(second_application, caller)
    assert await route(application, caller, "with") is Route.BYOK
    removed = await remove_provider_key(second_application, caller, "openai")
    assert isinstance(removed, ProviderKeyView)
    assert (removed.hint, removed.used) == ("4711", False)
    assert await route(application, caller, "after") is Route.MANAGED
    assert await provider_secret(application, caller, "openai") is None
    assert await list_provider_keys(application, caller.tenant_id) == []


async def test_another_key_takes_the_place_of_the_one_before(application: Application, caller: Caller) -> None:
    await keep(application, caller)
    await keep(application, caller, "leadmagic", "lm-0123456789")
    admin = replace(caller, actor="key:other")
    await keep(application, admin, key="sk-proj-another-0815")
    assert await provider_secret(application, caller, "openai") == "sk-proj-another-0815"
    listed = await list_provider_keys(application, caller.tenant_id)
    assert [(view.provider, view.hint, view.actor) for view in listed] == [
        ("leadmagic", "6789", "key:test"),
        ("openai", "0815", "key:other"),
    ]
    assert sorted(await own_key_providers(application, caller)) == ["leadmagic", "openai"]


async def test_a_key_that_waited_for_its_tenants_turn_is_younger_than_what_was_decided_before(
    application: Application, caller: Caller
) -> None:
    async with application.writers.acquire() as other, transaction(other):
        await other.execute("SELECT FROM tenant WHERE id = $1 FOR UPDATE", caller.tenant_id)
        waiting = asyncio.create_task(keep(application, caller))
        while not await other.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):  # noqa: ASYNC110  # PostgreSQL tells nobody
            await asyncio.sleep(0.01)
        decided_at = application.clock()
    assert (await waiting).created_at > decided_at


async def test_keys_set_and_removed_at_once_leave_the_tenant_and_its_keys_in_agreement(
    application: Application, second_application: Application, caller: Caller
) -> None:
    providers = ["openai", "anthropic", "leadmagic", "prospeo"]
    applications = (application, second_application)
    await asyncio.gather(
        *[
            remove_provider_key(applications[number % 2], caller, providers[number % 4])
            if number % 3 == 0
            else keep(applications[number % 2], caller, providers[number % 4])
            for number in range(48)
        ],
        *[
            reservations.reserve(application, caller, f"r{number}", Wish("llm_call", NANO, MINI))
            for number in range(20)
        ],
    )
    listed = [view.provider for view in await list_provider_keys(application, caller.tenant_id)]
    assert sorted(await own_key_providers(application, caller)) == listed


async def test_a_key_is_the_tenants_own(application: Application, caller: Caller) -> None:
    stranger = await open_tenant(application, "globex", credits="10", metered="10")
    await keep(application, caller)
    assert await provider_secret(application, stranger, "openai") is None
    assert await list_provider_keys(application, stranger.tenant_id) == []
    assert await route(application, stranger, "r") is Route.MANAGED
    async with nothing_moves(application):
        refused = await remove_provider_key(application, stranger, "openai")
    assert isinstance(refused, Refused)
    assert refused.refusal == NotFound("provider key")


async def test_a_sealed_key_copied_to_another_tenant_does_not_open(application: Application, caller: Caller) -> None:
    stranger = await open_tenant(application, "globex", credits="10")
    await keep(application, caller)
    await application.writers.execute(
        "INSERT INTO provider_key SELECT $1, provider, sealed, hint, actor, created_at FROM provider_key",
        stranger.tenant_id,
    )
    with pytest.raises(VaultError):
        await provider_secret(application, stranger, "openai")


@pytest.mark.parametrize(
    "key",
    ["", "short-7", "k" * 4097, "sk-with\nnewline", "sk-with-space ", " sk-with-space", "sk-schlüssel", "\ud800" * 9],
)
async def test_what_is_no_key_is_refused_by_its_field_and_not_repeated(
    application: Application, caller: Caller, key: str
) -> None:
    async with nothing_moves(application):
        refused = await set_provider_key(application, caller, "openai", key)
    assert isinstance(refused, Refused)
    assert isinstance(refused.refusal, InvalidInput)
    assert [problem.path for problem in refused.refusal.fields] == ["key"]
    assert (
        refused.refusal.message
        == "key: must be 8 to 4096 printable ASCII characters, without spaces before or after it"
    )


@pytest.mark.parametrize("provider", ["nobody", "", "OpenAI", "x" * 5000])
async def test_a_provider_that_is_not_in_the_catalog_is_not_found(
    application: Application, caller: Caller, provider: str
) -> None:
    async with nothing_moves(application):
        refused = await set_provider_key(application, caller, provider, SECRET)
    assert isinstance(refused, Refused)
    assert refused.refusal == NotFound("provider")


async def test_a_suspended_tenant_can_take_its_key_away_but_neither_set_nor_use_one(
    application: Application, caller: Caller
) -> None:
    await keep(application, caller)
    await tenants.suspend_tenant(application, replace(caller, role=Role.OPERATOR), "s")
    async with nothing_moves(application):
        refused = await set_provider_key(application, caller, "openai", SECRET)
        assert await provider_secret(application, caller, "openai") is None
    assert isinstance(refused, Refused)
    assert refused.refusal == ScopePaused(BudgetScope.TENANT, None, "tenant_suspended")
    assert isinstance(await remove_provider_key(application, caller, "openai"), ProviderKeyView)


@pytest.mark.parametrize("hosted", [DeploymentMode.HOSTED, None], ids=["hosted", "unset"])
async def test_where_own_keys_are_not_allowed_none_is_taken_and_none_counts(
    application: Application, settings: Settings, database_url: str, caller: Caller, hosted: DeploymentMode | None
) -> None:
    await keep(application, caller)
    async with open_application(replace(settings, deployment_mode=hosted), database_url) as elsewhere:
        async with nothing_moves(elsewhere):
            refused = await set_provider_key(elsewhere, caller, "anthropic", SECRET)
        assert isinstance(refused, Refused)
        assert isinstance(refused.refusal, InvalidInput)
        assert "PURSER_DEPLOYMENT_MODE=self_hosted" in refused.refusal.message
        assert await provider_secret(elsewhere, caller, "openai") is None
        assert [view.used for view in await list_provider_keys(elsewhere, caller.tenant_id)] == [False]
        assert await route(elsewhere, caller, "r") is Route.MANAGED
        assert isinstance(await remove_provider_key(elsewhere, caller, "openai"), ProviderKeyView)


async def test_the_key_stands_nowhere_in_clear(
    settings: Settings, database_url: str, application: Application, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_application(settings, database_url) as leaving:
        answers = [
            await set_provider_key(leaving, caller, "openai", SECRET),
            await set_provider_key(leaving, caller, "nobody", SECRET),
            await set_provider_key(leaving, caller, "openai", SECRET + "\n"),
            await set_provider_key(leaving, caller, "anthropic", SECRET),
            await remove_provider_key(leaving, caller, "anthropic"),
        ]
        assert await provider_secret(leaving, caller, "openai") == SECRET
        answers.append(await set_provider_key(replace(leaving, settings=hosted(settings)), caller, "openai", SECRET))
    dump = repr(await contents(application)) + repr(
        await application.across_tenants.fetch("SELECT r::text FROM refusal r")
    )
    assert dump.count("setProviderKey") == 5, "the dump holds three refusals and two decisions"
    shown = dump + caplog.text + repr(answers) + repr(settings)
    for form in (SECRET, SECRET.encode().hex(), b64encode(SECRET.encode()).decode()):
        assert form not in shown


@pytest.mark.parametrize("provider", ["", "nobody", "open\0ai", "\ud800", "x" * 5000])
async def test_of_a_provider_that_cannot_be_there_is_no_key(
    application: Application, caller: Caller, provider: str
) -> None:
    async with nothing_moves(application):
        refused = await remove_provider_key(application, caller, provider)
        assert await provider_secret(application, caller, provider) is None
    assert isinstance(refused, Refused)
    assert refused.refusal == NotFound("provider key")


async def test_each_reading_is_logged_however_quiet_the_log_is(
    application: Application, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    await keep(application, caller)
    assert logging.getLogger().level == logging.WARNING, "as `purser serve` logs"
    await provider_secret(application, replace(caller, actor="key:worker"), "openai")
    await provider_secret(application, caller, "anthropic")
    (record,) = [record for record in caplog.records if record.name == "infra.services.provider_keys"]
    assert record.getMessage() == f"tenant {caller.tenant_id}: its key at openai was read by key:worker"


async def test_open_work_keeps_its_route_when_the_key_is_removed(application: Application, caller: Caller) -> None:
    await keep(application, caller)
    wish = Wish("llm_call", NANO, MINI)
    assert held(await reservations.reserve(application, caller, "r", wish)).route is Route.BYOK
    await remove_provider_key(application, caller, "openai")
    again = await reservations.reserve(application, caller, "r", wish)
    assert isinstance(again, Granted)
    assert again.reservation.route is Route.BYOK


def hosted(settings: Settings) -> Settings:
    return replace(settings, deployment_mode=DeploymentMode.HOSTED)
