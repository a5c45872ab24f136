"""The curves of a training, as they come from the device in batches."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tuitrain.checks.judge import Judge
from tuitrain.engine.observer import Observed, Observer
from tuitrain.record.events import Step

WINDOW_STEPS = 20
"""Losses are compared as means over so many steps."""
REMEMBERED = 400


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The run's own steps so far, a window at a time."""

    steps: int
    not_finite: int
    """Steps in a row, up to the last one, whose loss was NaN or infinite."""
    means: Sequence[float]
    """Mean losses of the windows so far, the latest last."""
    still: int
    """Steps in a row, up to the last one, with a learning rate of 0."""


class Numbers(Observer):
    """Has the curves judged at the end of each window, and where a loss is not finite."""

    name = "the checks of the curves"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._judge = judge
        self._steps = 0
        self._not_finite = 0
        self._still = 0
        self._window: list[float] = []
        self._means: deque[float] = deque(maxlen=REMEMBERED)

    def steps(self, steps: Sequence[Step]) -> None:
        """Take in what has come; a batch that is overfitted has a curve of its own."""
        for step in steps:
            if not step.overfit:
                self._take(step)

    def _take(self, step: Step) -> None:
        self._steps += 1
        finite = math.isfinite(step.loss)
        # a loss that is not known is NaN too: then no norm of its gradient is
        self._not_finite = 0 if finite or math.isfinite(step.norm_before) else self._not_finite + 1
        self._still = self._still + 1 if step.lr == 0.0 else 0
        self._window.append(step.loss if finite else math.inf)
        full = len(self._window) == WINDOW_STEPS
        if full:
            self._means.append(sum(self._window) / WINDOW_STEPS)
            self._window.clear()
        if full or self._not_finite:
            self._judge(
                Curves(steps=self._steps, not_finite=self._not_finite, means=tuple(self._means), still=self._still)
            )
