"""Killed with -9 at any moment: the journal opens and holds the run up to less than a second before, and it goes on."""

import contextlib
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.detached import say
from tests.e2e.forked import FORKED
from tests.e2e.producing import LINE_EVERY, WITNESS, line, produce, step
from tests.e2e.terminal import ROOT, TIMEOUT_S, environment, tuitrain
from tests.e2e.watched import ENDLESS
from tests.e2e.witness import lost_s, wait_until, with_witness, witnessed
from tuitrain.record.events import AnyEvent, End, LogLine, Step
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.runs import JOURNAL, RunSummary, list_runs, owner_lives, release_lease, take_lease

AT_A_TIME = 12
LONGEST_LIFE_S = 2.0
MOST_LOST_S = 1.0


REAL_RUNS = 3
REAL_RUN = ("mnist", *ENDLESS, "--batch-size", "8", "--checkpoint-every", "20", "--headless")


class Killed(NamedTuple):
    """A run, the witness of what it executed, and when it was killed."""

    directory: Path
    witness: Path
    killed_s: float


@pytest.mark.parametrize(("kills", "wal"), [(100, True), (40, False)], ids=["in WAL", "without"])
def test_killed_at_a_hundred_moments(kills: int, wal: bool, tmp_path: Path) -> None:
    chance = random.Random(kills)
    lives_s = {tmp_path / f"run-{number}": chance.uniform(0, LONGEST_LIFE_S) for number in range(kills)}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        killed = list(pool.map(lambda life: live_and_be_killed(*life, wal=wal), lives_s.items()))
    listed = {run.name: run for run in list_runs(tmp_path)}
    begun = [each for each in killed if each.directory.name in listed]  # one that had no journal yet is no run
    recorded = [check_what_is_recorded(each, listed[each.directory.name]) for each in begun]
    assert sum(count > 0 for count in recorded) > kills / 2
    for each, count in zip(begun, recorded, strict=True):
        check_it_goes_on(each.directory, after=chance.randint(0, count))


def live_and_be_killed(directory: Path, for_s: float, *, wal: bool) -> Killed:
    process = FORKED.Process(target=produce, args=(directory,), kwargs={"wal": wal})
    process.start()
    process.join(for_s)
    assert process.exitcode is None
    killed_s = time.monotonic()
    process.kill()
    process.join(TIMEOUT_S)
    assert not process.is_alive()
    return Killed(directory, directory / WITNESS, killed_s)


def check_what_is_recorded(killed: Killed, listed: RunSummary) -> int:
    """All that was executed up to a second before, as it was, and nothing else; gives how many steps that are."""
    times_s = witnessed(killed.witness)
    steps, events = everything(killed.directory)
    lines = [event.text for event in events if isinstance(event, LogLine)]
    said = LINE_EVERY * len(lines)
    assert repr(steps) == repr([step(executed) for executed in range(1, len(steps) + 1)])
    assert lines == [line(executed) for executed in range(LINE_EVERY, said + 1, LINE_EVERY)]
    assert max(len(steps), said) <= len(times_s)
    assert lost_s(times_s, len(steps), killed.killed_s) < MOST_LOST_S
    assert lost_s(times_s, said + LINE_EVERY - 1, killed.killed_s) < MOST_LOST_S
    assert (listed.state, listed.steps) == (f"died at step {len(steps):,}", len(steps))
    return len(steps)


def check_it_goes_on(directory: Path, *, after: int) -> None:
    """The run can be taken over, and its journal goes on from a step of it."""
    assert not owner_lives(directory)
    take_lease(directory)
    assert owner_lives(directory)
    more = [step(executed) for executed in range(after + 1, after + 101)]
    with Journal.reopen(directory / JOURNAL, executed=after) as journal:
        journal.steps(more)
    release_lease(directory)
    steps, _ = everything(directory)
    assert repr(steps) == repr([*(step(executed) for executed in range(1, after + 1)), *more])


def everything(directory: Path) -> tuple[list[Step], list[AnyEvent]]:
    """All that the journal of a run holds."""
    with closing(Reader(directory / JOURNAL, whole=True)) as reader:
        steps, events, _, _ = reader.poll()
    return steps, events


def test_killed_while_it_trains_it_is_recorded_up_to_then_and_can_be_resumed(tmp_path: Path) -> None:
    chance = random.Random(0)
    lives_s = {tmp_path / f"home-{number}": chance.uniform(0.2, LONGEST_LIFE_S) for number in range(REAL_RUNS)}
    with ThreadPoolExecutor(REAL_RUNS) as pool:
        reached = list(pool.map(lambda life: train_and_be_killed(*life), lives_s.items()))
        assert min(reached) > 0
        list(pool.map(resume, lives_s, reached))


def train_and_be_killed(home: Path, for_s: float) -> int:
    """Train from the first step on for so long; how many steps are recorded then."""
    home.mkdir()
    witness = home / WITNESS
    env = environment(home) | with_witness(witness)
    with subprocess.Popen(tuitrain(*REAL_RUN), cwd=ROOT, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: any(home.rglob("*.pt")) and any(home.rglob("*.pt.sha256")), process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(for_s)
            assert process.poll() is None
            killed_s = time.monotonic()
        finally:
            process.kill()
    times_s, (steps, _) = witnessed(witness), everything(run_in(home))
    assert [each.executed for each in steps] == list(range(1, len(steps) + 1))
    assert len(steps) <= len(times_s)
    assert lost_s(times_s, len(steps), killed_s) < MOST_LOST_S
    (listed,) = list_runs(run_in(home).parent)
    assert listed.state == f"died at step {len(steps):,}"
    return len(steps)


def resume(home: Path, reached: int) -> None:
    """Go on with what was killed, to a step beyond; the record has all steps up to there, once each."""
    goal = reached + 20
    resumed = say(home, "resume", run_in(home).name, "--headless", "--steps", str(goal))
    assert (resumed.code, resumed.err) == (0, "")
    steps, events = everything(run_in(home))
    assert [each.step for each in steps] == list(range(1, goal + 1))
    (end,) = (event for event in events if isinstance(event, End))
    assert (end.steps, end.reason) == (goal, "steps")


def run_in(home: Path) -> Path:
    (journal,) = home.rglob(JOURNAL)
    return journal.parent
