"""The journal: on disk before anything is asked, taken over when its owner is gone, and never in the way of the truth."""

import asyncio
import gc
import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from purser_client import JournalError
from purser_client.entries import Entry
from purser_client.journal import Journal
from tests.infra.builders import count
from tests.purser_client.conftest import Ground
from tests.purser_client.test_work import TWO_CREDITS


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Journal, list[Entry]]]:
    journal = Journal(folder)
    left = journal.open()
    try:
        yield journal, left
    finally:
        journal.close()


WORK = Entry(
    "a1",
    {"feature": "blog_post", "taskKey": "post-42", "idempotencyKey": "a1"},
    "rsv_1",
    {"quantity": "2"},
    None,
    {"worker 1": {"usage": {"inputTokens": 1}}, "worker 0": {"usage": {}}},
)


def test_what_is_left_is_handed_to_the_next_as_it_was(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, left):
        assert left == []
        journal.add(WORK)
    with opened(tmp_path) as (journal, left):
        assert left == [WORK]
        assert list(left[0].usage) == list(WORK.usage), "in the order in which they were recorded"
        journal.settled(WORK)
    assert list(tmp_path.iterdir()) == []


def test_nobody_takes_over_from_who_lives(tmp_path: Path) -> None:
    with opened(tmp_path) as (first, _), opened(tmp_path) as (_, left):
        first.add(WORK)
        assert left == []
        with opened(tmp_path) as (_, none):
            assert none == []
    with opened(tmp_path) as (_, left):
        assert left == [WORK]


def test_a_half_made_file_is_cleared_away_and_what_nobody_can_read_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "made.sqlite").touch()
    (tmp_path / "torn.sqlite").write_bytes(b"no database, but perhaps a person can read it" * 100)
    with opened(tmp_path) as (newer, _):
        newer.add(WORK)
    (kept,) = set(tmp_path.iterdir()) - {tmp_path / "torn.sqlite"}
    with sqlite3.connect(kept) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with opened(tmp_path) as (_, left):
        assert left == []
    assert sorted(tmp_path.glob("*.sqlite")) == sorted([kept, tmp_path / "torn.sqlite"])
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    assert "another version" in caplog.text


def test_a_write_that_was_cut_short_by_a_crash_hurts_nothing_before_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open()
    journal.add(WORK)
    journal.add(Entry("a2", {"feature": "blog_post"}))
    (path,) = tmp_path.glob("*.sqlite")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    (crashed / path.name).write_bytes(path.read_bytes())
    (crashed / f"{path.name}-wal").write_bytes(path.with_name(f"{path.name}-wal").read_bytes()[:-100])
    journal.close()
    with opened(crashed) as (_, left):
        assert left == [WORK]


def test_a_process_made_by_fork_leaves_its_parents_journal_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, _):
        child = os.fork()
        if child == 0:
            journal.close()
            del journal
            gc.collect()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        journal.add(WORK)
        shutil.copytree(tmp_path, tmp_path / "crashed")
    with opened(tmp_path / "crashed") as (_, left):
        assert left == [WORK]


@pytest.mark.anyio
async def test_a_journal_that_somebody_removed_is_found_out_before_work_begins(tmp_path: Path) -> None:
    with opened(tmp_path / "journal") as (journal, _):
        shutil.rmtree(tmp_path / "journal")
        journal.add(WORK)
        with pytest.raises(JournalError, match="somebody removed it"):
            await journal.synced()


@pytest.mark.anyio
async def test_calls_of_the_worker_that_take_all_threads_do_not_keep_it_from_the_disk(tmp_path: Path) -> None:
    end = Event()
    with opened(tmp_path) as (journal, _):
        calls = [asyncio.create_task(asyncio.to_thread(end.wait)) for _ in range(40)]
        await asyncio.sleep(0)
        await journal.synced()
        end.set()
        await asyncio.gather(*calls)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_journal_that_cannot_be_made_is_told_at_the_start(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="cannot be written, so no work may begin"):
        Journal(tmp_path / place).open()


@pytest.mark.anyio
async def test_work_does_not_begin_on_a_full_disk_and_what_runs_is_still_settled(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    async with ground.worker() as purser:
        async with purser.reservation("blog_post") as work:
            work.record(provider="openai", model="gpt-4o-mini", input_tokens=900)
            with full_disk(ground.journal):
                work.record(provider="openai", model="gpt-4o-mini", input_tokens=900)
                with pytest.raises(JournalError, match="cannot be written"):
                    await purser.reservation("blog_post").__aenter__()
                assert await count(ground.application, "reservation") == 1
                await work.consume()
                purser.record(feature="profile_draft", cost_usd="0.02")
                assert await purser.flush(30) == 0
        assert work.charges == TWO_CREDITS
    assert sum("lost with this process" in record.message for record in caplog.records) == 4
    # What could not be struck out is found by the next, and nothing of it counts again.
    async with ground.worker() as purser:
        await purser.flush(30)
    assert await ground.proof() == ("2.052", 3)


def test_a_start_on_a_full_disk_leaves_nothing_behind_and_takes_nothing_away(tmp_path: Path) -> None:
    with opened(tmp_path / "journal") as (journal, _):
        journal.add(WORK)
    before = list((tmp_path / "journal").iterdir())
    for bytes_left in (0, 5_000):
        (tmp_path / "size-wal").write_bytes(b"x" * bytes_left)
        with full_disk(tmp_path), pytest.raises(JournalError, match="no work may begin"):
            Journal(tmp_path / "journal").open()
        assert list((tmp_path / "journal").iterdir()) == before
    with opened(tmp_path / "journal") as (_, left):
        assert left == [WORK]


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """No file of this process grows beyond the journal's."""
    (path,) = folder.glob("*-wal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
