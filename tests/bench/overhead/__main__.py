"""What it costs to see: the step rate of every way to watch a training, against the bare loop.

    python -m tests.bench.overhead [--model tiny|cnn|transformer ...] [--rounds 9] [--only NAME ...] [--out FILE]

All contenders train the same preset at the same time, and all but one are always halted (SIGSTOP): in each round each
has a turn of a few seconds, so that a machine that is fast now and slow a minute later is so for all. Prints, for each,
the median over the rounds of the time of a step as a multiple of the bare loop's, and the quartiles; writes JSON with
--out. The bare loop, and the peers beside it, run in a terminal of 160x48, too. Peers that are not installed are left
out and named. Where nothing else runs.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tuitrain.bench.contender import Contender, Journalled, in_terminal, without_terminal
from tuitrain.bench.turns import EPOCHS, take_turns, warm_up
from tuitrain.engine.script.counting import Mark, read_count
from tuitrain.record.lease import read_lease

HERE = Path(__file__).parent
MODELS = {
    "tiny": (str(HERE / "tiny.toml"), 1),
    "cnn": ("mnist", None),
    "transformer": (str(HERE / "transformer.toml"), None),
}
"""Preset and threads, None for as many as torch takes."""
OURS = ("headless", "with screen", "detached, watched", "run, headless", "run, with screen")
PEERS = ("tqdm", "tensorboard", "wandb", "lightning")
BUDGET = {
    ("tiny", "headless"): 1.03,
    ("tiny", "with screen"): 1.06,
    ("tiny", "detached, watched"): 1.03,
    ("cnn", "headless"): 1.01,
    ("cnn", "with screen"): 1.02,
    ("transformer", "headless"): 1.01,
    ("transformer", "with screen"): 1.02,
}
"""Of the bare loop's time."""
START_S = 120.0


def measure(model: str, names: Sequence[str], rounds: int, turn_s: float) -> dict[str, list[float]]:
    """Seconds a step of each contender in each round."""
    preset, threads = MODELS[model]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    with tempfile.TemporaryDirectory() as directory, ExitStack() as leaving:
        contenders = []
        for name in names:  # one after the other: each starts alone
            state = Path(directory) / name.replace(" ", "-")
            state.mkdir()
            contender = _start(name, preset, state, environment | {"XDG_STATE_HOME": str(state)}, leaving)
            warm_up(contender)
            contenders.append(contender)
        rows = list(islice(take_turns(contenders, turn_s), rounds))
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _start(name: str, preset: str, state: Path, environment: dict[str, str], leaving: ExitStack) -> Contender:
    count, output = state / "steps", state / "output"
    bare = ["-m", "tuitrain.bench.bare", preset, str(count)]
    ours = [preset, "--epochs", str(EPOCHS)]
    mark: Callable[[], Mark] = lambda: read_count(count)  # noqa: E731

    def shown(*command: str) -> int:
        return leaving.enter_context(in_terminal([sys.executable, *command], environment, output))

    def headless(*command: str) -> int:
        return leaving.enter_context(without_terminal([sys.executable, *command], environment, output))

    match name:
        case "bare":
            return Contender(name, [shown(*bare)], mark)
        case "headless":
            return Contender(name, [headless("-m", "tuitrain", *ours, "--headless")], Journalled(state))
        case "with screen":
            return Contender(name, [shown("-m", "tuitrain", *ours)], Journalled(state))
        case "detached, watched":
            headless("-m", "tuitrain", *ours, "--detach")
            host = _host_of(state)
            leaving.callback(Contender(name, [host], mark).kill)
            return Contender(name, [host, shown("-m", "tuitrain", "watch")], Journalled(state))
        case "run, headless":
            return Contender(name, [headless("-m", "tuitrain", "run", "--headless", *bare)], mark)
        case "run, with screen":
            return Contender(name, [shown("-m", "tuitrain", "run", *bare)], mark)
        case peer:
            return Contender(name, [shown(str(HERE / "peers.py"), peer, preset, str(count))], mark)


def _host_of(state: Path) -> int:
    """The process of the only run recorded below a directory, once it records."""
    limit_s = time.monotonic() + START_S
    while not Journalled(state)().steps:
        if time.monotonic() > limit_s:
            raise TimeoutError(f"the detached run made no step within {START_S:.0f} s")
        time.sleep(0.1)
    (run,) = state.glob("tuitrain/runs/*")
    lease = read_lease(run)
    assert lease is not None, "a run that was begun has no lease"
    return lease.pid


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one contender took, beside the bare loop."""

    model: str
    contender: str
    median: float
    """Of the ratios to the bare loop's step, round by round."""
    quartiles: tuple[float, float]
    ratios: list[float]
    seconds_a_step: float
    budget: float | None

    def __str__(self) -> str:
        low, high = self.quartiles
        budget = "" if self.budget is None else f"   budget {self.budget:.2f}"
        return f"  {self.contender:20} {self.median:5.3f}   ({low:.3f} to {high:.3f}){budget}"


def rows(model: str, seconds: dict[str, list[float]]) -> list[Row]:
    """One row a contender."""
    table = []
    for name, own in seconds.items():
        ratios = [a / b for a, b in zip(own, seconds["bare"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        row = Row(
            model=model,
            contender=name,
            median=middle,
            quartiles=(low, high),
            ratios=ratios,
            seconds_a_step=statistics.median(own),
            budget=BUDGET.get((model, name)),
        )
        table.append(row)
    return table


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--only", nargs="+", choices=[*OURS, *PEERS], help="these contenders, beside the bare loop")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # for all, as tuitrain sets it for itself
    missing = [peer for peer in PEERS if importlib.util.find_spec(peer) is None]
    wanted = [name for name in options.only or (*OURS, *PEERS) if name not in missing]
    table: list[Row] = []
    for model in options.model:
        of_model = rows(model, measure(model, ["bare", *wanted], options.rounds, options.seconds))
        print(f"{model}: a bare step takes {1e3 * of_model[0].seconds_a_step:.3g} ms", *of_model, sep="\n", flush=True)
        table += of_model
    if missing:
        print(f"Not installed, so left out: {', '.join(missing)}")
    if options.out:
        machine = {"python": sys.version.split()[0], "cores": os.cpu_count()}
        options.out.write_text(
            json.dumps({"machine": machine, "rows": [asdict(row) for row in table]}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
