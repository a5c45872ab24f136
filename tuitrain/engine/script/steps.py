"""A step of a script as the journal has it: what is known at once, and what comes later from the device."""

import math
from typing import NamedTuple

from torch.optim import Optimizer

from tuitrain.engine.gradients import norm_after
from tuitrain.engine.recorder import Position
from tuitrain.engine.scalars import Row
from tuitrain.engine.script.rounds import Phase
from tuitrain.record.events import Step


class Note(NamedTuple):
    """What is known of a step while its scalars are still on the device."""

    executed: int
    step: int
    epoch: int
    time_s: float
    threshold: float
    lr: float
    overfit: bool
    after_measured: bool


def note_of(position: Position, time_s: float, phase: Phase, *, overfit: bool) -> Note:
    """The step that has just ended, of which `phase` stands for all."""
    gathered = phase.gathered
    return Note(
        position.executed,
        position.step,
        position.epoch,
        time_s,
        gathered.threshold,
        phase.lr,
        overfit,
        gathered.norm_after is not None,
    )


def step_of(note: Note, row: Row) -> Step:
    """The step, now that its scalars are there."""
    return Step(
        executed=note.executed,
        step=note.step,
        time_s=note.time_s,
        epoch=note.epoch,
        loss=row.loss,
        norm_before=row.norm_before,
        norm_after=row.norm_after if note.after_measured else norm_after(row.norm_before, note.threshold),
        max_norm=note.threshold,
        lr=note.lr,
        accuracy=math.nan,
        overfit=note.overfit,
    )


def rate_of(optimizer: Optimizer) -> float:
    """The rate of an optimizer's first group; NaN where it is a tensor on a device, which reading would wait for."""
    rate = optimizer.param_groups[0]["lr"]
    return float(rate) if isinstance(rate, int | float) or rate.device.type == "cpu" else math.nan
