"""The ways out: ctrl+c, signals, ctrl+z and back, a terminal that goes away. Each leaves the terminal as it was."""

import re
import signal
from contextlib import closing
from pathlib import Path

from tests.e2e.terminal import TIMEOUT_S, Terminal, environment, tuitrain
from tests.e2e.watched import ENDLESS, Watched, watched
from tuitrain.record.events import Checkpoint, End, LogLine, Status
from tuitrain.record.journal import Reader
from tuitrain.record.runs import JOURNAL

SLOW = 'title = "Slow"\n[model]\nname = "classic"\n[data]\nbatch_size = 500\n'
"""A step of this takes long enough to press a key in it."""


def slow_preset(directory: Path) -> str:
    path = directory / "slow.toml"
    path.write_text(SLOW)
    return str(path)


def assert_stopped_and_saved(run: Watched, by: str) -> None:
    """The step was finished, saved, and the run ended as one that was told to."""
    view = run.view
    assert view.end is not None
    assert view.end.reason == view.status.state == "stopped"
    assert [(change.word, change.by) for change in view.changes] == [("stop", by)]
    assert view.checkpoint is not None
    assert view.last_step is not None
    assert Path(view.checkpoint.path).exists()
    assert view.checkpoint.step == view.end.steps == view.last_step.step


def test_ctrl_c_finishes_the_step_saves_and_leaves(tmp_path: Path) -> None:
    with watched(tmp_path, slow_preset(tmp_path), *ENDLESS) as run:
        run.terminal.wait_for("○ off")
        run.wait_steps(1)
        run.terminal.press("ctrl+c")
        run.terminal.wait_for("STOPPING", "Finishing the step, saving, then leaving")
        assert run.terminal.wait_end() == 0
        assert run.terminal.unrestored() == []
        assert run.terminal.text.strip() == ""
        assert_stopped_and_saved(run, by="key")


def test_ctrl_c_twice_leaves_at_once(tmp_path: Path) -> None:
    with watched(tmp_path, slow_preset(tmp_path), *ENDLESS, "--batch-size", "10000") as run:
        run.terminal.wait_for("○ off")
        run.terminal.press("ctrl+c")
        run.terminal.wait_for("STOPPING")
        run.terminal.press("ctrl+c")
        assert run.terminal.wait_end() == 130
        assert run.terminal.unrestored() == []
        assert run.terminal.text.strip() == ""
        assert run.view.end is None


def test_terminated_it_finishes_the_step_saves_and_leaves(tmp_path: Path) -> None:
    with watched(tmp_path, "unregistered", *ENDLESS) as run:
        run.wait_steps(1)
        run.terminal.process.send_signal(signal.SIGTERM)
        assert run.terminal.wait_end() == 0
        assert run.terminal.unrestored() == []
        assert_stopped_and_saved(run, by="SIGTERM")


def test_terminated_when_it_has_ended_it_leaves(tmp_path: Path) -> None:
    with watched(tmp_path, "unregistered", "--threads", "1", "--steps", "3") as run:
        run.terminal.wait_for("FINISHED", "q leaves")
        run.terminal.process.send_signal(signal.SIGTERM)
        assert run.terminal.wait_end() == 0
        assert run.terminal.unrestored() == []


def test_when_the_terminal_goes_away_the_run_goes_on_to_its_end(tmp_path: Path) -> None:
    steps = 3000
    with watched(tmp_path, "unregistered", "--threads", "1", "--steps", str(steps)) as run:
        run.wait_steps(10)
        assert run.view.end is None
        run.terminal.hang_up()
        assert run.terminal.process.wait(TIMEOUT_S) == 0
        view = run.view
        assert view.end is not None
        assert (view.end.steps, view.end.reason, view.status.state) == (steps, "steps", "finished")
        assert view.checkpoint is not None
        assert not [line.text for line in view.timeline if isinstance(line, LogLine) and "Traceback" in line.text]


def test_suspended_it_gives_the_shell_its_terminal_and_comes_back(tmp_path: Path) -> None:
    command = " ".join(tuitrain("unregistered", *ENDLESS, "--batch-size", "8"))
    env = environment(tmp_path) | {"PS1": "shell$ "}
    with Terminal(["sh", "-i"], env) as terminal:
        terminal.wait_for("shell$")
        terminal.write(f"{command}\n")
        terminal.wait_for("○ some", "it/s")
        terminal.press("space")
        terminal.wait_for("PAUSED")
        terminal.press("ctrl+z")
        terminal.wait_for("Stopped", "shell$")
        assert not terminal.shows("PAUSED")
        assert terminal.unrestored() in ([], ["settings"])  # an interactive shell may have its own
        terminal.write("fg\n")
        terminal.wait_for("PAUSED", "Overfit one batch", "q quit")
        terminal.press("space")
        terminal.wait_gone("PAUSED")
        terminal.press("q")
        terminal.wait_for("Stop the run?")
        terminal.press("y")
        terminal.wait_for("shell$")
        terminal.write("echo left with $?.\n")
        terminal.wait_until(lambda: bool(re.search(r"left with \d", terminal.text)), "the exit code")
        assert terminal.shows("left with 0.")
        assert terminal.unrestored() in ([], ["settings"])
    (journal,) = tmp_path.rglob(JOURNAL)
    with closing(Reader(journal)) as reader:
        assert reader.last(Checkpoint) is not None
        status, end = reader.last(Status), reader.last(End)
    assert status is not None
    assert end is not None
    assert end.reason == status.state == "stopped"
