"""The command line as an application: how commands are registered and shown, and the settings that they work on."""

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import typer

from infra.settings import DeploymentMode, Settings

INTRODUCTION: Final = """Keeps the accounts of a product that spends money on every request.

Begin here:
  purser serve --demo      a server with embedded PostgreSQL and two demo tenants
  purser demo-keys         the API keys of the demo tenants, as JSON
  purser verify-ledger     prove that the books hold

Every command works on DATABASE_URL if it is set (PostgreSQL 15 or later), else on an embedded server with its data in
PURSER_DATA_DIR.
"""
Function = TypeVar("Function", bound=Callable[..., None])


def _with_kept_lines(text: str) -> str:
    """Help in which indented lines stay lines: click flows every paragraph that is not marked so."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join([f"\b\n{each}" if "\n  " in each else each for each in paragraphs])


app = typer.Typer(
    help=_with_kept_lines(INTRODUCTION),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Commands:
    """The commands of one file, as a decorator that registers one: its docstring is its help."""

    def __init__(self) -> None:
        self.app = typer.Typer()

    def __call__(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            text = function.__doc__ or ""
            short = re.split("[.:]", text)[0]
            return self.app.command(name, help=_with_kept_lines(text), short_help=short, **settings)(function)

        return register


def chosen_settings(*, self_hosted: bool = False) -> Settings:
    """The settings; who did not say whose deployment it is runs a demo as their own, and all else as a hosted one."""
    settings = Settings.from_environment()
    if settings.deployment_mode is not None:
        return settings
    return replace(settings, deployment_mode=DeploymentMode.SELF_HOSTED if self_hosted else DeploymentMode.HOSTED)
