"""Backward passes while no optimizer has ever stepped."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from tuitrain.checks.judge import Judge
from tuitrain.checks.seen.gradients import Samples
from tuitrain.engine.gradients import optimized
from tuitrain.engine.observer import Observed, Observer
from tuitrain.engine.script.finding import living

LOOK_EVERY = 20
"""Backward passes after which it is looked whether a weight has moved."""


@dataclass(frozen=True, kw_only=True)
class Unstepped:
    """Backward passes that no step followed."""

    backwards: int
    renewed: int
    """How often gradients were thrown away before anything came of them."""
    optimizers: int
    """How many optimizers there are."""
    weights_moved: bool
    """Whether a weight is another than it was: by hand, then."""


class Unsteppeds(Observer):
    """Has backward passes judged that nothing comes of."""

    name = "the checks of what never steps"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._judge = judge
        self._stepped = False
        self._backwards = 0
        self._renewed = 0
        self._samples: Samples | None = None
        self._weights: list[tuple[Tensor, Tensor]] = []
        self._optimizers = 0

    def after_step(self, optimizer: Optimizer) -> None:
        """One has stepped."""
        if not self._stepped:
            self._stepped = True
            self._samples, self._weights = None, []

    def after_backward(self) -> None:
        """Whether the gradients were renewed since the last pass; now and then, whether the weights have moved."""
        if self._stepped:
            return
        self._backwards += 1
        if self._backwards == 2:
            self._begin()
        elif self._samples is not None:
            self._renewed += not self._samples.added_to()
            self._samples.remember()
        if self._backwards % LOOK_EVERY or not self._weights:
            return
        moved = any(not torch.equal(weight, before) for weight, before in self._weights)
        self._judge(
            Unstepped(
                backwards=self._backwards, renewed=self._renewed, optimizers=self._optimizers, weights_moved=moved
            )
        )

    def _begin(self) -> None:
        optimizers = living(Optimizer)
        parameters = [each for optimizer in optimizers for each in optimized(optimizer)]
        self._optimizers = len(optimizers)
        self._samples = Samples(parameters)
        small: Sequence[Tensor] = sorted((each for each in parameters if each.grad is not None), key=Tensor.numel)[:3]
        self._weights = [(weight, weight.detach().clone()) for weight in small]
