"""A journal without WAL whose writer was killed in a commit, and one whose writer was killed before it was whole."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.record.test_journal import step
from tuitrain.record import file
from tuitrain.record.journal import Journal, Reader

KILLED_IN_A_COMMIT = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")  # so that what changes is on the disk before it is committed
database.execute("BEGIN IMMEDIATE")
database.execute("UPDATE steps SET body = zeroblob(length(body))")
os.kill(os.getpid(), signal.SIGKILL)
"""
COUNT = 5000


def without_wal(path: Path) -> Path:
    """A journal as a file system leaves it on which there is no WAL."""
    with Journal(path) as journal:
        journal.steps([step(executed) for executed in range(1, COUNT + 1)])
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    return path


def kill_in_a_commit(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_IN_A_COMMIT, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0
    assert bytes(1000) in path.read_bytes()


def test_who_comes_then_reads_what_was_committed(tmp_path: Path) -> None:
    path = without_wal(tmp_path / "journal")
    kill_in_a_commit(path)
    with contextlib.closing(Reader(path)) as reader:
        assert [each.executed for each in reader.poll().steps] == list(range(1, COUNT + 1))


def test_who_was_there_misses_one_look_and_nothing_else(tmp_path: Path) -> None:
    path = without_wal(tmp_path / "journal")
    with contextlib.closing(Reader(path)) as reader:
        kill_in_a_commit(path)
        with pytest.raises(sqlite3.OperationalError):
            reader.poll()
        assert [each.executed for each in reader.poll().steps] == list(range(1, COUNT + 1))


def test_the_run_goes_on_after_it(tmp_path: Path) -> None:
    path = without_wal(tmp_path / "journal")
    kill_in_a_commit(path)
    with Journal.reopen(path, executed=COUNT) as journal:
        journal.steps([step(COUNT + 1)])
    with contextlib.closing(Reader(path)) as reader:
        assert len(reader.poll().steps) == COUNT + 1


def test_a_journal_takes_its_name_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("the disk is full")

    path = tmp_path / "journal"
    with monkeypatch.context() as patch:
        patch.setattr(file, "write_head", fail)
        with pytest.raises(sqlite3.OperationalError):
            Journal(path)
    assert not path.exists()
    Journal(path).close()
    assert [left.name for left in tmp_path.iterdir()] == ["journal"]


def test_when_it_is_closed_the_file_alone_holds_everything_though_a_reader_is_there(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal, contextlib.closing(Reader(path)) as reader:
        journal.steps([step(executed) for executed in range(1, COUNT + 1)])
        journal.close()
        assert len(reader.poll().steps) == COUNT
        copy = tmp_path / "copy"
        copy.write_bytes(path.read_bytes())
    with contextlib.closing(Reader(copy)) as reader:
        assert len(reader.poll().steps) == COUNT
