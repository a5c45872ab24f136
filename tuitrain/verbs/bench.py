"""`tuitrain bench`: what it costs to watch a training of the user's own, on the user's own machine."""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import click

from tuitrain.arguments import Positive
from tuitrain.bench.contender import Contender, Journalled, in_terminal, without_terminal
from tuitrain.bench.turns import EPOCHS, take_turns, warm_up
from tuitrain.engine.script.counting import Mark, read_count
from tuitrain.engine.script.host import INJECTED
from tuitrain.engine.script.messages import COUNT_VARIABLE, PYTHONPATH_BEFORE
from tuitrain.errors import UserError
from tuitrain.preset import preset_names

TURN_S = 2.0
LEAST_ROUNDS = 3
BARE, HEADLESS, SCREEN = "bare", "headless", "with screen"
SHOWN = {
    BARE: "nothing watches",
    HEADLESS: "tuitrain, without a screen",
    SCREEN: "tuitrain, with its screen (160x48)",
}

Place = Callable[[Sequence[str], dict[str, str], Path], AbstractContextManager[int]]


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Measure what it costs to watch a script or a preset.",
)
@click.option("--seconds", type=Positive(), default=60.0, help="How long to measure, once all train [60].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.argument("target", nargs=-1, type=click.UNPROCESSED, metavar="TARGET [ARGUMENTS]...", required=True)
def bench(target: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Measure what it costs to watch a script of your own, or a preset, here and now.

    It trains three times at once: bare, watched without a screen, and watched with one. Two of them are always halted;
    they take turns of a few seconds. What a script writes, it writes three times; where nothing else runs the numbers
    are best.
    """
    with tempfile.TemporaryDirectory() as directory, ExitStack() as leaving:
        contenders = [_start(name, target, Path(directory), leaving) for name in SHOWN]
        click.echo(f"Measuring for {seconds:.0f} s", err=True)
        rounds = _measure(contenders, seconds)
    if as_json:
        click.echo(json.dumps(_as_object(target, rounds)))
    else:
        click.echo("\n".join(_as_lines(target, rounds)))


def _start(name: str, target: Sequence[str], directory: Path, leaving: ExitStack) -> Contender:
    """Start one, wait until it trains, and halt it."""
    click.echo(f"Starting {target[0]}: {SHOWN[name]}", err=True)
    state = directory / name.replace(" ", "-")
    state.mkdir()
    command, environment, mark = _recipe(name, target, state)
    place: Place = in_terminal if name == SCREEN else without_terminal
    output = state / "output"
    process = leaving.enter_context(place(command, environment, output))
    contender = Contender(name, [process], mark)
    try:
        warm_up(contender)
    except UserError as error:
        raise UserError(f"{error}{_last_line(output)}") from error
    return contender


def _recipe(name: str, target: Sequence[str], state: Path) -> tuple[list[str], dict[str, str], Callable[[], Mark]]:
    """The command line, the environment, and what reads how far it is."""
    environment = os.environ | {"XDG_STATE_HOME": str(state)}
    counter = state / "steps"
    preset = target[0] in preset_names() or target[0].endswith(".toml")
    if name != BARE:
        watched = [*target, "--epochs", str(EPOCHS)] if preset else ["run", *target]
        split = 1  # the verb or the preset: our own options come right after it
        watched[split:split] = ["--headless"] if name == HEADLESS else []
        return [sys.executable, "-m", "tuitrain", *watched], environment, Journalled(state)
    if preset:
        spinning = {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "20000")}  # as tuitrain has it for its presets
        command = [sys.executable, "-m", "tuitrain.bench.bare", target[0], str(counter)]
        return command, environment | spinning, lambda: read_count(counter)
    before = environment.get("PYTHONPATH")
    path = os.pathsep.join([str(INJECTED), *([before] if before else [])])
    counting = {COUNT_VARIABLE: str(counter), "PYTHONPATH": path}
    kept = {PYTHONPATH_BEFORE: before} if before is not None else {}
    return [sys.executable, *target], environment | counting | kept, lambda: read_count(counter)


def _measure(contenders: Sequence[Contender], seconds: float) -> list[list[float]]:
    """Seconds a step, one row a round, for as long as it says, but for a few rounds at least."""
    end_s = time.monotonic() + seconds
    rounds: list[list[float]] = []
    for row in take_turns(contenders, TURN_S):
        rounds.append(row)
        if time.monotonic() >= end_s and len(rounds) >= LEAST_ROUNDS:
            break
    return rounds


def _as_object(target: Sequence[str], rounds: list[list[float]]) -> dict[str, object]:
    """What was measured: of each way the seconds a step, and the ratio of its rate to the bare one's."""
    ways = []
    for index, name in enumerate(SHOWN):
        ratios = [row[0] / row[index] for row in rounds]
        low, middle, high = statistics.quantiles(ratios, n=4)
        seconds = statistics.median(row[index] for row in rounds)
        ways.append({"way": name, "seconds_a_step": seconds, "rate": middle, "quartiles": [low, high]})
    return {"target": " ".join(target), "cores": os.cpu_count(), "rounds": len(rounds), "ways": ways}


def _as_lines(target: Sequence[str], rounds: list[list[float]]) -> list[str]:
    measured = _as_object(target, rounds)
    lines = [f"{measured['target']}: the rate of steps beside the bare one's, median of {len(rounds)} rounds"]
    for way in measured["ways"]:  # type: ignore[attr-defined]
        low, high = way["quartiles"]
        spread = "" if way["way"] == BARE else f"   half of the rounds {low:.3f} to {high:.3f}"
        lines.append(f"  {SHOWN[way['way']]:36} {1 / way['seconds_a_step']:9.1f} steps/s   {way['rate']:.3f}{spread}")
    return lines


def _last_line(output: Path) -> str:
    """What it printed last, as a sentence."""
    lines = output.read_text(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" It printed last: {last}" if last.isprintable() and last else ""
