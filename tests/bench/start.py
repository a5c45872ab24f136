"""How long until the first frame, and until the first step, beside how long torch alone takes to import.

    python tests/bench/start.py [--preset mnist] [--rounds 9] [--out FILE]

In each round, one after the other: `python -c "import torch"` from its start to just after the import; and `tuitrain
PRESET` in a terminal of 160x48, from its start to the first frame on the terminal and to the end of the first step (by
the step's own time in the journal). The first round, which warms the disk's cache, is not counted. Where nothing else
runs.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
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


def start_s(preset: str) -> tuple[float, float]:
    """Seconds from the start of `tuitrain PRESET` to its first frame, and to the end of its first step."""
    with tempfile.TemporaryDirectory() as state:
        environment = os.environ | {"XDG_STATE_HOME": state, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        spawn: Any = ptyprocess.PtyProcess.spawn  # type: ignore[attr-defined]
        began_s = time.time()
        child = spawn([sys.executable, "-m", "tuitrain", preset], env=environment, dimensions=(48, 160))
        try:
            drawn, frame_s, looked_s = b"", 0.0, 0.0
            while time.time() < began_s + LIMIT_S:
                drawn = drawn[-len(FRAME) :] + os.read(child.fd, 1 << 16)
                if not frame_s and FRAME in drawn:
                    frame_s = time.time() - began_s
                if frame_s and time.time() > looked_s + LOOK_INTERVAL_S:
                    looked_s = time.time()
                    if step_s := _first_step(Path(state)):
                        return frame_s, step_s - began_s
        finally:
            child.terminate(force=True)
            child.close()
    raise TimeoutError(f"no first step within {LIMIT_S:.0f} s")


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
        torch_s, (frame_s, step_s) = import_torch_s(), start_s(options.preset)
        if number:
            rounds.append({"torch": torch_s, "frame": frame_s, "step": step_s, "step after torch": step_s - torch_s})
    for what in rounds[0]:
        low, middle, high = statistics.quantiles([each[what] for each in rounds], n=4)
        print(f"{what:18} {middle:.2f} s   ({low:.2f} to {high:.2f})")
    if options.out:
        options.out.write_text(json.dumps(rounds, indent=1) + "\n")


if __name__ == "__main__":
    main()
