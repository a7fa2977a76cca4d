"""The vault: what it seals opens for the same tenant and provider only, and nothing shows the secret meanwhile."""

import logging
import stat
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

import boto3
import pytest
from moto import mock_aws

from infra.settings import Settings, SettingsError
from infra.vault import KmsVault, LocalVault, Vault, VaultError, open_vault

ACME: Final = UUID(int=1)
GLOBEX: Final = UUID(int=2)
SECRET: Final = "sk-proj-seven-seals-4711"
KEY: Final = bytes(range(32))


@pytest.fixture
def kms_key_id(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A key at a KMS that runs in this process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield boto3.session.Session().client("kms").create_key()["KeyMetadata"]["KeyId"]


@pytest.fixture(params=["local", "kms"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    """Each of the two."""
    return LocalVault(KEY, tmp_path) if request.param == "local" else KmsVault(request.getfixturevalue("kms_key_id"))


@pytest.mark.parametrize("secret", [SECRET, "x" * 8, "k" * 4096], ids=["usual", "shortest", "longest"])
async def test_what_is_sealed_opens_again(vault: Vault, secret: str) -> None:
    sealed = await vault.seal(secret, ACME, "openai")
    assert secret.encode() not in sealed
    assert await vault.open(sealed, ACME, "openai") == secret


async def test_a_sealed_key_is_bound_to_its_tenant_and_its_provider(vault: Vault) -> None:
    sealed = await vault.seal(SECRET, ACME, "openai")
    for tenant_id, provider in ((GLOBEX, "openai"), (ACME, "anthropic")):
        with pytest.raises(VaultError):
            await vault.open(sealed, tenant_id, provider)


async def test_what_was_tampered_with_does_not_open(vault: Vault) -> None:
    sealed = await vault.seal(SECRET, ACME, "openai")
    for damaged in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:9], sealed[:1], b"", b"\x09" + sealed[1:]):
        with pytest.raises(VaultError):
            await vault.open(damaged, ACME, "openai")


async def test_a_key_sealed_twice_looks_different_each_time(tmp_path: Path) -> None:
    vault = LocalVault(KEY, tmp_path)
    assert await vault.seal(SECRET, ACME, "openai") != await vault.seal(SECRET, ACME, "openai")


async def test_neither_vault_opens_what_the_other_sealed_and_says_what_to_do(kms_key_id: str, tmp_path: Path) -> None:
    vaults: list[Vault] = [LocalVault(KEY, tmp_path), KmsVault(kms_key_id)]
    for one, other in (vaults, reversed(vaults)):
        sealed = await one.seal(SECRET, ACME, "openai")
        with pytest.raises(VaultError, match=r"sealed by another vault.*PURSER_KMS_KEY_ID"):
            await other.open(sealed, ACME, "openai")


async def test_under_another_secret_key_nothing_opens_and_the_message_names_it(tmp_path: Path) -> None:
    sealed = await LocalVault(KEY, tmp_path).seal(SECRET, ACME, "openai")
    with pytest.raises(VaultError, match=r"was PURSER_SECRET_KEY .* changed"):
        await LocalVault(KEY[::-1], tmp_path).open(sealed, ACME, "openai")


async def test_without_a_given_key_one_is_made_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    vault = LocalVault(None, folder)
    assert not folder.exists(), "nothing is made before it is needed"
    sealed = await vault.seal(SECRET, ACME, "openai")
    assert stat.S_IMODE((folder / "secret-key").stat().st_mode) == 0o600
    assert await LocalVault(None, folder).open(sealed, ACME, "openai") == SECRET


async def test_a_damaged_file_is_not_replaced_but_named(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("no key\n")
    with pytest.raises(SettingsError, match="secret-key must hold 32 bytes in base64: restore it"):
        await LocalVault(None, tmp_path).seal(SECRET, ACME, "openai")
    assert (tmp_path / "secret-key").read_text() == "no key\n"


async def test_kms_is_told_which_tenant_and_provider_a_secret_is_for(kms_key_id: str) -> None:
    sealed = await KmsVault(kms_key_id).seal(SECRET, ACME, "openai")
    opened = (
        boto3.session.Session()
        .client("kms")
        .decrypt(CiphertextBlob=sealed[1:], EncryptionContext={"tenant": str(ACME), "provider": "openai"})
    )
    assert opened["Plaintext"].decode() == SECRET


async def test_what_kms_refuses_is_told_with_a_remedy(kms_key_id: str) -> None:
    with pytest.raises(VaultError, match=r"AWS KMS does not encrypt .*NotFoundException.*see to PURSER_KMS_KEY_ID"):
        await KmsVault(str(GLOBEX)).seal(SECRET, ACME, "openai")


async def test_the_most_talkative_log_does_not_hold_the_secret(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sealed = await vault.seal(SECRET, ACME, "openai")
    await vault.open(sealed, ACME, "openai")
    with pytest.raises(VaultError) as raised:
        await vault.open(sealed, GLOBEX, "openai")
    for shown in (SECRET, b64encode(SECRET.encode()).decode()):
        assert shown not in caplog.text
        assert shown not in str(raised.value) + repr(raised.value) + repr(vars(vault))


def test_the_settings_name_the_vault(tmp_path: Path) -> None:
    environ = {"PURSER_DATA_DIR": str(tmp_path), "PURSER_SECRET_KEY": b64encode(KEY).decode()}
    local = open_vault(Settings.from_environment(environ))
    assert isinstance(local, LocalVault)
    assert isinstance(open_vault(Settings.from_environment({**environ, "PURSER_KMS_KEY_ID": "alias/purser"})), KmsVault)


@pytest.mark.parametrize("text", ["short", "A" * 42, "A" * 45, "ö" * 43, "!" * 43])
def test_a_secret_key_that_is_none_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SettingsError, match="PURSER_SECRET_KEY must be 32 bytes in base64: make one with") as raised:
        Settings.from_environment({"PURSER_SECRET_KEY": text})
    assert text not in str(raised.value)


def test_a_secret_key_may_be_url_safe_or_plain_padded_or_not() -> None:
    key = b"\xfb\xff\xbe" * 10 + b"\xfb\xff"
    for text in ("+/++" * 10 + "+/8=", "-_--" * 10 + "-_8", " " + "+/++" * 10 + "+/8=\n"):
        settings = Settings.from_environment({"PURSER_SECRET_KEY": text})
        assert settings.secret_key == key
        assert repr(key) not in repr(settings)


def test_neither_boto3_nor_cryptography_is_loaded_before_it_is_needed() -> None:
    code = "import sys, infra.vault; print(sorted({'boto3', 'botocore', 'cryptography'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
