"""Step rate with the screen open (a real pseudo-terminal of 160x48) against headless: paired rounds, ratios a round.

    python tests/bench/screen_rate.py [--preset mnist] [--steps 1500] [--rounds 3] [--threads N] [--out FILE]

Each round trains the same steps twice, in an order that alternates, each in a process of its own. The rate is read from
the journal, over the run's own steps after the first 100. Prints a table, and writes JSON with --out.
"""

import argparse
import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ptyprocess

from tuitrain.record.events import End
from tuitrain.record.journal import Reader
from tuitrain.record.runs import JOURNAL

WARM_UP_STEPS = 100
LIMIT_S = 600
LOOK_INTERVAL_S = 1.0


def headless(arguments: Sequence[str], environment: dict[str, str]) -> None:
    """Train without a screen."""
    command = [sys.executable, "-m", "tuitrain", *arguments, "--headless"]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True, timeout=LIMIT_S)


def with_screen(arguments: Sequence[str], environment: dict[str, str]) -> None:
    """Train with the screen open, reading all it draws; leave with q when the run has ended."""
    child: Any = ptyprocess.PtyProcess.spawn(  # type: ignore[no-untyped-call,attr-defined]
        [sys.executable, "-m", "tuitrain", *arguments],
        env=environment | {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
        dimensions=(48, 160),
    )
    state, next_look_s, keys = Path(environment["XDG_STATE_HOME"]), 0.0, b""
    with contextlib.suppress(EOFError):  # the program has gone
        while True:
            if select.select([child.fd], [], [], LOOK_INTERVAL_S)[0]:
                child.read(2**16)
            if time.monotonic() >= next_look_s:
                next_look_s = time.monotonic() + LOOK_INTERVAL_S
                child.write(keys)
                keys = b"yq" if _ended(state) else b""  # q; the screen may not have seen the end yet, and ask
    if child.wait() != 0:
        raise RuntimeError(f"the run with the screen ended with exit code {child.exitstatus}")


def rate(state: Path) -> float:
    """Steps a second of the only run under `state`."""
    with contextlib.closing(Reader(_journal(state))) as reader:
        times = [step.time_s for step in reader.poll().steps if step.executed > WARM_UP_STEPS]
    return (len(times) - 1) / (times[-1] - times[0])


def measure(arguments: Sequence[str], *, screen: bool) -> float:
    """Steps a second of one run."""
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, "XDG_STATE_HOME": state}
        (with_screen if screen else headless)(arguments, environment)
        return rate(Path(state))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    arguments = [options.preset, "--steps", str(options.steps), "--epochs", "1000"]
    arguments += ["--threads", str(options.threads)] if options.threads else []
    rounds = []
    for number in range(options.rounds):
        order = (False, True) if number % 2 == 0 else (True, False)
        rates = {screen: measure(arguments, screen=screen) for screen in order}
        rounds.append({"headless": rates[False], "screen": rates[True], "ratio": rates[True] / rates[False]})
        print("round {}: headless {headless:.1f} steps/s, with screen {screen:.1f}, ratio {ratio:.3f}".format(
            number + 1, **rounds[-1]), flush=True)  # fmt: skip
    ratios = [each["ratio"] for each in rounds]
    print(f"median ratio {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")
    if options.out:
        options.out.write_text(json.dumps({"preset": options.preset, "rounds": rounds}, indent=1) + "\n")


def _journal(state: Path) -> Path:
    (journal,) = state.glob(f"tuitrain/runs/*/{JOURNAL}")
    return journal


def _ended(state: Path) -> bool:
    journals = list(state.glob(f"tuitrain/runs/*/{JOURNAL}"))
    if not journals:
        return False
    with contextlib.closing(Reader(journals[0])) as reader:
        return reader.last(End) is not None


if __name__ == "__main__":
    main()
