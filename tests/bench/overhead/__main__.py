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
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.overhead.contenders import Contender, Workplace

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
WARM_UP_S = 2.0
"""Of its own time that each trains before the first round: what is dear once was done."""
SETTLING_S = 0.5
"""Of each turn, not counted: the caches are another's."""
START_S = 180.0


def measure(model: str, names: Sequence[str], rounds: int, turn_s: float) -> dict[str, list[float]]:
    """Seconds a step of each contender in each round."""
    preset, threads = MODELS[model]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as directory, Workplace(preset, threads, Path(directory)) as workplace:
        contenders = []
        for name in names:  # one after the other: each starts alone
            contender = workplace.start(name)
            _warm_up(contender)
            contender.halt()
            contenders.append(contender)
        for number in range(rounds):
            for contender in contenders if number % 2 == 0 else contenders[::-1]:
                seconds[contender.name].append(_turn(contender, turn_s))
    return seconds


def _warm_up(contender: Contender) -> None:
    deadline_s = time.monotonic() + START_S
    while contender.mark().steps < 2:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{contender.name} made no step within {START_S:.0f} s")
        time.sleep(0.1)
    time.sleep(WARM_UP_S)


def _turn(contender: Contender, turn_s: float) -> float:
    """Seconds a step, in one turn, made longer where steps are long."""
    contender.go_on()
    time.sleep(SETTLING_S)
    began, limit_s = contender.mark(), time.monotonic() + START_S
    time.sleep(turn_s)
    while (ended := contender.mark()).steps < began.steps + 5:
        if time.monotonic() > limit_s:
            raise TimeoutError(f"{contender.name} does not go on")
        time.sleep(0.1)
    contender.halt()
    return (ended.time_s - began.time_s) / (ended.steps - began.steps)


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
