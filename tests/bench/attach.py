"""A viewer that attaches to a run of ten million steps: how long until both charts are drawn, and in how much memory.

    python tests/bench/attach.py [--steps 10000000] [--keep-every 100] [--rounds 5] [--out FILE]

Writes the run twice with the journal's own writing end, with and without --keep-every. Then a fresh process imports
what a viewer imports, reads the journal, and draws both charts at 160x48. Prints a line each; writes JSON with --out.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tuitrain.record.curves import STEP_COLUMNS
from tuitrain.record.events import LogLine, Run, Status, Switches
from tuitrain.record.journal import Journal
from tuitrain.record.packing import Floats
from tuitrain.record.store import Store

COMMIT_STEPS = 400
"""Steps in one commit: those of a fast run, in the commit interval."""

LARGEST = 1e3
"""The one spike of the loss that the attached viewer must show."""

VIEWER = """
import resource, sys, time
from contextlib import closing
from pathlib import Path
import tuitrain.ui.app
from tuitrain.record.journal import Reader
from tuitrain.record.state import RunView
from tuitrain.ui.figures import gradient_figure, loss_figure
from tuitrain.ui.plot import draw

imported_s = time.time()
view = RunView()
with closing(Reader(Path(sys.argv[1]))) as reader:
    view.update(reader.poll())
folded_s = time.time()
figures = loss_figure(view), gradient_figure(view)
for figure in figures:
    draw(figure, 160, 48)
drawn_s = time.time()
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
assert view.last_step is not None and view.last_step.executed == int(sys.argv[2]), view.last_step
assert float(sys.argv[3]) in figures[0].series[0].y, "the spike is not in the curve"
print(imported_s, folded_s, drawn_s, peak_mb)
"""


def tables(steps: int) -> Iterator[Floats]:
    """The steps of a run in pieces (11, n): noisy falling loss, norms of which some are clipped, one spike."""
    random = np.random.default_rng(0)
    for first in range(1, steps + 1, COMMIT_STEPS):
        executed = np.arange(first, min(first + COMMIT_STEPS, steps + 1), dtype=np.float64)
        loss = (2.3 * np.exp(-executed / (steps / 9)) + 0.03) * random.lognormal(0.0, 0.35, len(executed))
        loss = loss.astype(np.float32).astype(np.float64)
        loss[executed == steps // 3] = LARGEST
        norm = random.lognormal(0.1, 0.6, len(executed)).astype(np.float32).astype(np.float64)
        time_s = executed / 412.0 + random.uniform(0, 1e-3, len(executed))
        values = {
            "executed": executed, "step": executed, "time_s": time_s, "epoch": executed // 468 + 1, "loss": loss,
            "norm_before": norm, "norm_after": norm * np.minimum(1.0, 1.0 / (norm + 1e-6)),
            "max_norm": np.ones_like(loss), "lr": np.full_like(loss, 1e-3), "accuracy": np.full_like(loss, np.nan),
            "overfit": np.zeros_like(loss),
        }  # fmt: skip
        yield np.stack([values[name] for name in STEP_COLUMNS])


def write(path: Path, steps: int, keep_every: int | None) -> dict[str, float]:
    """Write a run; gives the seconds it took, and bytes and the growth over the second half, per million steps."""
    halfway_bytes = 0
    begun_s = time.monotonic()
    with contextlib.closing(Store.create(path, keep_every)) as store:
        for number, table in enumerate(tables(steps)):
            store.commit(table, [])
            if number == steps // COMMIT_STEPS // 2:
                halfway_bytes = path.stat().st_size
    seconds = time.monotonic() - begun_s
    size = path.stat().st_size
    return {
        "seconds": seconds,
        "bytes_per_million": size / steps * 1e6,
        "growth_per_million": (size - halfway_bytes) / (steps / 2) * 1e6,
    }


def say_the_rest(path: Path, steps: int) -> None:
    """Go on with the run for a moment, as a resumed one: what it says of itself."""
    with Journal.reopen(path, executed=steps) as journal:
        journal.say(Status(state="running"))
        journal.say(Switches(values={"clip": True}))
        journal.say(_run(steps))
        for number in range(5000):
            journal.say(LogLine(stream="stdout", text=f"line {number}"))


def _run(steps: int) -> Run:
    return Run(
        preset="mnist", title="mnist", about="", device="cpu", data="", model="", optimizer="", parameters=1, epochs=1,
        steps_per_epoch=468, total_steps=steps, batch_size=128, seed=0, threads=1, torch="",
    )  # fmt: skip


def attach(path: Path, steps: int) -> dict[str, float]:
    """Seconds of a fresh process until it has imported, read and drawn, and its peak of memory."""
    begun_s = time.time()
    command = [sys.executable, "-c", VIEWER, str(path), str(steps), str(LARGEST)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    imported_s, folded_s, drawn_s, peak_mb = map(float, done.stdout.split())
    return {
        "import_s": imported_s - begun_s,
        "read_s": folded_s - imported_s,
        "draw_s": drawn_s - folded_s,
        "all_s": drawn_s - begun_s,
        "peak_mb": peak_mb,
    }


def measure(path: Path, steps: int, keep_every: int | None, rounds: int) -> dict[str, float]:
    """All numbers of one way of keeping a run; of the attaching the medians."""
    written = write(path, steps, keep_every)
    say_the_rest(path, steps)
    attached = [attach(path, steps) for _ in range(rounds)]
    return written | {name: statistics.median(each[name] for each in attached) for name in attached[0]}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--keep-every", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {}
    for keep_every in (None, options.keep_every):
        name = "all kept" if keep_every is None else f"--keep-every {keep_every}"
        with tempfile.TemporaryDirectory() as directory:
            results[name] = measure(Path(directory) / "journal.sqlite", options.steps, keep_every, options.rounds)
        print(
            "{}: {bytes_per_million:,.0f} bytes per million steps ({growth_per_million:,.0f} over the second half), "
            "written at {rate:,.0f} steps/s; attached in {all_s:.2f} s (import {import_s:.2f}, read {read_s:.3f}, "
            "draw {draw_s:.3f}), {peak_mb:.0f} MB".format(
                name, rate=options.steps / results[name]["seconds"], **results[name]
            ),
            flush=True,
        )
    if options.out:
        options.out.write_text(json.dumps({"steps": options.steps, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
