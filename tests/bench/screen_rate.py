"""Step rate with the screen open (a real pseudo-terminal of 160x48) against headless: two processes, turn about.

    python tests/bench/screen_rate.py [--preset mnist] [--turns 24] [--seconds 4] [--threads N] [--out FILE]

Both train the same preset at the same time, but one of them is always halted (SIGSTOP): they take turns of a few
seconds, so that a machine that is fast now and slow a minute later is so for both. The rate of a turn is read from the
steps' own times in the journal, without its first second, in which the caches are another's. Prints the ratio of each
pair of turns, and their median; writes JSON with --out. Where nothing else runs.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ptyprocess

from tuitrain.record.journal import Reader
from tuitrain.record.runs import JOURNAL

WARM_UP_STEPS = 200
SETTLING_S = 1.0
"""Of each turn, not counted: the caches are the other's, and the screen repaints itself as after ctrl+z."""
LIMIT_S = 300


class Trainer:
    """A run in a process of its own, halted but in its turns."""

    def __init__(self, arguments: Sequence[str], state: Path, *, screen: bool) -> None:
        command = [sys.executable, "-m", "tuitrain", *arguments]
        environment = {**os.environ, "XDG_STATE_HOME": str(state)}
        self._state = state
        if screen:
            spawn: Any = ptyprocess.PtyProcess.spawn  # type: ignore[attr-defined]
            look = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
            child = spawn(command, env=environment | look, dimensions=(48, 160))
            self._pid: int = child.pid
            self._wait: Callable[[], int] = child.wait
            threading.Thread(target=_read_all, args=(child.fd,), daemon=True).start()
        else:
            process = subprocess.Popen([*command, "--headless"], env=environment, stdout=subprocess.DEVNULL)
            self._pid, self._wait = process.pid, process.wait

    def is_warm(self) -> bool:
        """Whether it has trained for a while: everything that is dear once was done."""
        journals = list(self._state.glob(f"tuitrain/runs/*/{JOURNAL}"))
        if not journals:
            return False
        with contextlib.closing(Reader(journals[0])) as reader:
            last = reader.last_step()
        return last is not None and last.step >= WARM_UP_STEPS

    def halt(self) -> None:
        """Take no time from the other."""
        os.kill(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Its turn."""
        os.kill(self._pid, signal.SIGCONT)

    def end(self) -> None:
        """Have it save and leave."""
        self.go_on()
        os.kill(self._pid, signal.SIGTERM)
        if self._wait() != 0:
            raise RuntimeError(f"process {self._pid} ended badly")

    def rates(self, count: int) -> list[float]:
        """Steps a second of each of its `count` turns: between two turns the times of its steps have a gap."""
        (journal,) = self._state.glob(f"tuitrain/runs/*/{JOURNAL}")
        with contextlib.closing(Reader(journal, whole=True)) as reader:
            times_s = np.array([step.time_s for step in reader.poll().steps])
        turns = np.split(times_s, np.flatnonzero(np.diff(times_s) > SETTLING_S) + 1)
        settled = [turn[turn >= turn[0] + SETTLING_S] for turn in turns[1 : 1 + count]]  # before it warmed up
        return [(len(turn) - 1) / (turn[-1] - turn[0]) for turn in settled]


def measure(arguments: Sequence[str], turns: int, turn_s: float) -> list[dict[str, float]]:
    """The rates of both, turn by turn."""
    with tempfile.TemporaryDirectory() as directory:
        trainers = [Trainer(arguments, Path(directory) / name, screen=name == "screen") for name in ("bare", "screen")]
        deadline_s = time.monotonic() + LIMIT_S
        for warming in trainers:
            while not warming.is_warm():
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"no {WARM_UP_STEPS} steps within {LIMIT_S} s")
                time.sleep(0.5)
        for trainer in trainers:
            trainer.halt()
        for number in range(turns):
            for trainer in trainers if number % 2 == 0 else trainers[::-1]:
                time.sleep(SETTLING_S)  # the end of the other's turn is far enough from this one's beginning
                trainer.go_on()
                time.sleep(turn_s)
                trainer.halt()
        for trainer in trainers:
            trainer.end()
        bare, screen = (trainer.rates(turns) for trainer in trainers)
    return [{"headless": a, "screen": b, "ratio": b / a} for a, b in zip(bare, screen, strict=True)]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--turns", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn; more than 2")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    arguments = [options.preset, "--epochs", "100000"]
    arguments += ["--threads", str(options.threads)] if options.threads else []
    turns = measure(arguments, options.turns, options.seconds)
    for number, turn in enumerate(turns, 1):
        print(
            "turn {:2}: headless {headless:.1f} steps/s, with screen {screen:.1f}, ratio {ratio:.3f}".format(
                number, **turn
            )
        )
    ratios = sorted(turn["ratio"] for turn in turns)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"median ratio {middle:.3f}, half of the turns between {low:.3f} and {high:.3f}")
    if options.out:
        options.out.write_text(json.dumps({"preset": options.preset, "turns": turns}, indent=1) + "\n")


def _read_all(descriptor: int) -> None:
    """Take what the screen draws, as a terminal would."""
    with contextlib.suppress(OSError):  # the program has gone
        while os.read(descriptor, 1 << 16):
            pass


if __name__ == "__main__":
    main()
