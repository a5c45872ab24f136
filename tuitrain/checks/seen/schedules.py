"""Steps of learning rate schedules, against those of their optimizers and the batches of an epoch.

A schedule counts its own steps, which is all that is read: none of its calls is observed.
"""

import weakref
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from tuitrain.checks.judge import Judge
from tuitrain.engine.observer import Observed, Observer

MOST_STEPS = 20_000
"""Steps of an optimizer whose schedules are followed."""


@dataclass(frozen=True, kw_only=True)
class ScheduleState:
    """Where a schedule is, after its optimizer has stepped."""

    VANISHED: ClassVar[float] = 1e-3
    """A learning rate below this share of its start is all but gone."""

    name: str
    steps: int
    """Steps of the schedule, without that which it makes as it is made."""
    optimizer_steps: int
    skipped: bool
    """Whether a gradient scaler skipped a step."""
    batches_per_epoch: int
    """Batches of a pass over the DataLoader that is trained on; 0 where that is not known."""
    first_epoch: bool
    half_periods: int
    """How often a cosine has gone all the way down, or up again."""
    share_of_rate: float
    """The learning rate now, as a share of that which the optimizer was given."""


@dataclass
class Schedules(Observer):
    """Has schedules judged as their optimizers step."""

    run: Observed
    judge: Judge
    name = "the checks of the schedule"
    _schedules: "dict[int, list[weakref.ref[LRScheduler]]]" = field(default_factory=dict)
    _steps: dict[int, int] = field(default_factory=dict)
    _batches: int = 0
    _passes: int = 0
    _skipped: bool = False

    def asked(self, iterator: Any, *, grad: bool) -> None:  # noqa: ANN401 - an iterator of a DataLoader
        """How long an epoch is, and whether it is the first."""
        if grad and iterator._num_yielded == 0:
            self._passes += 1
            self._batches = max(self._batches, _length(iterator))

    def skipped(self) -> None:
        """The schedule may be ahead of its optimizer by that."""
        self._skipped = True

    def after_step(self, optimizer: Optimizer) -> None:
        """Look at its schedules."""
        key = id(optimizer)
        steps = self._steps[key] = self._steps.get(key, 0) + 1
        if steps == 1:
            self._schedules[key] = [weakref.ref(each) for each in self.run.schedulers(optimizer)]
        if steps > MOST_STEPS:
            return
        for reference in self._schedules.get(key, ()):
            schedule = reference()
            if schedule is not None:
                self.judge(self._state(schedule, optimizer, steps), id(schedule))

    def _state(self, schedule: LRScheduler, optimizer: Optimizer, steps: int) -> ScheduleState:
        group = optimizer.param_groups[0]
        rate, start = group["lr"], group.get("initial_lr", 0.0)
        known = isinstance(rate, int | float) and isinstance(start, int | float) and start > 0
        own_steps = max(0, getattr(schedule, "_step_count", 1) - 1)
        return ScheduleState(
            name=type(schedule).__name__,
            steps=own_steps,
            optimizer_steps=steps,
            skipped=self._skipped,
            batches_per_epoch=self._batches,
            first_epoch=self._passes <= 1,
            half_periods=own_steps // schedule.T_max if type(schedule) is CosineAnnealingLR else 0,
            share_of_rate=rate / start if known else 1.0,
        )


def _length(iterator: Any) -> int:  # noqa: ANN401
    try:
        return len(iterator._index_sampler)
    except TypeError:  # an endless one
        return 0
