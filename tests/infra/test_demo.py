"""The demo tenants: seeded as often as one likes, with keys that follow from a secret."""

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from infra import demo
from infra.application import Application
from infra.demo_keys import DEMO_KEYS, demo_tokens
from infra.services.api_keys import Keyring
from infra.services.callers import Role
from infra.settings import Settings, SettingsError
from tests.domain.builders import CYCLE_END
from tests.infra.builders import Clock, contents, count, new_key

BUCKETS = {
    "email_sends": 10_000,
    "lead_storage": 25_000,
    "email_accounts": 50,
    "enrich_leads": 5_000,
    "copy_leads": 2_500,
}


async def granted(application: Application, slug: str) -> dict[str, str]:
    rows = await application.across_tenants.fetch(
        "SELECT key, available / 1000000000 FROM wallet JOIN tenant ON tenant.id = tenant_id WHERE slug = $1", slug
    )
    return {key: str(whole) for key, whole in rows}


async def test_the_tenants_have_their_plans_and_both_live_in_utc(application: Application) -> None:
    await demo.seed(application)
    buckets = {key: str(amount) for key, amount in BUCKETS.items()}
    assert await granted(application, "acme") == {"credits": "300", "metered": "50", **buckets}
    assert await granted(application, "globex") == {"credits": "100", **buckets}
    rows = await application.across_tenants.fetch("SELECT slug, region, plan, time_zone FROM tenant ORDER BY slug")
    assert [tuple(row) for row in rows] == [
        ("acme", "india", "professional", "UTC"),
        ("globex", "middle_east", "growth", "UTC"),
    ]


async def test_seeding_again_changes_nothing(application: Application) -> None:
    await demo.seed(application)
    before = await contents(application)
    await demo.seed(application)
    assert await contents(application) == before


async def test_a_start_in_a_new_month_grants_that_month_once(timed: Application, clock: Clock) -> None:
    await demo.seed(timed)
    clock.now = CYCLE_END + timedelta(hours=1)
    for _ in range(2):
        await demo.seed(timed)
    acme = await granted(timed, "acme")
    assert (acme["credits"], acme["metered"], acme["lead_storage"]) == ("300", "50", "25000")
    assert await count(timed, "lot", "source = 'PLAN' AND available = 300000000000") == 1
    assert await count(timed, "ledger_entry", "type = 'EXPIRED'") == 2 * 4


async def test_each_key_opens_its_role_and_tenant(application: Application) -> None:
    await demo.seed(application)
    keyring = Keyring(application)
    tokens = demo_tokens(application.settings)
    roles = {}
    for label, token in tokens.items():
        caller = await keyring.authenticate(token, "acme" if label == "operator" else None)
        assert caller is not None
        roles[label] = (caller.role, caller.actor)
    assert roles == {
        "operator": (Role.OPERATOR, "key:demo-operator"),
        "admin": (Role.ADMIN, "key:demo-admin"),
        "member": (Role.MEMBER, "key:demo-member"),
        "service": (Role.SERVICE, "key:demo-service"),
        "other_service": (Role.SERVICE, "key:demo-other-service"),
    }
    stored = await contents(application)
    assert not any(token.removeprefix("psk_") in str(stored) for token in tokens.values())


async def test_another_secret_ends_the_old_keys_and_the_first_one_brings_them_back(application: Application) -> None:
    await demo.seed(application)
    tenant_id = await application.across_tenants.fetchval("SELECT id FROM tenant WHERE slug = 'acme'")
    own = (await new_key(application, tenant_id, Role.SERVICE, "worker")).token
    changed = replace(application, settings=replace(application.settings, demo_secret="another secret"))
    first, second = demo_tokens(application.settings)["admin"], demo_tokens(changed.settings)["admin"]
    await demo.seed(changed)
    assert await Keyring(application).authenticate(first, None) is None
    assert await Keyring(application).authenticate(second, None) is not None
    await demo.seed(application)
    assert await Keyring(application).authenticate(first, None) is not None
    assert await Keyring(application).authenticate(second, None) is None
    assert await Keyring(application).authenticate(own, None) is not None
    assert await count(application, "api_key") == 2 * len(DEMO_KEYS) + 1


def kept(folder: Path) -> Settings:
    return Settings(None, folder, None, None)


def test_of_many_processes_at_once_one_makes_the_secret(tmp_path: Path) -> None:
    settings = kept(tmp_path / "not" / "yet")
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: demo_tokens(settings), range(64)))
    assert all(tokens == made[0] for tokens in made)
    files = list(settings.data_dir.iterdir())
    assert [file.name for file in files] == ["demo-secret"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert demo_tokens(kept(tmp_path / "other")) != made[0]


def test_keys_follow_from_the_secret_alone(tmp_path: Path) -> None:
    one = Settings(None, tmp_path / "one", "secret", None)
    two = Settings("postgresql://elsewhere/purser", tmp_path / "two", "secret", None)
    assert demo_tokens(one) == demo_tokens(two)
    assert len(set(demo_tokens(one).values())) == len(DEMO_KEYS)
    assert demo_tokens(replace(one, demo_secret="Secret")) != demo_tokens(one)
    assert not (tmp_path / "one").exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError, match="set PURSER_DATA_DIR to a folder of yours"):
        demo_tokens(kept(file / "folder"))
