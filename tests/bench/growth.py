"""What grows with a run's length and a model's size: a viewer's time for a look and its memory, the writer's rate.

    python tests/bench/growth.py [--steps 1000 10000 ... 10000000] [--modules 10 100 1000 20000] [--out FILE]

A look is what the screen does while training: read what is new (a step, written between two looks), fold it in, draw
both charts at 160x48. For a model it is new gradient norms of every parameter, shown by the Model pane in a screen of
that size. Each row is measured in a process of its own. Prints two tables; writes JSON with --out.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.bench.attach import say_the_rest, write
from tuitrain.record.events import GradientNorms, ModuleRow, ModuleTree, Step
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.state import RunView

LOOKS = 30
STEP = Step(
    epoch=1, loss=0.5, norm_before=1.0, norm_after=1.0, max_norm=1.0, lr=1e-3, accuracy=float("nan"), overfit=False
)


def look_at_run(path: Path, steps: int) -> dict[str, float]:
    """The median of a viewer's looks at a run that goes on (ms), the first one (ms), and the peak of memory (MB)."""
    from tuitrain.ui.figures import gradient_figure, loss_figure
    from tuitrain.ui.plot import draw

    view, took_ms = RunView(), []
    with Journal.reopen(path, executed=steps) as journal, contextlib.closing(Reader(path)) as reader:
        for number in range(steps + 1, steps + LOOKS + 2):
            journal.steps([_numbered(number)])
            journal.commit()
            began_s = time.perf_counter()
            view.update(reader.poll())
            for figure in (loss_figure(view), gradient_figure(view)):
                draw(figure, 160, 48)
            took_ms.append(1e3 * (time.perf_counter() - began_s))
            if view.last_step is None or view.last_step.executed != number:
                raise RuntimeError(f"step {number} was not seen")
    return {"first_ms": took_ms[0], "look_ms": statistics.median(took_ms[1:]), "peak_mb": _peak_mb()}


def look_at_model(modules: int) -> dict[str, float]:
    """The median of the Model pane's looks at new norms (ms), the first one (ms), and the peak of memory (MB)."""
    took_ms = asyncio.run(_look_at_model(modules))
    return {"first_ms": took_ms[0], "look_ms": statistics.median(took_ms[1:]), "peak_mb": _peak_mb()}


async def _look_at_model(modules: int) -> list[float]:
    from textual.app import App, ComposeResult

    from tuitrain.ui.panes.model import ModelPane

    class OnePane(App[None]):
        def compose(self) -> ComposeResult:
            yield ModelPane()

    rows = tuple(_rows(modules))
    view, took_ms = RunView(), []
    random = np.random.default_rng(0)
    parameters = [row.path for row in rows if row.kind == "parameter"]
    app = OnePane()
    async with app.run_test(size=(160, 48)) as pilot:
        pane = app.query_one(ModelPane)
        view.tree = ModuleTree(rows=rows)
        for _ in range(LOOKS + 1):
            norms = dict(zip(parameters, random.random(len(parameters)).tolist(), strict=True))
            view.gradient_norms = GradientNorms(norms=norms)
            began_s = time.perf_counter()
            pane.show(view)
            await pilot.pause()
            took_ms.append(1e3 * (time.perf_counter() - began_s))
    return took_ms


def _rows(modules: int) -> list[ModuleRow]:
    """Blocks of nine linear layers each, in a list."""
    rows = [ModuleRow(path="", kind="module", type="Net", count=modules)]
    for number in range(modules):
        block, layer = divmod(number, 10)
        path = f"blocks.{block}" + (f".linear{layer}" if layer else "")
        rows.append(ModuleRow(path=path, kind="module", type="Linear" if layer else "Block", count=1, training=True))
        if layer:
            rows.append(ModuleRow(path=f"{path}.weight", kind="parameter", type="Parameter", shape=(1,), count=1))
    return rows


def _numbered(number: int) -> Step:
    import msgspec

    return msgspec.structs.replace(STEP, executed=number, step=number, time_s=float(number))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _in_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.growth", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _of_run(steps: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal.sqlite"
        written = write(path, steps, None)
        say_the_rest(path, steps)
        return {"steps_a_s": steps / written["seconds"]} | _in_process("--look-at-run", str(path), str(steps))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[10**exponent for exponent in range(3, 8)])
    parser.add_argument("--modules", type=int, nargs="+", default=[10, 100, 1000, 20000])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--look-at-run", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--look-at-model", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look_at_run:
        path, steps = options.look_at_run
        print(json.dumps(look_at_run(Path(path), int(steps))))
        return
    if options.look_at_model:
        print(json.dumps(look_at_model(options.look_at_model)))
        return
    print("     steps   written (steps/s)   first look (ms)   a look (ms)   peak (MB)")
    runs = {}
    for steps in options.steps:
        runs[steps] = row = _of_run(steps)
        line = "{:10,} {steps_a_s:19,.0f} {first_ms:17.1f} {look_ms:13.2f} {peak_mb:11.0f}"
        print(line.format(steps, **row), flush=True)
    print("   modules   first look (ms)   a look (ms)   peak (MB)")
    models = {}
    for modules in options.modules:
        models[modules] = row = _in_process("--look-at-model", str(modules))
        print("{:10,} {first_ms:17.1f} {look_ms:13.2f} {peak_mb:11.0f}".format(modules, **row), flush=True)
    if options.out:
        options.out.write_text(json.dumps({"runs": runs, "models": models}, indent=1) + "\n")


if __name__ == "__main__":
    main()
