"""How long until the first frame, and until the first step, beside how long torch alone takes to import.

    python tests/bench/start.py [--preset mnist] [--rounds 9] [--out FILE]

In each round, one after the other: `python -c "import torch"` from its start to just after the import; and `tuitrain
PRESET` in a terminal of 160x48, from its start to the first frame on the terminal and to the end of the first step (by
the step's own time in the journal); then `tuitrain watch` of that run, halted meanwhile, to its first frame. The first
round, which warms the disk's cache, is not counted. Where nothing else runs.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ptyprocess

from tuitrain.record.events import Status
from tuitrain.record.journal import Reader
from tuitrain.record.runs import JOURNAL

FRAME = "─".encode()
"""Stands in the first frame, and in nothing that a terminal is sent before."""
LIMIT_S = 120.0
LOOK_INTERVAL_S = 0.2


def import_torch_s() -> float:
    """Seconds from the start of a process to its having imported torch."""
    began_s = time.time()
    program = "import time, torch; print(time.time())"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout) - began_s


def start_s(preset: str) -> tuple[float, float, float]:
    """Seconds from the start of `tuitrain PRESET` to its first frame, and first step; of `watch` to its frame."""
    with tempfile.TemporaryDirectory() as state, _spawned(state, preset) as (began_s, child):
        frame_s = _first_frame(child) - began_s
        while not (step_s := _first_step(Path(state))):
            if time.time() > began_s + LIMIT_S:
                raise TimeoutError(f"no first step within {LIMIT_S:.0f} s")
            _take(child, LOOK_INTERVAL_S)
        os.kill(child.pid, signal.SIGSTOP)
        with _spawned(state, "watch") as (watch_began_s, viewer):
            watch_s = _first_frame(viewer) - watch_began_s
    return frame_s, step_s - began_s, watch_s


@contextlib.contextmanager
def _spawned(state: str, verb: str) -> Iterator[tuple[float, Any]]:
    """When tuitrain was started, and its process in a terminal."""
    environment = os.environ | {"XDG_STATE_HOME": state, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    spawn: Any = ptyprocess.PtyProcess.spawn  # type: ignore[attr-defined]
    began_s = time.time()
    child = spawn([sys.executable, "-m", "tuitrain", verb], env=environment, dimensions=(48, 160))
    try:
        yield began_s, child
    finally:
        child.kill(signal.SIGKILL)
        child.close()


def _first_frame(child: Any) -> float:  # noqa: ANN401 - of ptyprocess
    """When it is drawn (seconds since the epoch)."""
    drawn = b""
    while FRAME not in drawn:
        drawn = drawn[-len(FRAME) :] + os.read(child.fd, 1 << 16)
    return time.time()


def _take(child: Any, seconds: float) -> None:  # noqa: ANN401
    """Read what is drawn, for so long."""
    end_s = time.time() + seconds
    while (left_s := end_s - time.time()) > 0:
        if select.select([child.fd], [], [], left_s)[0]:
            os.read(child.fd, 1 << 16)


def _first_step(state: Path) -> float | None:
    """When the first step had ended (seconds since the epoch); None if it has not."""
    for journal in state.glob(f"tuitrain/runs/*/{JOURNAL}"):
        with contextlib.closing(Reader(journal, whole=True)) as reader:
            news = reader.poll()
        if news.steps:
            seen = [event for event in news.events if isinstance(event, Status)]
            return _began(journal.parent) + news.steps[0].time_s if seen else None
    return None


def _began(run: Path) -> float:
    """When the clock of a run began: with its lease, but for a few milliseconds."""
    return min(path.stat().st_mtime for path in run.iterdir())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds + 1):
        torch_s, (frame_s, step_s, watch_s) = import_torch_s(), start_s(options.preset)
        if number:
            row = {"torch": torch_s, "frame": frame_s, "step": step_s, "step after torch": step_s - torch_s}
            rounds.append(row | {"frame of watch": watch_s})
    for what in rounds[0]:
        low, middle, high = statistics.quantiles([each[what] for each in rounds], n=4)
        print(f"{what:18} {middle:.2f} s   ({low:.2f} to {high:.2f})")
    if options.out:
        options.out.write_text(json.dumps(rounds, indent=1) + "\n")


if __name__ == "__main__":
    main()
