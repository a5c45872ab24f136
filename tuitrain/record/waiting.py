"""What waits to be written to a journal: checked, and held within bounds while the disk takes nothing."""

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tuitrain.record.curves import STEP_COLUMNS, column, no_steps
from tuitrain.record.packing import Floats
from tuitrain.record.rows import LINES, Said

StepRow = tuple[float, ...]
"""The fields of a step, in the order of STEP_COLUMNS."""

MOST_STEPS = 131_072
"""Steps that wait in memory, at most: 11 MiB. Beyond that some are dropped, spikes last."""

MOST_LINES = 10_000
"""Log lines that wait in memory, at most; beyond that the oldest are dropped."""

AT_ONCE = 16_384
"""Steps in one commit, at most: it then takes some tens of milliseconds."""

MOST_MISSING = 1_000_000
"""A step whose number lies further than this from the last one is no step of this run."""

_THINNED = 8
_WHOLE_NUMBERS = [STEP_COLUMNS.index(name) for name in ("executed", "step", "epoch", "overfit")]


class Waiting:
    """Steps and events that wait, in order."""

    def __init__(self, executed: int) -> None:
        """`executed` is the last step that was recorded."""
        self._last = executed
        self._steps = no_steps()
        self._new: list[StepRow] = []
        self._said: deque[Said] = deque()
        self._lines = 0
        self._lost: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._steps.shape[1] or self._new or self._said)

    @property
    def lost(self) -> str:
        """What could not be kept and why, as text; empty if nothing was lost."""
        return ", ".join(f"{count:,} {what}" for what, count in self._lost.items())

    def add_steps(self, rows: Sequence[StepRow]) -> None:
        """Steps, in order."""
        self._new.extend(rows)

    def add_said(self, said: Said) -> None:
        """An event."""
        self._said.append(said)
        self._lines += said.kind == LINES
        if self._lines > MOST_LINES:
            oldest = next(index for index, each in enumerate(self._said) if each.kind == LINES)
            del self._said[oldest]
            self._lines -= 1
            self._lost["log lines for which there was no room"] += 1

    def next(self) -> "Part":
        """What to write next: steps, and with the last of them what was said.

        What is no step, or was recorded before, is dropped and counted as lost.
        """
        self._take_new()
        all_ = self._steps.shape[1] <= AT_ONCE
        return Part(self._steps[:, :AT_ONCE], list(self._said) if all_ else [])

    def written(self, part: "Part") -> None:
        """Forget what `next` gave."""
        self._steps = self._steps[:, part.steps.shape[1] :]
        if part.said:
            self._said.clear()
            self._lines = 0

    def _take_new(self) -> None:
        steps = self._checked(self._new)
        self._new = []
        if steps.shape[1]:
            self._last = int(column(steps, "executed")[-1])
            self._steps = np.concatenate([self._steps, steps], axis=1)
        while self._steps.shape[1] > MOST_STEPS:
            thinned = thin(self._steps)
            self._lost["steps for which there was no room"] += self._steps.shape[1] - thinned.shape[1]
            self._steps = thinned

    def _checked(self, rows: Sequence[StepRow]) -> Floats:
        try:
            steps = np.array(rows, np.float64).reshape(len(rows), len(STEP_COLUMNS)).T
        except (TypeError, ValueError, OverflowError):
            steps = None
        if steps is not None and self._follow(steps):
            return steps
        return self._sound(rows)

    def _follow(self, steps: Floats) -> bool:
        """Whether all steps can be recorded after the last one."""
        advances = np.diff(column(steps, "executed"), prepend=self._last)
        whole = steps[_WHOLE_NUMBERS]
        return bool((advances >= 1).all() and (advances <= MOST_MISSING).all() and (whole == np.floor(whole)).all())

    def _sound(self, rows: Sequence[StepRow]) -> Floats:
        """Those of the rows that can be recorded, one by one."""
        sound = list[StepRow]()
        last = self._last
        for row in rows:
            why = _unsound(row, last)
            if why:
                self._lost[why] += 1
            else:
                sound.append(row)
                last = int(row[0])
        return np.array(sound, np.float64).reshape(len(sound), len(STEP_COLUMNS)).T


class Part(NamedTuple):
    """What is written in one commit."""

    steps: Floats
    said: list[Said]


def _unsound(row: StepRow, last: int) -> str:
    """Why a row cannot be recorded after step `last`; empty if it can."""
    try:
        values = [float(value) for value in row]
        sound = len(row) == len(STEP_COLUMNS)
        sound = sound and all(values[index] == math.floor(values[index]) for index in _WHOLE_NUMBERS)
    except (TypeError, ValueError, OverflowError):
        sound = False
    if not sound:
        return "steps that hold what no step holds"
    if values[0] <= last:
        return "steps that were recorded before"
    return "" if values[0] - last <= MOST_MISSING else "steps that are far from the others"


def thin(steps: Floats) -> Floats:
    """About half of the steps (11, N): of each eight the last, and those where the loss or the norm is an extreme."""
    count = steps.shape[1]
    kept = np.zeros(count, np.bool_)
    kept[_THINNED - 1 :: _THINNED] = True
    kept[-1] = True
    starts = np.arange(0, count - count % _THINNED, _THINNED)
    for name, sign in (("loss", 1), ("loss", -1), ("norm_before", 1)):
        values = np.nan_to_num(sign * column(steps, name)[: len(starts) * _THINNED], nan=np.inf)
        kept[starts + values.reshape(-1, _THINNED).argmax(axis=1)] = True
    return steps[:, kept]
