"""`tuitrain bench`: its trainings take turns, are counted right, and leave nothing behind."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from tuitrain.bench import turns
from tuitrain.bench.contender import Contender, in_terminal, without_terminal
from tuitrain.bench.turns import take_turns, warm_up
from tuitrain.cli import tuitrain
from tuitrain.engine.script.counting import Counter, Mark, read_count
from tuitrain.errors import UserError

COUNTS = """
import sys, time
from pathlib import Path
from tuitrain.engine.script.counting import Counter
counter = Counter(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    time.sleep(float(sys.argv[3]))
    counter.step()
"""
PARENT = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)"
SCRIPT = """
import sys
import torch
from torch.utils.data import DataLoader, TensorDataset
assert sys.argv[1:] == ["--its", "own"]
print("begun")
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
loader = DataLoader(TensorDataset(torch.ones(64, 8), torch.ones(64, 1)), batch_size=8)
while True:
    for inputs, targets in loader:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
"""


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns in which little is counted: what is measured here is not looked at."""
    monkeypatch.setattr(turns, "WARM_UP_S", 0.0)
    monkeypatch.setattr(turns, "SETTLING_S", 0.15)  # longer than what waits in between for anything


@contextlib.contextmanager
def counting(directory: Path, name: str, *, steps: int = 10**9, pause_s: float = 0.002) -> Iterator[Contender]:
    """A process whose child counts."""
    count = directory / name
    command = [sys.executable, "-c", PARENT, "-c", COUNTS, str(count), str(steps), str(pause_s)]
    place = in_terminal if name == "shown" else without_terminal
    with place(command, {}, directory / "output") as process:
        yield Contender(name, [process], lambda: read_count(count))


def test_only_one_of_them_trains_at_a_time_and_all_are_ended(tmp_path: Path) -> None:
    with counting(tmp_path, "plain") as plain, counting(tmp_path, "shown", pause_s=0.02) as shown:
        family = [child for each in (plain, shown) for child in psutil.Process(each.pids[0]).children(recursive=True)]
        for contender in (plain, shown):
            warm_up(contender)
        stood = plain.mark(), shown.mark()
        rounds = list(islice(take_turns([plain, shown], 0.2), 2))
        assert all(fast < slow for fast, slow in rounds)
        assert all(slow >= 0.02 for _, slow in rounds)  # as long as a step of its own takes at the least
        between = plain.mark(), shown.mark()
        assert all(now.steps > before.steps for now, before in zip(between, stood, strict=True))
        shown.go_on()
        _wait(lambda: shown.mark().steps > between[1].steps)
        assert plain.mark() == between[0]
        family += [child for each in (plain, shown) for child in psutil.Process(each.pids[0]).children(recursive=True)]
    assert len(set(family)) == 2
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


def test_one_that_ends_is_no_number(tmp_path: Path) -> None:
    def measure(contender: Contender) -> None:
        warm_up(contender)
        list(take_turns([contender], 0.1))

    with counting(tmp_path, "short", steps=4) as short, pytest.raises(UserError, match="short training ended after 4"):
        measure(short)


def test_one_that_stands_still_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LIMIT_S", 0.3)
    still = counting(tmp_path, "still", pause_s=3600.0)
    with still as contender, pytest.raises(UserError, match="still training has not made two steps within"):
        warm_up(contender)


def test_a_count_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "count"
    assert read_count(path) == Mark(0, 0.0)
    counter = Counter(path)
    assert read_count(path).steps == 0
    before_s = time.monotonic()
    counter.step()
    counter.step()
    steps, time_s = read_count(path)
    assert steps == 2
    assert before_s <= time_s <= time.monotonic()


def test_a_script_is_measured_bare_and_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr("tuitrain.verbs.bench.TURN_S", 0.1)
    done = CliRunner().invoke(tuitrain, ["bench", "--json", "--seconds", "0.1", str(script), "--its", "own"])
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)
    assert measured["target"] == f"{script} --its own"
    assert measured["rounds"] >= 3
    bare, *watched = measured["ways"]
    assert (bare["way"], bare["rate"]) == ("bare", 1.0)
    assert [way["way"] for way in watched] == ["headless", "with screen"]
    assert all(way["rate"] > 0 and way["seconds_a_step"] > 0 for way in watched)


def test_a_script_that_fails_is_one_sentence(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("raise SystemExit('no data here')")
    done = CliRunner().invoke(tuitrain, ["bench", str(script)])
    assert done.exit_code == 2
    assert done.stderr.endswith(
        "The bare training ended after 0 steps, too soon to be measured. It printed last: no data here\n"
    )


def test_the_bare_loop_of_a_preset_trains(tmp_path: Path) -> None:
    count = tmp_path / "count"
    command = [sys.executable, "-m", "tuitrain.bench.bare", "unregistered", str(count)]
    with without_terminal(command, {}, tmp_path / "output") as process:
        contender = Contender("bare", [process], lambda: read_count(count))
        _wait(lambda: contender.mark().steps > 2 or not contender.lives)
        assert contender.lives, (tmp_path / "output").read_text()


def _wait(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
