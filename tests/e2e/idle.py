"""What a process takes of the processor's time while it trains and nobody sees it. Looks into /proc."""

from pathlib import Path

import psutil

from tests.e2e.watched import ENDLESS, Watched
from tests.e2e.witness import wait_until

RUN = ("mnist", *ENDLESS, "--batch-size", "8")
STEPS = 250
MOST_TICKS = 3
"""Of the processor's time, each 10 ms: for a thread that has nothing to do."""


def assert_idle_but_for_training(run: Watched) -> None:
    """Over some hundred steps the thread that drew the screen takes nothing, and next to what trains none takes much.

    One that reads a terminal which is gone for ever would take as much.
    """
    before = ticks(run.pid)
    await_steps(run, STEPS)
    taken = {thread: count - before.get(thread, 0) for thread, count in ticks(run.pid).items()}
    trainer = max(taken, key=lambda thread: taken[thread])
    assert trainer != run.pid
    assert taken[run.pid] <= MOST_TICKS
    assert sum(taken.values()) - taken[trainer] <= taken[trainer] / 4


def ticks(pid: int) -> dict[int, int]:
    """What each thread of a process ever took of the processor's time."""
    taken = {}
    for path in Path(f"/proc/{pid}/task").iterdir():
        fields = (path / "stat").read_bytes().rpartition(b") ")[2].split()
        taken[int(path.name)] = int(fields[11]) + int(fields[12])
    return taken


def await_steps(run: Watched, more: int) -> None:
    """Wait until so many more steps were executed, without a look at the terminal."""
    goal = run.executed + more
    wait_until(lambda: run.executed >= goal, psutil.Process(run.pid))
