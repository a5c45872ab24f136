"""A run as its host records it, but for the training itself: what is killed a hundred times must begin at once."""

import itertools
import math
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.witness import Witness
from tuitrain.engine.recorder import Recorder
from tuitrain.record import file
from tuitrain.record.events import Status, Step
from tuitrain.record.journal import Journal
from tuitrain.record.lease import write_lease
from tuitrain.record.runs import JOURNAL

SetMode = Callable[[sqlite3.Connection, str], None]

WITNESS = "witness"
STEP_S = 0.002
HANDED_IN_EVERY_S = 0.1
"""As often as the steps of a run are brought from the device."""
LINE_EVERY = 20
"""Steps from one log line to the next."""


def step(executed: int) -> Step:
    """What is recorded of a step."""
    return Step(
        executed=executed, step=executed, epoch=1, loss=1 / executed, norm_before=1.0, norm_after=1.0,
        max_norm=math.nan, lr=0.1, accuracy=math.nan, overfit=False,
    )  # fmt: skip


def produce(directory: Path, *, wal: bool = True) -> None:
    """Execute steps for ever, and record them in `directory`; a witness there says what was executed.

    Without `wal` as on a file system that carries none, such as NFS.
    """
    if not wal:
        file._set_mode = _set_mode_without_wal
    directory.mkdir()
    write_lease(directory)
    recorder, witness = Recorder(Journal(directory / JOURNAL)), Witness(directory / WITNESS)
    recorder.say(Status, state="running")
    steps, hand_in_s = list[Step](), 0.0
    for executed in itertools.count(1):
        time.sleep(STEP_S)  # for a device that computes
        steps.append(step(executed))
        witness.saw(executed)
        recorder.position.executed = recorder.position.step = executed
        if executed % LINE_EVERY == 0:
            recorder.log(line(executed))
        if recorder.now_s > hand_in_s:
            recorder.steps(steps)
            steps, hand_in_s = [], recorder.now_s + HANDED_IN_EVERY_S


def _set_mode_without_wal(database: sqlite3.Connection, mode: str, set_mode: SetMode = file._set_mode) -> None:
    if mode == "WAL":
        raise sqlite3.OperationalError("there is no shared memory")
    set_mode(database, mode)


def line(executed: int) -> str:
    """What is said after a step."""
    return f"executed {executed}"
