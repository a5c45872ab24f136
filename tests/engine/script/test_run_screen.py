"""`tuitrain run` in a terminal: the screen of a script, steered by keys."""

import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.e2e.terminal import HELD_BYTES, TIMEOUT_S, Terminal, environment
from tests.engine.script.scripts import arguments_of
from tuitrain.record.events import Applied, End, LogLine
from tuitrain.record.journal import News, Reader
from tuitrain.record.runs import JOURNAL

VERB = [sys.executable, "-W", "error", "-m", "tuitrain", "run"]


def recorded(home: Path) -> News:
    """What the journal of the one run holds."""
    (directory,) = (home / "state" / "tuitrain" / "runs").iterdir()
    with closing(Reader(directory / JOURNAL)) as reader:
        return reader.poll()


def test_a_script_is_seen_steered_and_stopped(tmp_path: Path) -> None:
    with Terminal([*VERB, *arguments_of("live plain")], environment(tmp_path)) as terminal:
        terminal.wait_for("live.py", "TRAIN", "Sequential")
        terminal.press("i")
        terminal.wait_for("What can be had of live.py", "Steered", "Overfit one batch (o)")
        terminal.press("i")
        terminal.wait_gone("What can be had of live.py")
        terminal.press("o")
        terminal.wait_for("OVERFIT ONE BATCH")
        terminal.press("o")
        terminal.wait_gone("OVERFIT ONE BATCH")
        terminal.press("ctrl+c")
        assert terminal.wait_end() == 130
        assert terminal.unrestored() == []
    news = recorded(tmp_path)
    applied = [(event.word, event.value) for event in news.events if isinstance(event, Applied)]
    assert applied == [("overfit", True), ("overfit", False), ("stop", True)]
    assert [event.reason for event in news.events if isinstance(event, End)] == ["stopped"]
    printed = [event.text for event in news.events if isinstance(event, LogLine) and event.stream == "stdout"]
    assert printed == ["threads ['MainThread']", "tidied up"]


def test_when_the_terminal_goes_away_the_script_goes_on(tmp_path: Path) -> None:
    with Terminal([*VERB, *arguments_of("live plain")], environment(tmp_path)) as terminal:
        terminal.wait_for("TRAIN")
        terminal.hang_up()
        seen = recorded(tmp_path).steps[-1].executed
        while recorded(tmp_path).steps[-1].executed < seen + 2000:
            assert terminal.process.poll() is None
        os.kill(terminal.process.pid, signal.SIGTERM)
        terminal.process.wait(60)
    assert terminal.process.returncode == -signal.SIGTERM


def test_terminated_it_leaves_though_its_terminal_is_never_read(tmp_path: Path) -> None:
    with Terminal([*VERB, *arguments_of("live plain")], environment(tmp_path), size=(500, 200)) as terminal:
        terminal.wait_for("live.py", "TRAIN")
        deadline_s = time.monotonic() + TIMEOUT_S
        while terminal.unread < HELD_BYTES:
            assert time.monotonic() < deadline_s, f"only {terminal.unread} bytes were drawn"
            seen = recorded(tmp_path).steps[-1].executed
            while recorded(tmp_path).steps[-1].executed < seen + 100:
                assert terminal.process.poll() is None
        os.kill(terminal.process.pid, signal.SIGTERM)
        assert terminal.process.wait(60) == -signal.SIGTERM
        terminal.wait_end()
        assert terminal.unrestored() == []
    assert [event.reason for event in recorded(tmp_path).events if isinstance(event, End)] == ["stopped"]
