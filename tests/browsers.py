"""The browser that is installed, and what is said where there is none."""

import os
import shutil
from collections import Counter
from typing import Final

import pytest

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATHS: Final = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
MISSING: Final = "there is no Chromium here"
REMEDY: Final = (
    "Install Chromium or Chrome (on Debian and Ubuntu: apt install chromium), or name its program in PURSER_BROWSER."
)


def installed() -> str | None:
    """The program of a Chromium: the one that PURSER_BROWSER names, else the first of the usual ones; None: there is
    none."""
    named = os.environ.get("PURSER_BROWSER")
    for candidate in (named,) if named else (*NAMES, *PATHS):
        if found := shutil.which(candidate):
            return found
    return None


def program() -> str:
    """The program of a Chromium. Where there is none, the test that asks is skipped, and fails in CI."""
    found = installed()
    if found is None:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{MISSING}: CI leaves no test out. {REMEDY}", pytrace=False)
        pytest.skip(MISSING)
    return found


def options() -> list[str]:
    """How it is started: it finds no host but this machine, pages of one window share a process and what that has
    compiled, and root may run it."""
    given = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--process-per-site"]
    return [*given, "--no-sandbox"] if os.geteuid() == 0 else given


def tell_left_out(terminal: pytest.TerminalReporter) -> None:
    """At the end of a run, name the files whose tests were left out for want of a browser, and how to have them run."""
    reports = (report for report in terminal.stats.get("skipped", ()) if isinstance(report, pytest.TestReport))
    files = Counter(report.nodeid.partition("::")[0] for report in reports if MISSING in str(report.longrepr))
    if files:
        terminal.section("left out: tests in a browser", yellow=True)
        terminal.write_line(f"Tests that did not run: {files.total()}, for {MISSING}:")
        for file, tests in sorted(files.items()):
            terminal.write_line(f"  {file}: {tests}")
        terminal.write_line(REMEDY)
