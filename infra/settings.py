"""What the environment may decide. No other module reads it: whoever needs a setting is handed it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


class SettingsError(ValueError):
    """A variable holds what it must not; the message names it and says what would do."""


class DeploymentMode(StrEnum):
    """Who runs this installation."""

    HOSTED = "hosted"
    SELF_HOSTED = "self_hosted"


@dataclass(frozen=True, slots=True)
class Settings:
    """`database_url` None: the embedded server, with its data in `data_dir`. An empty variable counts as unset."""

    database_url: str | None
    data_dir: Path
    demo_secret: str | None
    deployment_mode: DeploymentMode | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        return cls(
            database_url=_database_url(environ),
            data_dir=_data_dir(environ),
            demo_secret=environ.get("PURSER_DEMO_SECRET") or None,
            deployment_mode=_deployment_mode(environ),
        )


def _database_url(environ: Mapping[str, str]) -> str | None:
    url = environ.get("DATABASE_URL") or None
    if url is not None and not url.startswith(("postgresql://", "postgres://")):
        # The value is not shown: it may hold a password.
        raise SettingsError(
            "DATABASE_URL must look like postgresql://user:password@host:5432/database; "
            "leave it out to use the embedded PostgreSQL."
        )
    return url


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
