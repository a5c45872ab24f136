"""Step rate with the screen open (a real pseudo-terminal of 160x48) against headless: paired rounds, ratios a round.

    python tests/bench/screen_rate.py [--preset mnist] [--steps 200] [--rounds 5] [--threads N] [--out FILE]

Each round trains the same steps twice, in an order that alternates, each in a process of its own. The rate is read from
the journal, over the run's own steps after the first 20. Prints a table, and writes JSON with --out.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pexpect

from tuitrain.record.events import End
from tuitrain.record.journal import Reader
from tuitrain.record.runs import JOURNAL

WARM_UP_STEPS = 20
LIMIT_S = 600


def headless(arguments: Sequence[str], environment: dict[str, str]) -> None:
    """Train without a screen."""
    command = [sys.executable, "-m", "tuitrain", *arguments, "--headless"]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True, timeout=LIMIT_S)


def with_screen(arguments: Sequence[str], environment: dict[str, str]) -> None:
    """Train with the screen open, reading all it draws; leave with q when the run has ended."""
    child = pexpect.spawn(
        sys.executable,
        ["-m", "tuitrain", *arguments],
        env=environment | {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
        dimensions=(48, 160),
        timeout=LIMIT_S,
    )
    while not _ended(Path(environment["XDG_STATE_HOME"])):
        if child.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0.2) == 1:  # and reads what was drawn
            raise RuntimeError("the screen went before the run had ended")
    while child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=1) == 1:
        child.send("yq")  # the screen may not have seen the end yet, and ask
    child.close()
    if child.exitstatus != 0:
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
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
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
