"""A statement of very many entries: the server that makes it and the program that verifies it need no more memory for it."""

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest

from domain import ledger
from domain.ledger import Voucher
from domain.wallets import Wallet
from graphql_api.statements import VERIFIER
from infra.application import Application
from infra.changes import _entry_row
from infra.queries import lots as lots_query
from infra.queries import wallets as wallets_query
from infra.services.callers import Caller, Role
from infra.statements import ENTRY_COLUMNS
from tests.graphql_api.conftest import Clients
from tests.infra.builders import new_key
from tests.servers import data_folder, serving

ENTRIES: Final = 200_000
MEGABYTES_MORE: Final = 30
# Runs the verifier and says how much memory it had at most, in kilobytes.
MEASURED: Final = """
import resource, subprocess, sys
code = subprocess.run([sys.executable, "-I", *sys.argv[1:]]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)"""


async def grow(application: Application, caller: Caller, count: int) -> None:
    """So many more entries, made by the rules and written by COPY: holds that are given back."""
    (view,) = await wallets_query.get_many_by_key(application, caller.tenant_id, ["credits"])
    assert view is not None
    lots = await lots_query.of_wallet(application, view.wallet, active_only=False)
    wallet: Wallet = view.wallet._replace(lots=lots)
    entries: list[ledger.Entry] = []
    at = application.clock() - timedelta(days=365)
    async with application.writers.acquire() as connection:
        for number in range(count // 2):
            voucher = Voucher("key:worker", at + timedelta(seconds=number), None, f"run-{number}", "", f"k-{number}")
            posting = ledger.reserve(wallet, 10**9 + number, voucher)
            held = posting.entries[0].draws
            posting = posting.then(ledger.release(posting.wallet, held, voucher))
            wallet = posting.wallet
            entries += posting.entries
            if len(entries) >= 20_000 or number == count // 2 - 1:
                rows = [_entry_row(entry) for entry in entries]
                await connection.copy_records_to_table("ledger_entry", records=rows, columns=ENTRY_COLUMNS)
                entries.clear()
        changed = "UPDATE wallet SET sequence = $3, head_hash = $4 WHERE tenant_id = $1 AND id = $2"
        await connection.execute(changed, caller.tenant_id, wallet.id, wallet.sequence, wallet.head_hash)


def told_by_the_way(text: str) -> None:
    sys.stdout.write(text + "\n")


def memory_of(pid: int) -> float:
    """What a process has in memory, in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def measured(file: Path) -> list[str]:
    """What the verifier says of a file, and the memory that it needed."""
    command = [sys.executable, "-c", MEASURED, str(VERIFIER), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_neither_the_server_nor_the_verifier_needs_more_memory_for_more_entries(
    clients: Clients, application: Application, acme: Caller, database_url: str, tmp_path: Path, form: str
) -> None:
    await grow(application, acme, ENTRIES)
    key = await new_key(application, acme.tenant_id, Role.SERVICE, "reader")
    file, size, memory = tmp_path / f"all.{form}", 0, list[float]()
    with data_folder() as folder, serving(folder, DATABASE_URL=database_url) as server:
        began = time.monotonic()
        path, headers = f"{server.url}/statements/credits.{form}", {"Authorization": f"Bearer {key.token}"}
        with httpx.stream("GET", path, headers=headers | {"Accept-Encoding": "identity"}, timeout=60) as answer:
            assert answer.status_code == 200
            with file.open("wb") as target:
                for number, piece in enumerate(answer.iter_bytes(1_000_000)):
                    size += target.write(piece)
                    memory += [memory_of(server.process.pid)] if number % 5 == 0 else []
        seconds = time.monotonic() - began
    told_by_the_way(
        f"{form}: {ENTRIES} entries, {size / 1e6:.0f} MB in {seconds:.1f} s ({ENTRIES / seconds:,.0f} entries/s)"
    )
    told_by_the_way(
        f"server: {memory[1]:.0f} MB after 5 MB, at most {max(memory):.0f} MB, {memory[-1]:.0f} MB at the end"
    )
    assert max(memory) - memory[1] < MEGABYTES_MORE
    began = time.monotonic()
    *told, most = await asyncio.to_thread(measured, file)
    told_by_the_way(f"verifier: {time.monotonic() - began:.1f} s, at most {int(most) / 1024:.0f} MB")
    # The server's own jobs may have booked something before.
    (read,) = [int(line.split()[1]) for line in told if line.startswith("Read ")]
    assert read > ENTRIES
    assert int(most) / 1024 < MEGABYTES_MORE
