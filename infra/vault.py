"""Vault: seals tenants' own provider keys, so that neither the database nor its backups can read them.

AWS KMS seals where PURSER_KMS_KEY_ID names a key; else AES-256-GCM does, under PURSER_SECRET_KEY or a random key kept in
the data folder. What is sealed begins with a byte that says which of the two it was, and is bound to its tenant and
provider: moved to another row it does not open.
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

from infra.kept_secrets import kept_secret
from infra.settings import Settings, SettingsError, decoded_key

FILE: Final = "secret-key"
VARIABLE: Final = "PURSER_SECRET_KEY"
LOCAL: Final = b"\x01"
KMS: Final = b"\x02"
NONCE_BYTES: Final = 12


class VaultError(RuntimeError):
    """A secret cannot be sealed or opened; the message says why and what to do, and never holds it."""


class Vault(Protocol):
    """Seals and opens. Both raise VaultError."""

    async def seal(self, secret: str, tenant_id: UUID, provider: str) -> bytes:
        """The secret in a form that only `open` with the same tenant and provider reads."""

    async def open(self, sealed: bytes, tenant_id: UUID, provider: str) -> str:
        """The secret again."""


class LocalVault:
    """AES-256-GCM under a key of this installation. Without a given one it is read, or made, when it is first needed."""

    def __init__(self, key: bytes | None, data_dir: Path) -> None:
        self._key = key
        self._data_dir = data_dir

    async def seal(self, secret: str, tenant_id: UUID, provider: str) -> bytes:
        cipher = await self._cipher()
        nonce = os.urandom(NONCE_BYTES)
        sealed: bytes = cipher.encrypt(nonce, secret.encode(), _bound_to(tenant_id, provider))
        return LOCAL + nonce + sealed

    async def open(self, sealed: bytes, tenant_id: UUID, provider: str) -> str:
        from cryptography.exceptions import InvalidTag

        body = _body(sealed, LOCAL)
        cipher = await self._cipher()
        try:
            opened: bytes = cipher.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], _bound_to(tenant_id, provider))
        except (InvalidTag, ValueError) as error:
            raise VaultError(
                f"A provider key does not open: was {VARIABLE} or the file {FILE} changed? "
                "Put the old one back, or have the tenant set its key again."
            ) from error
        return opened.decode()

    async def _cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._key is None:
            self._key = await asyncio.to_thread(self._kept_key)
        return AESGCM(self._key)

    def _kept_key(self) -> bytes:
        key = decoded_key(kept_secret(self._data_dir, FILE, VARIABLE))
        if key is None:
            raise SettingsError(f"{self._data_dir / FILE} must hold 32 bytes in base64: restore it, or set {VARIABLE}.")
        return key


class KmsVault:
    """AWS KMS: the key never leaves it, and every use of it is in CloudTrail with tenant and provider."""

    def __init__(self, key_id: str) -> None:
        self._key_id = key_id
        self._opened: Any = None

    async def seal(self, secret: str, tenant_id: UUID, provider: str) -> bytes:
        answer = await self._ask("encrypt", tenant_id, provider, Plaintext=secret.encode())
        sealed: bytes = answer["CiphertextBlob"]
        return KMS + sealed

    async def open(self, sealed: bytes, tenant_id: UUID, provider: str) -> str:
        answer = await self._ask("decrypt", tenant_id, provider, CiphertextBlob=_body(sealed, KMS))
        opened: bytes = answer["Plaintext"]
        return opened.decode()

    async def _ask(self, operation: str, tenant_id: UUID, provider: str, **given: bytes) -> Any:
        return await asyncio.to_thread(self._ask_in_thread, operation, tenant_id, provider, given)

    def _ask_in_thread(self, operation: str, tenant_id: UUID, provider: str, given: dict[str, bytes]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        context = {"tenant": str(tenant_id), "provider": provider}
        try:
            return getattr(self._client(), operation)(KeyId=self._key_id, EncryptionContext=context, **given)
        except (BotoCoreError, ClientError) as error:
            raise VaultError(
                f"AWS KMS does not {operation} a provider key ({error}): see to PURSER_KMS_KEY_ID, AWS_REGION and the "
                "role's rights to use the key."
            ) from error

    def _client(self) -> Any:
        if self._opened is None:
            import boto3

            # Its debug log shows the bodies of requests, and secrets stand in them.
            log = logging.getLogger("botocore")
            log.setLevel(max(log.level, logging.INFO))
            self._opened = boto3.session.Session().client("kms")
        return self._opened


def open_vault(settings: Settings) -> Vault:
    """The vault that the settings name. Nothing is read or asked before the first use."""
    if settings.kms_key_id is not None:
        return KmsVault(settings.kms_key_id)
    return LocalVault(settings.secret_key, settings.data_dir)


def _bound_to(tenant_id: UUID, provider: str) -> bytes:
    return LOCAL + tenant_id.bytes + provider.encode()


def _body(sealed: bytes, kind: bytes) -> bytes:
    if sealed[:1] != kind:
        raise VaultError(
            "A provider key was sealed by another vault than the one in use: set PURSER_KMS_KEY_ID as it was then, or "
            "have the tenant set its key again."
        )
    return sealed[1:]
