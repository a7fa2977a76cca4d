"""Keys from the command line: listed, replaced and revoked."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from graphql_api.administration import AdministrationError
from graphql_api.cli import app


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command as a terminal would, on the test's database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PURSER_DATA_DIR", str(tmp_path))

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(app, words)

    return invoke


def test_operators_keys_are_listed_rotated_and_revoked(run: Any) -> None:
    first = run("create-key", "--role", "operator", "--name", "anna")
    token = first.stdout.strip()
    (key,) = json.loads(run("keys", "--json").stdout)
    assert (key["name"], key["role"], key["tenant"], key["createdBy"]) == ("anna", "OPERATOR", None, "cli:create-key")
    assert key["hint"] == token[:7] + "..."
    last = run("revoke-key", key["id"])
    assert isinstance(last.exception, AdministrationError)
    assert "the last key of its role" in str(last.exception)
    rotated = run("rotate-key", key["id"], "--overlap-seconds", "3600", "--json")
    document = json.loads(rotated.stdout)
    assert document["token"].startswith("psk_")
    assert (document["replaced"]["id"], document["replaced"]["replacedBy"]) == (key["id"], document["key"]["id"])
    again = run("rotate-key", key["id"], "--overlap-seconds", "0")
    assert "was replaced before" in str(again.exception)
    shown = run("rotate-key", document["key"]["id"], "--overlap-seconds", "0")
    assert (len(shown.stdout.strip()), "The old key works until" in shown.stderr) == (47, True)
    newest = json.loads(run("keys", "--json").stdout)[0]
    revoked = run("revoke-key", newest["id"], "--force", "--json")
    assert json.loads(revoked.stdout)["revokedAt"] is not None
    assert f"Key {newest['id']} (anna) is revoked since " in run("revoke-key", newest["id"]).stdout
    table = run("keys").stdout
    assert table.splitlines()[0].split() == ["ID", "NAME", "ROLE", "HINT", "STATE", "LAST", "USED"]
    assert ("revoked" in table, "until 20" in table, "never" in table, token in table) == (True, True, True, False)


def test_what_is_no_key_is_said_with_the_remedy(run: Any) -> None:
    for words, message in (
        (("revoke-key", "anna"), "'anna' is no key's id"),
        (("revoke-key", "key_" + "0" * 32), "There is no key key_000"),
        (("rotate-key", "key_" + "0" * 32, "--overlap-seconds", "0"), "There is no key key_000"),
        (("keys", "--tenant", "nobody"), "There is no tenant 'nobody'"),
    ):
        finished = run(*words)
        assert isinstance(finished.exception, AdministrationError), words
        assert message in str(finished.exception)
    assert run("keys").stdout.split() == ["ID", "NAME", "ROLE", "HINT", "STATE", "LAST", "USED"]
