"""Where runs are recorded, and what is said of those that are."""

import contextlib
import math
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.ui.fake_run import write_fake_run
from tuitrain.errors import UserError
from tuitrain.record.events import LogLine, Status, Step
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.lease import read_lease, write_lease
from tuitrain.record.runs import (
    JOURNAL,
    OWNER,
    NewRun,
    create_run,
    find_run,
    list_runs,
    owner_lives,
    release_lease,
    runs_directory,
    summarise,
)

ROOT = Path(__file__).parents[2]

DYING = """
import sys
from pathlib import Path
from tests.record.test_runs import said_running
from tuitrain.record.lease import take_lease
said_running(Path(sys.argv[1]), 7)
take_lease(Path(sys.argv[1]))
print("recorded", flush=True)
sys.stdin.read()
"""
"""A run that says it is running, and waits to be killed."""


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory for this test."""
    home = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


def close(run: NewRun) -> NewRun:
    run.journal.close()
    return run


def owned(directory: Path, **changed: float | str) -> None:
    """Have this process own a run; `changed` is what its lease says instead."""
    write_lease(directory)
    lease = read_lease(directory)
    assert lease is not None
    (directory / OWNER).write_bytes(msgspec.json.encode(msgspec.structs.replace(lease, **changed)))


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


def test_a_run_that_lives_one_that_died_and_one_of_which_nothing_is_known(tmp_path: Path) -> None:
    for name in ("lives", "died", "elsewhere"):
        said_running(tmp_path / name, 1204)
    owned(tmp_path / "lives")
    owned(tmp_path / "died", started=1.0)
    owned(tmp_path / "elsewhere", boot="another", host="node7")
    summaries = {summary.name: summary for summary in list_runs(tmp_path)}
    assert summaries["lives"].state == "running"
    assert summaries["died"].state == "died at step 1,204"
    assert summaries["elsewhere"].state == "on node7"
    assert {summary.steps for summary in summaries.values()} == {1204}
    assert {summary.last_loss for summary in summaries.values()} == {1 / 1204}
    assert {summary.total_steps for summary in summaries.values()} == {None}


def test_a_killed_run_is_shown_as_dead_at_the_last_step_it_recorded(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", DYING, str(tmp_path / "killed")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "recorded\n"
        assert summarise(tmp_path / "killed").state == "running"
        child.kill()
        child.wait()
        assert summarise(tmp_path / "killed").state == "died at step 7"
    finally:
        child.kill()
        child.communicate()


def test_a_summary_is_plain_data(tmp_path: Path) -> None:
    said_running(tmp_path / "run", 5)
    owned(tmp_path / "run")
    summary = summarise(tmp_path / "run")
    again = msgspec.json.decode(msgspec.json.encode(summary._asdict()))
    assert again == summary._asdict()
    nan = msgspec.json.encode(summary._replace(last_loss=math.nan)._asdict())
    assert msgspec.json.decode(nan)["last_loss"] is None


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
        owned(tmp_path / name)
        os.utime(tmp_path / name / OWNER, (1e9 - age, 1e9 - age))
    (tmp_path / "no run").mkdir()
    (tmp_path / "file").write_text("")
    assert [summary.name for summary in list_runs(tmp_path)] == ["new", "middle", "old"]
    assert [summary.started_unix_s for summary in list_runs(tmp_path)] == [1e9, 1e9 - 1, 1e9 - 2]


def test_without_a_runs_directory_there_are_no_runs(state_home: Path) -> None:
    assert list_runs() == []
    assert not state_home.exists()


def test_a_run_is_found_by_its_name_the_beginning_of_it_or_its_path(state_home: Path) -> None:
    runs = [close(create_run(preset)) for preset in ("mnist", "mnist", "mlp")]
    for run in runs:
        for name in (run.name, str(run.directory), f"{run.directory}/", str(run.directory / JOURNAL)):
            assert find_run(name) == run.directory
    assert find_run("ml") == runs[2].directory


def test_the_whole_name_of_a_run_may_begin_that_of_another(state_home: Path) -> None:
    for name in ("digits", "digits-2", "digits-3"):
        said_running(runs_directory() / name, 1)
    assert find_run("digits") == runs_directory() / "digits"
    with pytest.raises(UserError) as error:
        find_run("digit")
    assert "digits, digits-2, digits-3" in str(error.value)


def test_a_run_elsewhere_is_found_by_its_path_from_where_one_stands(
    state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_running(tmp_path / "kept" / "run", 1)
    monkeypatch.chdir(tmp_path / "kept")
    assert find_run("run") == find_run("./run") == tmp_path / "kept" / "run"
    monkeypatch.chdir("run")
    assert find_run(".") == find_run(JOURNAL) == tmp_path / "kept" / "run"
    assert find_run(str(tmp_path / "kept" / "run")).name == "run"


@pytest.mark.parametrize("name", ["mnist-1124-0917", "mist-1124-091700", "1124-091700", "MNIST-1124-091701"])
def test_a_name_mistyped_is_answered_by_those_that_come_near(state_home: Path, name: str) -> None:
    for run in ("mnist-1124-091700", "mnist-1124-091701", "unregistered"):
        said_running(runs_directory() / run, 1)
    with pytest.raises(UserError) as error:
        find_run(name)
    assert name in str(error.value)
    assert "mnist-1124-091700" in str(error.value)
    assert "unregistered" not in str(error.value)


@pytest.mark.parametrize("name", ["", "zzz", "/", "..", "no/such/run", "a\0b", "x" * 5000], ids=len)
def test_of_what_is_nothing_like_a_run_the_list_is_named(state_home: Path, name: str) -> None:
    said_running(runs_directory() / "mnist-1124-091700", 1)
    with pytest.raises(UserError, match="tuitrain ls") as error:
        find_run(name)
    assert len(str(error.value)) < 200


def test_of_many_runs_an_error_names_a_few(state_home: Path) -> None:
    for number in range(12):
        said_running(runs_directory() / f"mnist-{number:02}", 1)
    with pytest.raises(UserError, match="mnist-00, mnist-01, mnist-02, mnist-03, mnist-04 and 7 more"):
        find_run("mnist")


def test_without_a_name_it_is_the_newest_that_is_live(state_home: Path) -> None:
    with pytest.raises(UserError, match="No run is live"):
        find_run(None)
    ages = {"dead": 0, "ended": 1, "elsewhere": 2, "unreadable": 3, "newer": 4, "older": 5}
    for name, age in ages.items():
        said_running(runs_directory() / name, 1)
        owned(runs_directory() / name)
        os.utime(runs_directory() / name / OWNER, (1e9 - age, 1e9 - age))
    (runs_directory() / "dead" / OWNER).unlink()
    owned(runs_directory() / "elsewhere", boot="another", host="node7")
    (runs_directory() / "unreadable" / JOURNAL).write_bytes(b"")
    (runs_directory() / "ended" / JOURNAL).unlink()
    write_fake_run(runs_directory() / "ended" / JOURNAL, steps=300, end=True)
    assert find_run(None).name == "newer"
    release_lease(runs_directory() / "newer")
    assert find_run(None).name == "older"
    release_lease(runs_directory() / "older")
    with pytest.raises(UserError, match="tuitrain ls"):
        find_run(None)
