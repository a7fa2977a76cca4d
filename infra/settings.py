"""What the environment may decide. No other module reads it: whoever needs a setting is handed it."""

import logging
import os
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from domain.api_keys import MOST_REQUESTS_PER_MINUTE

CHECKOUT = Path(__file__).resolve().parent.parent
# What may lie in AWS Secrets Manager instead: DATABASE_URL_ARN is where DATABASE_URL is kept, and so on.
KEPT_AT_AWS: Final = (
    "DATABASE_URL",
    "STRIPE_API_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "PURSER_SECRET_KEY",
    "PURSER_EMAIL_URL",
)


class SettingsError(ValueError):
    """A variable holds what it must not; the message names it and says what would do."""


class DeploymentMode(StrEnum):
    """Who runs this installation."""

    HOSTED = "hosted"
    SELF_HOSTED = "self_hosted"


@dataclass(frozen=True, slots=True)
class Settings:
    """`database_url` None: the embedded server, with its data in `data_dir`. An empty variable counts as unset.

    `public_url` is where people reach this installation: payers come back to it; None: where it listens. `stripe_*`
    None: no payments.
    `kms_key_id` names the AWS KMS key that seals tenants' provider keys; without it `secret_key` (32 bytes) does, None:
    one kept in `data_dir`. Secrets may be named by the ARNs under which AWS Secrets Manager keeps them (KEPT_AT_AWS); they
    are fetched once, here, so that no console shows them. `event_bus`: name or ARN of the EventBridge bus that is told
    what happens; None: none is.
    `email_url` is the mail server that alerts go out by, as Apprise writes it; None: no e-mail. `local_webhooks_allowed`:
    webhooks may also go to plain http and to addresses that are not public, where all tenants are trusted.
    `local_identity_providers_allowed`: keys of identity providers may also come from there. `requests_per_minute`: what a
    key may ask that has no limit of its own; None: as much as it likes.
    """

    database_url: str | None = field(repr=False)
    data_dir: Path
    demo_secret: str | None = field(repr=False)
    deployment_mode: DeploymentMode | None
    public_url: str | None = None
    stripe_api_key: str | None = field(default=None, repr=False)
    stripe_webhook_secret: str | None = field(default=None, repr=False)
    stripe_api_base: str | None = None
    secret_key: bytes | None = field(default=None, repr=False)
    kms_key_id: str | None = None
    event_bus: str | None = None
    email_url: str | None = field(default=None, repr=False)
    local_webhooks_allowed: bool = False
    local_identity_providers_allowed: bool = False
    requests_per_minute: int | None = None

    @property
    def own_keys_allowed(self) -> bool:
        """Whether tenants may bring their own provider keys here (document 001: not where it is hosted)."""
        return self.deployment_mode is DeploymentMode.SELF_HOSTED

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        environ = _with_secrets(environ)
        return cls(
            database_url=_database_url(environ),
            data_dir=_data_dir(environ),
            demo_secret=environ.get("PURSER_DEMO_SECRET") or None,
            deployment_mode=_deployment_mode(environ),
            public_url=_url(environ, "PURSER_PUBLIC_URL"),
            stripe_api_key=environ.get("STRIPE_API_KEY") or None,
            stripe_webhook_secret=environ.get("STRIPE_WEBHOOK_SECRET") or None,
            stripe_api_base=_url(environ, "STRIPE_API_BASE"),
            secret_key=_secret_key(environ),
            kms_key_id=environ.get("PURSER_KMS_KEY_ID") or None,
            email_url=_email_url(environ),
            local_webhooks_allowed=_flag(environ, "PURSER_LOCAL_WEBHOOKS"),
            event_bus=environ.get("PURSER_EVENT_BUS") or None,
            local_identity_providers_allowed=_flag(environ, "PURSER_LOCAL_IDENTITY_PROVIDERS"),
            requests_per_minute=_requests_per_minute(environ),
        )


def _with_secrets(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables, and those that are kept at AWS. A variable that is set itself wins."""
    kept = {name: arn for name in KEPT_AT_AWS if not environ.get(name) and (arn := environ.get(f"{name}_ARN"))}
    return {**environ, **{name: _fetched(f"{name}_ARN", arn) for name, arn in kept.items()}} if kept else environ


def _fetched(variable: str, arn: str) -> str:
    from aws_lambda_powertools.utilities import parameters
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

    # Its debug log shows the bodies of answers, and the secret stands in this one.
    log = logging.getLogger("botocore")
    log.setLevel(max(log.level, logging.INFO))
    try:
        secret = parameters.get_secret(arn)
    except GetParameterError as error:
        raise SettingsError(
            f"{variable}: AWS Secrets Manager does not give {arn} ({error}): correct the ARN, or let the role read it."
        ) from error
    if not isinstance(secret, str):
        raise SettingsError(f"{variable}: {arn} holds bytes; store the secret as plain text.")
    return secret.strip()


def _database_url(environ: Mapping[str, str]) -> str | None:
    url = environ.get("DATABASE_URL") or None
    if url is not None and not url.startswith(("postgresql://", "postgres://")):
        # The value is not shown: it may hold a password.
        raise SettingsError(
            "DATABASE_URL must look like postgresql://user:password@host:5432/database; "
            "leave it out to use the embedded PostgreSQL."
        )
    return url


def _url(environ: Mapping[str, str], variable: str) -> str | None:
    url = environ.get(variable) or None
    if url is not None and not url.startswith(("https://", "http://")):
        raise SettingsError(
            f"{variable} must look like https://purser.example.com; leave it out if you do not need it."
        )
    return None if url is None else url.rstrip("/")


def _data_dir(environ: Mapping[str, str]) -> Path:
    """PURSER_DATA_DIR, else `.purser` in the checkout, else a place of the user's: never the current folder, so
    that every command finds the same data from wherever it is started.
    """
    chosen = environ.get("PURSER_DATA_DIR")
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        if (CHECKOUT / "pyproject.toml").exists():
            return CHECKOUT / ".purser"
        shared = environ.get("XDG_DATA_HOME")
        return (Path(shared) if shared else Path.home() / ".local" / "share") / "purser"
    except RuntimeError as error:
        raise SettingsError(
            "PURSER_DATA_DIR must be an absolute path: there is no home folder to start from."
        ) from error


def _deployment_mode(environ: Mapping[str, str]) -> DeploymentMode | None:
    mode = environ.get("PURSER_DEPLOYMENT_MODE") or None
    try:
        return None if mode is None else DeploymentMode(mode)
    except ValueError as error:
        choices = " or ".join(DeploymentMode)
        raise SettingsError(f"PURSER_DEPLOYMENT_MODE is {mode!r}: set it to {choices}, or leave it out.") from error


def _email_url(environ: Mapping[str, str]) -> str | None:
    url = environ.get("PURSER_EMAIL_URL") or None
    if url is not None and not url.startswith(("mailto://", "mailtos://")):
        # The value is not shown: it holds a password.
        raise SettingsError(
            "PURSER_EMAIL_URL must look like mailtos://user:password@smtp.example.com?from=purser@example.com; "
            "leave it out if there is no mail server."
        )
    return url


def _flag(environ: Mapping[str, str], variable: str) -> bool:
    value = environ.get(variable) or "0"
    if value not in ("0", "1"):
        raise SettingsError(f"{variable} is {value!r}: set it to 1, or leave it out.")
    return value == "1"


def _requests_per_minute(environ: Mapping[str, str]) -> int | None:
    text = environ.get("PURSER_REQUESTS_PER_MINUTE") or None
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) <= MOST_REQUESTS_PER_MINUTE:
        raise SettingsError(
            f"PURSER_REQUESTS_PER_MINUTE is {text[:80]!r}: set it to 1 to {MOST_REQUESTS_PER_MINUTE}, "
            "or leave it out for no limit."
        )
    return int(text)


def _secret_key(environ: Mapping[str, str]) -> bytes | None:
    text = environ.get("PURSER_SECRET_KEY") or None
    key = None if text is None else decoded_key(text)
    if text is not None and key is None:
        # The value is not shown: it is a secret.
        raise SettingsError(
            "PURSER_SECRET_KEY must be 32 bytes in base64: make one with `openssl rand -base64 32`, or leave it out."
        )
    return key


def decoded_key(text: str) -> bytes | None:
    """32 bytes from base64, plain or url-safe, padded or not; None where it is anything else."""
    try:
        key = b64decode(text.strip().rstrip("=").replace("-", "+").replace("_", "/") + "=", validate=True)
    except ValueError:
        return None
    return key if len(key) == 32 else None
