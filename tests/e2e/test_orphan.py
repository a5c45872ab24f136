"""A screen that nobody sees any more: its terminal went away, or is never read. The run does not mind."""

import shutil
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.e2e.idle import RUN, STEPS, assert_idle_but_for_training, await_steps
from tests.e2e.terminal import HELD_BYTES, TIMEOUT_S
from tests.e2e.watched import watched
from tuitrain.record.commands import Set
from tuitrain.record.link import SocketLink

WITHOUT_A_SIGNAL = pytest.param(
    ("setsid", "--wait"), marks=pytest.mark.skipif(shutil.which("setsid") is None, reason="there is no setsid(1)")
)
IGNORED = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
"""As under nohup(1), which would take the terminal away at once."""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("prefix", [(), IGNORED, WITHOUT_A_SIGNAL], ids=["SIGHUP", "SIGHUP ignored", "end of input"])
def test_a_screen_without_a_terminal_takes_nothing_and_the_run_is_steered(
    prefix: tuple[str, ...], tmp_path: Path
) -> None:
    with watched(tmp_path, *RUN, prefix=prefix) as run:
        run.terminal.wait_for("● all")
        host = psutil.Process(run.pid)
        try:
            run.terminal.hang_up()
            await_steps(run, STEPS)  # the screen takes its leave
            assert_idle_but_for_training(run)
            with closing(SocketLink(run.directory, name="test")) as link:
                link.send(Set(name="clip", value=False))
                link.settle(TIMEOUT_S)
                speaker = link.speaker
            await_steps(run, 1)
            assert [(change.word, change.value, change.by) for change in run.view.changes] == [("clip", False, speaker)]
            host.send_signal(signal.SIGTERM)
            host.wait(TIMEOUT_S)
            assert run.view.end is not None
            assert run.view.end.reason == "stopped"
            assert run.view.checkpoint is not None
        finally:
            if host.is_running():
                host.kill()


def test_a_terminal_that_is_never_read_does_not_hold_up_a_step_nor_the_end(tmp_path: Path) -> None:
    with watched(tmp_path, *RUN) as run:
        run.terminal.wait_for("● all")
        deadline_s = time.monotonic() + TIMEOUT_S
        while run.terminal.unread < HELD_BYTES:
            assert time.monotonic() < deadline_s, f"only {run.terminal.unread} bytes were drawn"
            await_steps(run, STEPS)  # each of which would be drawn
        run.terminal.process.send_signal(signal.SIGTERM)
        assert run.terminal.process.wait(TIMEOUT_S) == 0
        assert run.terminal.wait_end() == 0
        assert run.terminal.unrestored() == []
        assert run.view.end is not None
        assert run.view.end.reason == "stopped"
        assert run.view.checkpoint is not None
