"""The run of a terminal that went away is found again: watched, steered and stopped from another one."""

import re
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.terminal import HELD_BYTES, TIMEOUT_S, Terminal, environment, tuitrain
from tests.e2e.watched import ENDLESS, watched

RUN = ("unregistered", *ENDLESS, "--batch-size", "8")
WITHOUT_A_SIGNAL = pytest.param(
    ("setsid", "--wait"), marks=pytest.mark.skipif(shutil.which("setsid") is None, reason="there is no setsid(1)")
)
"""In a session of its own, which the terminal does not control: nobody is told that it goes away."""
MORE_THAN_IS_HELD = 500, 200
"""The size of a terminal of which one picture is more than the kernel holds of what is not read: 68 KiB on Linux."""


@pytest.mark.parametrize("prefix", [(), WITHOUT_A_SIGNAL], ids=["SIGHUP", "end of input"])
def test_a_run_whose_terminal_went_away_goes_on_and_is_found_again(tmp_path: Path, prefix: tuple[str, ...]) -> None:
    with watched(tmp_path, *RUN, prefix=prefix) as run:
        run.terminal.wait_for("○ some")
        run.wait_steps(1)
        host = psutil.Process(run.pid)
        try:
            run.terminal.hang_up()
            with Terminal(tuitrain("watch"), environment(tmp_path)) as viewer:
                viewer.wait_for("● TRAIN", "○ some")
                before = run.executed
                viewer.wait_until(lambda: run.executed > before, "the run to go on")
                viewer.press("c")
                viewer.wait_until(lambda: bool(re.search(r"Clip to 1\.0 +○ off", viewer.text)), "clip off")
                viewer.press("space")
                viewer.wait_for("PAUSED")
                # who reads a terminal that is gone for ever has one core busy, for ever
                viewer.wait_until(lambda: busy_share(host, viewer) < 0.5, "the host to be quiet")
                viewer.press("x")
                viewer.wait_for("Stop the run?")
                viewer.press("y")
                viewer.wait_for("○ STOPPED", "q leaves")
                host.wait(TIMEOUT_S)
                assert run.view.end is not None
                assert run.view.checkpoint is not None
                viewer.press("q")
                assert viewer.wait_end() == 0
        finally:
            if host.is_running():
                host.kill()


def busy_share(process: psutil.Process, viewer: Terminal) -> float:
    """The share of one core that a process keeps busy, over a second in which the viewer is drawn."""
    began_s, used_s = time.monotonic(), sum(process.cpu_times()[:2])
    viewer.wait_until(lambda: time.monotonic() > began_s + 1, "a second")
    return (sum(process.cpu_times()[:2]) - used_s) / (time.monotonic() - began_s)


def test_a_viewer_that_is_terminated_gives_the_terminal_back_and_the_run_goes_on(tmp_path: Path) -> None:
    """Be its terminal read, or not: because a connection hangs, say."""
    with (
        watched(tmp_path, *RUN) as run,
        Terminal(tuitrain("watch"), environment(tmp_path)) as viewer,
        Terminal(tuitrain("watch"), environment(tmp_path), size=MORE_THAN_IS_HELD) as stalled,
    ):
        viewer.wait_for("○ some")
        viewer.wait_until(lambda: stalled.unread >= HELD_BYTES, "a terminal that takes no more")
        for each in (viewer, stalled):
            each.process.send_signal(signal.SIGTERM)
        assert stalled.process.wait(TIMEOUT_S) == 128 + signal.SIGTERM
        for each in (viewer, stalled):
            assert each.wait_end() == 128 + signal.SIGTERM
            assert each.unrestored() == []
        run.wait_steps(1)
