"""Own provider keys over a real server: set by admins, listed for people, read in clear by workers alone."""

import logging
from typing import Any, Final

import pytest

from graphql_api.provider_keys import SetProviderKeyInput
from infra.application import Application
from infra.settings import DeploymentMode
from tests.graphql_api.conftest import Clients
from tests.infra.builders import contents, nothing_moves

pytestmark = pytest.mark.anyio

SECRET: Final = "sk-proj-seven-seals-4711"
LIST: Final = "{ providerKeys { provider hint createdAt actor used } }"
READ: Final = "query ($provider: String!) { providerSecret(provider: $provider) }"
SET: Final = "mutation ($input: SetProviderKeyInput!) { setProviderKey(input: $input) { __typename } }"
MINI: Final = {"provider": "openai", "model": "gpt-4o-mini"}


@pytest.fixture
def deployment_mode(request: pytest.FixtureRequest) -> DeploymentMode:
    """Own keys count here, unless a test says otherwise."""
    return getattr(request, "param", DeploymentMode.SELF_HOSTED)


async def test_an_admin_sets_a_key_and_a_worker_reads_it_where_the_route_is_the_tenants_own(clients: Clients) -> None:
    kept = await clients.admin.do("setProviderKey", provider="openai", key=SECRET)
    assert kept.pop("createdAt")
    assert kept.pop("actor").startswith("key:admin of ")
    assert kept == {"__typename": "ProviderKey", "provider": "openai", "hint": "4711", "used": True}
    reservation = await clients.service.reserve("r", "llm_call", model=MINI)
    assert (reservation["route"], reservation["holds"]) == ("BYOK", [])
    assert await clients.service.ask(READ, provider="openai") == {"providerSecret": SECRET}
    assert await clients.service.ask(READ, provider="anthropic") == {"providerSecret": None}


async def test_people_see_which_keys_there_are_and_never_a_key(clients: Clients) -> None:
    await clients.operator.do("setProviderKey", provider="openai", key=SECRET)
    for client in (clients.operator, clients.admin, clients.member):
        (listed,) = (await client.ask(LIST))["providerKeys"]
        assert (listed["provider"], listed["hint"], listed["used"]) == ("openai", "4711", True)
        assert SECRET not in str(listed)
        answer = await client.send(READ, {"provider": "openai"})
        assert [error["extensions"] for error in answer["errors"]] == [{"code": "FORBIDDEN"}]
        assert SECRET not in str(answer)
    assert await clients.stranger.ask(LIST) == {"providerKeys": []}


async def test_a_removed_key_is_gone(clients: Clients) -> None:
    await clients.admin.do("setProviderKey", provider="openai", key=SECRET)
    removed = await clients.admin.do("removeProviderKey", provider="openai")
    assert (removed["__typename"], removed["hint"], removed["used"]) == ("ProviderKey", "4711", False)
    assert await clients.admin.ask(LIST) == {"providerKeys": []}
    assert await clients.service.ask(READ, provider="openai") == {"providerSecret": None}
    again = await clients.admin.do("removeProviderKey", provider="openai")
    assert (again["code"], again["message"]) == ("NOT_FOUND", "There is no such provider key.")


async def test_a_stranger_finds_no_key_and_removes_none(clients: Clients, application: Application) -> None:
    await clients.admin.do("setProviderKey", provider="openai", key=SECRET)
    async with nothing_moves(application):
        foreign = await clients.stranger.do("removeProviderKey", provider="openai")
    assert foreign["code"] == "NOT_FOUND"


@pytest.mark.parametrize("deployment_mode", [DeploymentMode.HOSTED], indirect=True)
async def test_a_hosted_installation_takes_none_and_says_what_would_help(
    clients: Clients, application: Application
) -> None:
    async with nothing_moves(application):
        refused = await clients.admin.do("setProviderKey", provider="openai", key=SECRET)
    assert refused["code"] == "INVALID_INPUT"
    (problem,) = refused["fields"]
    assert problem["path"] == "provider"
    assert "PURSER_DEPLOYMENT_MODE=self_hosted" in problem["message"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"provider": "nobody", "key": SECRET}, "NOT_FOUND"),
        ({"provider": "openai", "key": "short-7"}, "INVALID_INPUT"),
        ({"provider": "openai", "key": f"{SECRET}\n"}, "INVALID_INPUT"),
    ],
)
async def test_what_cannot_be_taken_is_refused_and_nothing_moves(
    clients: Clients, application: Application, given: dict[str, Any], code: str
) -> None:
    async with nothing_moves(application):
        refused = await clients.admin.do("setProviderKey", **given)
    assert refused["code"] == code
    assert refused["refusalId"].startswith("ref_")


async def test_whatever_goes_wrong_the_key_stands_in_no_answer_log_or_table(
    clients: Clients, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = {"provider": "openai", "key": SECRET}
    answers = [
        await clients.member.send(SET, {"input": given}),
        await clients.admin.send(SET, {"input": given | {"unknown": 1}}),
        await clients.admin.send(SET, {"input": {"key": SECRET}}),
        await clients.admin.send(SET, {"input": given | {"provider": 1}}),
        await clients.admin.send(SET, {"input": given | {"provider": "nobody"}}),
        await clients.admin.send(SET, {"input": given | {"key": f"{SECRET}\n"}}),
        await clients.admin.send(SET, {"input": given}),
        await clients.admin.send(LIST),
    ]
    await clients.service.ask(READ, provider="openai")
    await application.refusals.written()
    rows = repr(await contents(application)) + repr(
        await application.across_tenants.fetch("SELECT r::text FROM refusal r")
    )
    shown = repr(answers) + caplog.text + rows + repr(SetProviderKeyInput(**given))
    assert SECRET not in shown
    assert SECRET.encode().hex() not in shown
    assert [answer["data"] is None or "errors" in answer for answer in answers] == [True] * 4 + [False] * 4
