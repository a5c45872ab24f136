"""Where runs are recorded, and what is said of those that are."""

import contextlib
import math
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.ui.fake_run import write_fake_run
from tuitrain.errors import UserError
from tuitrain.record.events import LogLine, Status, Step
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.runs import JOURNAL, OWNER, NewRun, create_run, list_runs, owner_lives, runs_directory, summarise


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory for this test."""
    home = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


def close(run: NewRun) -> NewRun:
    run.journal.close()
    return run


def owned_by(directory: Path, process: psutil.Process) -> None:
    (directory / OWNER).write_text(f"{process.pid} {process.create_time()}\n")


def dead_process() -> psutil.Process:
    """A process that is gone; its start time was looked up while it lived."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    process.create_time()
    child.communicate(b"\n")
    return process


def said_running(directory: Path, steps: int) -> None:
    """The journal of a run that said it was running, and no more."""
    directory.mkdir(parents=True)
    with Journal(directory / JOURNAL) as journal:
        journal.say(Status(state="running"))
        journal.steps(
            [
                Step(
                    executed=executed, step=executed, epoch=1, loss=1 / executed, norm_before=1.0, norm_after=1.0,
                    max_norm=math.nan, lr=0.1, accuracy=math.nan, overfit=False,
                )
                for executed in range(1, steps + 1)
            ]
        )  # fmt: skip


def test_a_run_is_recorded_under_the_state_directory_for_its_owner_alone(state_home: Path) -> None:
    run = close(create_run("mnist"))
    assert run.trouble is None
    assert run.directory == state_home / "tuitrain" / "runs" / run.name
    assert run.directory.parent == runs_directory()
    assert run.name.startswith("mnist-")
    assert run.directory.stat().st_mode & 0o077 == 0
    assert owner_lives(run.directory)
    with contextlib.closing(Reader(run.directory / JOURNAL)) as reader:
        assert reader.poll().events == []


def test_runs_begun_in_the_same_second_have_names_of_their_own(state_home: Path) -> None:
    names = [close(create_run("mnist")).name for _ in range(5)]
    assert len(set(names)) == 5
    assert {run.name for run in list_runs()} == set(names)


def test_where_the_state_directory_cannot_be_written_the_run_is_recorded_elsewhere_and_says_so(
    state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_home.write_text("a file where the directory should be")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = create_run("mnist")
    run.journal.say(LogLine(stream="run", text="recorded all the same"))
    run.journal.close()
    assert run.directory.is_relative_to(tmp_path)
    assert not run.directory.is_relative_to(state_home)
    assert run.trouble is not None
    assert str(runs_directory()) in run.trouble
    assert str(run.directory.parent) in run.trouble
    assert "XDG_STATE_HOME" in run.trouble
    with contextlib.closing(Reader(run.directory / JOURNAL)) as reader:
        assert reader.poll().events == [LogLine(stream="run", text="recorded all the same")]


def test_where_nothing_can_be_written_it_is_one_sentence(
    state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_home.write_text("a file where the directory should be")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(UserError) as error:
        create_run("mnist")
    assert str(runs_directory()) in str(error.value)
    assert str(tmp_path / "gone") in str(error.value)


def test_a_run_that_lives_and_one_that_died(tmp_path: Path) -> None:
    said_running(tmp_path / "lives", 5)
    owned_by(tmp_path / "lives", psutil.Process())
    said_running(tmp_path / "died", 1204)
    owned_by(tmp_path / "died", dead_process())
    summaries = {summary.name: summary for summary in list_runs(tmp_path)}
    assert summaries["lives"].state == "running"
    assert summaries["died"].state == "died at step 1,204"
    assert summaries["died"].steps == 1204
    assert summaries["died"].last_loss == 1 / 1204
    assert summaries["died"].total_steps is None


def test_a_process_that_ended_and_was_not_waited_for_does_not_live(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE) as child:
        owned_by(tmp_path, psutil.Process(child.pid))
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
        assert not owner_lives(tmp_path)


def test_another_process_with_the_same_pid_is_not_the_owner(tmp_path: Path) -> None:
    (tmp_path / OWNER).write_text(f"{os.getpid()} {psutil.Process().create_time() - 1000}\n")
    assert not owner_lives(tmp_path)


@pytest.mark.parametrize("content", [None, "", "x y", "1", "-1 0", "1 2 3"])
def test_without_a_readable_owner_nobody_lives(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / OWNER).write_text(content)
    assert not owner_lives(tmp_path)


def test_a_finished_run_needs_no_owner(tmp_path: Path) -> None:
    write_fake_run(tmp_path / JOURNAL, steps=300, end=True)
    summary = summarise(tmp_path)
    assert summary.state == "finished"
    assert (summary.steps, summary.total_steps) == (275, 4680)  # 25 of the 300 were overfit
    assert summary.last_loss is not None


def test_a_run_that_died_before_it_said_anything(tmp_path: Path) -> None:
    Journal(tmp_path / JOURNAL).close()
    assert summarise(tmp_path).state == "died at step 0"


@pytest.mark.parametrize("length", [0, 100, 5000, 20_000])
def test_a_damaged_journal_is_listed_as_unreadable_and_hides_no_other(tmp_path: Path, length: int) -> None:
    for name in ("damaged", "sound"):
        (tmp_path / name).mkdir()
        write_fake_run(tmp_path / name / JOURNAL, steps=300, end=True)
    journal = tmp_path / "damaged" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:length])
    assert {summary.name: summary.state for summary in list_runs(tmp_path)} == {
        "damaged": "unreadable", "sound": "finished",
    }  # fmt: skip


def test_the_newest_run_comes_first_and_what_is_no_run_is_left_out(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "middle", "old")):
        said_running(tmp_path / name, 1)
        owned_by(tmp_path / name, psutil.Process())
        os.utime(tmp_path / name / OWNER, (1e9 - age, 1e9 - age))
    (tmp_path / "no run").mkdir()
    (tmp_path / "file").write_text("")
    assert [summary.name for summary in list_runs(tmp_path)] == ["new", "middle", "old"]
    assert [summary.started_unix_s for summary in list_runs(tmp_path)] == [1e9, 1e9 - 1, 1e9 - 2]


def test_without_a_runs_directory_there_are_no_runs(state_home: Path) -> None:
    assert list_runs() == []
    assert not state_home.exists()
