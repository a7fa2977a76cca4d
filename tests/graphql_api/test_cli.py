"""The command line as people and scripts use it: real processes, an embedded server, signals."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from graphql_api.calling import program
from infra.embedded_postgres_lifetime import postmaster
from infra.settings import CHECKOUT
from tests.servers import (
    Server,
    data_folder,
    demo_keys,
    environment,
    eventually,
    postgres_is_gone,
    purser,
    serving,
    started,
)

LABELS = ["operator", "admin", "member", "service", "other_service"]
RESERVE = "mutation ($input: ReserveInput!) { reserve(input: $input) { __typename ... on Reservation { id state } } }"
WALLETS = "{ wallets { key available } }"


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def server(data_dir: Path) -> Iterator[Server]:
    """One server for the tests that leave it as it is."""
    with serving(data_dir, "--demo", "--no-traffic") as running:
        yield running
        assert running.stop() == 0


def balances(server: Server, token: str) -> dict[str, str]:
    return {wallet["key"]: wallet["available"] for wallet in server.ask(token, WALLETS)["wallets"]}


def test_it_says_where_it_is_and_answers_there(server: Server, data_dir: Path) -> None:
    said = server.output.read_text()
    assert said.startswith(f"Console: {server.url}/\nPurser at {server.url}/graphql\n")
    assert str(data_dir) in said
    again = re.search(r"\(again with: (.*) demo-keys\)", said)
    assert again is not None
    assert shutil.which(shlex.split(again[1])[0]) is not None
    assert said.splitlines()[-1] == f"ready {server.url}"
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
    assert httpx.post(f"{server.url}/mcp").status_code == 401, "agents need a key"
    assert httpx.get(f"{server.url}/admin/").headers["location"].startswith("/sign-in"), "operators need a session"
    assert server.errors.read_text() == ""


def test_demo_keys_prints_five_keys_and_nothing_else(server: Server, data_dir: Path) -> None:
    finished = purser(data_dir, "demo-keys")
    keys = json.loads(finished.stdout)
    assert (finished.returncode, finished.stderr, list(keys)) == (0, "", LABELS)
    assert all(re.fullmatch(r"psk_[A-Za-z0-9_-]{43}", token) for token in keys.values())
    assert all(token in server.output.read_text() for token in keys.values())


def test_the_request_that_it_prints_answers_when_pasted(server: Server) -> None:
    said = server.output.read_text()
    words = shlex.split(said[said.index("curl ") : said.index("\n\nready")])
    headers = dict(words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1]
    first = httpx.post(words[2], content=body, headers=headers).json()["data"]["reserve"]
    assert (first["__typename"], first["state"], first["holds"][0]["amount"]) == ("Reservation", "HELD", "0.1")
    assert httpx.post(words[2], content=body, headers=headers).json()["data"]["reserve"]["id"] == first["id"]


def test_the_demo_tenants_have_what_the_documents_say(server: Server, data_dir: Path) -> None:
    keys = demo_keys(data_dir)
    acme = balances(server, keys["admin"])
    buckets = {"email_sends", "lead_storage", "email_accounts", "enrich_leads", "copy_leads"}
    assert set(acme) == {"credits", "metered", *buckets}
    assert Decimal(acme["metered"]) >= 50
    globex = balances(server, keys["other_service"])
    assert globex["credits"] == "100"
    assert "metered" not in globex
    answer = server.ask(keys["operator"], WALLETS, {"Purser-Tenant": "globex"})
    assert {wallet["key"]: wallet["available"] for wallet in answer["wallets"]} == globex


def test_the_demo_signs_a_browser_in_by_the_name_that_it_asks_for(server: Server) -> None:
    for name in ("127.0.0.1", "localhost"):
        address = server.url.replace("127.0.0.1", name)
        with httpx.Client(base_url=address, headers={"Origin": address}) as browser:
            assert browser.post("/sign-in", json={"demo": "member"}).status_code == 204
            answer = browser.post("/graphql", json={"query": WALLETS}).json()
        assert {wallet["key"] for wallet in answer["data"]["wallets"]} >= {"credits", "metered"}, name


def test_verify_ledger_works_beside_the_server(server: Server, data_dir: Path) -> None:
    finished = purser(data_dir, "verify-ledger")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.endswith("The books hold.\n")
    assert re.search(r"wallets +33\n", finished.stdout)
    report = json.loads(purser(data_dir, "verify-ledger", "--json").stdout)
    assert (report["holds"], report["findings"], report["checked"]["tenants"]) == (True, [], 5)


def test_a_key_that_is_made_works_at_once(server: Server, data_dir: Path) -> None:
    finished = purser(data_dir, "create-key", "--tenant", "acme", "--role", "service", "--name", "worker")
    assert (finished.returncode, finished.stderr) == (0, "")
    token = finished.stdout.strip()
    assert server.ask(token, RESERVE, input={"idempotencyKey": "mine", "feature": "in_editor_action"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tenant", "nobody", "--role", "service", "--name", "w"), "There is no tenant 'nobody': there are acme"),
        (("--tenant", "acme", "--role", "king", "--name", "w"), "There is no role 'king': there are operator"),
        (("--tenant", "acme", "--role", "operator", "--name", "w"), "An operator's key has no tenant"),
        (("--role", "service", "--name", "w"), "give or leave out --tenant"),
        (("--tenant", "acme", "--role", "service", "--name", "demo-service"), "choose another"),
        (("--tenant", "acme", "--role", "service", "--name", " w"), "1 to 100 printable characters"),
    ],
)
def test_a_key_that_cannot_be_made_says_why(
    server: Server, data_dir: Path, arguments: tuple[str, ...], message: str
) -> None:
    finished = purser(data_dir, "create-key", *arguments)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_tenant_is_set_up_with_its_plan(server: Server, data_dir: Path) -> None:
    words = ("create-tenant", "--slug", "northwind", "--name", "Northwind", "--region", "india", "--plan", "starter")
    assert purser(data_dir, *words, "--metered").returncode == 0
    token = purser(data_dir, "create-key", "--tenant", "northwind", "--role", "member", "--name", "m").stdout.strip()
    wallets = balances(server, token)
    assert (wallets["credits"], wallets["metered"]) == ("100", "0")
    again = purser(data_dir, *words)
    assert (again.returncode, "already" in again.stderr) == (2, True)
    unknown = purser(data_dir, *words[:-1], "gold")
    assert (unknown.returncode, "india/starter" in unknown.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--time-zone", "Mars/Olympus"), "There is no time zone 'Mars/Olympus': take one such as"),
        pytest.param(("--time-zone", ""), "There is no time zone ''", marks=pytest.mark.slow),
        pytest.param(("--time-zone", "../../etc/passwd"), "There is no time zone", marks=pytest.mark.slow),
        (("--name", ""), "The name must be 1 to 200 characters"),
        pytest.param(
            ("--name", "a\nb"),
            "The name must be 1 to 200 characters without control characters",
            marks=pytest.mark.slow,
        ),
        pytest.param(("--name", "x" * 201), "The name must be 1 to 200 characters", marks=pytest.mark.slow),
        (("--name", "\udcff"), "The name must be 1 to 200 characters"),
    ],
)
def test_a_tenant_that_cannot_be_set_up_says_why(
    server: Server, data_dir: Path, arguments: tuple[str, ...], message: str
) -> None:
    words = ("--slug", "refused", "--name", "Refused", "--region", "india", "--plan", "starter")
    finished = purser(data_dir, "create-tenant", *words, *arguments)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
    nobody = purser(data_dir, "create-key", "--tenant", "refused", "--role", "member", "--name", "m")
    assert "There is no tenant 'refused'" in nobody.stderr


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("serve", "--demo", "--port", "0"), ("verify-ledger",)])
def test_a_data_folder_that_cannot_be_had_is_named_with_the_remedy(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below", Path("/proc/nope")):
        finished = purser(folder, *command)
        assert (finished.returncode, finished.stdout) == (2, "")
        assert str(folder) in finished.stderr
        assert "set PURSER_DATA_DIR to a folder of yours" in finished.stderr
        assert "Traceback" not in finished.stderr


def test_it_calls_itself_as_it_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "a checkout" / ".venv" / "bin" / "purser"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", os.defpath)
    for folder, said in (
        (tmp_path / "a checkout", ".venv/bin/purser"),
        (script.parent, "./purser"),
        (tmp_path, "'a checkout/.venv/bin/purser'"),
        (Path("/"), None),
    ):
        monkeypatch.chdir(folder)
        assert program() == (said or shlex.quote(str(script)).replace("/", "", 1))
    monkeypatch.setenv("PATH", str(script.parent))
    assert program() == "purser"
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert program() == "purser"


def test_expire_books_what_is_overdue(server: Server, data_dir: Path) -> None:
    keys = demo_keys(data_dir)
    before = balances(server, keys["other_service"])
    wish = {"idempotencyKey": "short", "feature": "in_editor_action", "ttlSeconds": 1}
    held = server.ask(keys["other_service"], RESERVE, input=wish)["reserve"]
    assert held["state"] == "HELD"
    time.sleep(1.1)
    # The server keeps house as well, and other tests leave work behind: how many there were is not this test's to know.
    assert re.fullmatch(r"Booked \d+ overdue reservations of \d+ tenants\.\n", purser(data_dir, "expire").stdout)
    assert balances(server, keys["other_service"]) == before
    assert purser(data_dir, "expire").stdout == "Booked 0 overdue reservations of 0 tenants.\n"


def test_a_second_server_joins_the_same_data(server: Server, data_dir: Path) -> None:
    keys = demo_keys(data_dir)
    with serving(data_dir, "--demo", "--no-traffic") as second:
        assert second.url != server.url
        assert balances(second, keys["admin"]) == balances(server, keys["admin"])
        assert second.stop(signal.SIGTERM) == 0
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_port_in_use_is_said_before_anything_is_started(server: Server, data_dir: Path) -> None:
    port = str(urlsplit(server.url).port)
    finished = purser(data_dir / "another", "serve", "--port", port)
    assert finished.returncode == 2
    assert f"Cannot listen on 127.0.0.1 port {port}" in finished.stderr
    assert "--port" in finished.stderr
    assert not (data_dir / "another").exists()


def test_signals_stop_everything_in_order_at_any_moment_and_the_data_stay() -> None:
    with data_folder() as folder:
        before = demo_keys(folder)
        for number, moment in (
            (signal.SIGINT, (folder / "postgres").exists),  # the cluster is being made
            (signal.SIGTERM, lambda: postmaster(folder) != []),  # PostgreSQL starts
            (signal.SIGINT, lambda: "ready" in "".join(postmaster(folder)[7:])),  # the schema is being made
        ):
            with started(folder, "--demo") as early:
                eventually(moment)
                early.stop(number)
                eventually(lambda: postgres_is_gone(folder))
        for number in (signal.SIGINT, signal.SIGTERM):
            with serving(folder, "--demo", "--no-traffic") as server:
                assert Decimal(balances(server, before["admin"])["credits"]) > 0
                assert server.stop(number) == 0
                assert server.errors.read_text() == ""
                assert postgres_is_gone(folder)
        assert demo_keys(folder) == before


def test_without_demo_it_says_how_to_begin(database_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, DATABASE_URL=database_url) as server:
        said = server.output.read_text()
        assert "There is no API key yet" in said
        assert "purser create-key --tenant" in said
        commands = re.findall(r"^  (.*purser.* create-.*)$", said, re.MULTILINE)
        assert len(commands) == 2
        for command in commands:
            words = shlex.split(command)
            variables = environment(tmp_path, DATABASE_URL=database_url)
            finished = subprocess.run(words, env=variables, capture_output=True, check=False)
            assert finished.returncode == 0, command
        answer = httpx.post(f"{server.url}/graphql", json={"query": WALLETS})
        assert answer.status_code == 401


def test_verify_ledger_of_books_that_do_not_hold_names_each_fault(database_url: str, tmp_path: Path) -> None:
    with serving(
        tmp_path, "--demo", "--no-traffic", DATABASE_URL=database_url, PURSER_DEMO_SECRET="of this test"
    ) as server:
        token = demo_keys(tmp_path, PURSER_DEMO_SECRET="of this test")["service"]
        assert Decimal(balances(server, token)["credits"]) > 0
    assert not (tmp_path / "postgres").exists()

    async def tamper() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            "UPDATE ledger_entry SET note = 'x' WHERE reference = 'demo:opening' AND "
            "tenant_id = (SELECT id FROM tenant WHERE slug = 'acme')"
        )
        await connection.close()

    asyncio.run(tamper())
    finished = purser(tmp_path, "verify-ledger", DATABASE_URL=database_url)
    assert finished.returncode == 1
    assert re.search(
        r"^entry_hash: acme/metered entry 1: hash_expected \w{64}, hash_stored ", finished.stdout, re.MULTILINE
    )
    assert "do not hold: 1 finding" in finished.stdout
    report = json.loads(purser(tmp_path, "verify-ledger", "--json", DATABASE_URL=database_url).stdout)
    assert [finding["kind"] for finding in report["findings"]] == ["entry_hash"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATABASE_URL": "mysql://root@localhost/purser"}, "DATABASE_URL must look like postgresql://"),
        ({"PURSER_DEPLOYMENT_MODE": "cloud"}, "set it to hosted or self_hosted"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "demo-keys", "verify-ledger", "migrate"])
def test_wrong_settings_say_what_would_do(
    tmp_path: Path, command: str, variables: dict[str, str], message: str
) -> None:
    finished = purser(tmp_path, command, **variables)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody_listens.getsockname()[1]}/purser"
        for command in (("serve", "--port", "0"), ("verify-ledger",), ("migrate",), ("expire",)):
            finished = purser(tmp_path, *command, DATABASE_URL=f"postgresql://me:secret@{place}")
            assert (finished.returncode, finished.stdout) == (2, "")
            assert f"No PostgreSQL answers at {place}" in finished.stderr
            assert "secret" not in finished.stderr
            assert "Traceback" not in finished.stderr


def test_a_database_without_books_is_not_verified(tmp_path: Path, postgres_url: str) -> None:
    finished = purser(tmp_path, "verify-ledger", DATABASE_URL=postgres_url)
    assert finished.returncode == 2
    assert "run `purser migrate`" in finished.stderr


def test_the_schema_is_printed(tmp_path: Path) -> None:
    finished = purser(tmp_path, "schema")
    assert finished.returncode == 0
    assert "type Mutation {" in finished.stdout


def test_the_module_may_be_run_as_well(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "graphql_api.cli", "--help"]
    finished = subprocess.run(command, cwd=CHECKOUT, env=environment(tmp_path), capture_output=True, check=True)
    assert b"  purser serve --demo" in finished.stdout


def test_help_teaches_and_loads_nothing_heavy(tmp_path: Path) -> None:
    finished = purser(tmp_path, "--help")
    assert finished.returncode == 0
    assert "  purser serve --demo" in finished.stdout
    commands = ("serve", "demo-keys", "verify-ledger", "expire", "create-tenant", "create-key", "migrate", "replay")
    for command in commands:
        assert f"\n  {command} " in finished.stdout
    assert "\n    purser create-key --role operator" in purser(tmp_path, "create-key", "--help").stdout
    assert "--model" in purser(tmp_path, "replay", "--help").stdout
    loaded = "import sys, graphql_api.cli, infra.demo_keys; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncpg", "piccolo", "strawberry", "starlette", "uvicorn"} & set(modules)
