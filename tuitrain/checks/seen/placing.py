"""Where the models are, and what else there is."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.optim import Optimizer

from tuitrain.checks.judge import Judge
from tuitrain.engine.gradients import optimized
from tuitrain.engine.observer import Observed, Observer


@dataclass(frozen=True, kw_only=True)
class Placing:
    """The parameters that an optimizer is about to change for the first time."""

    LARGE: ClassVar[int] = 100_000
    """Parameters of a model from which on an accelerator is worth while."""

    devices: frozenset[str]
    parameters: int
    accelerator: str
    """What kind there is; empty for none."""


class Placings(Observer):
    """Has the place of the first optimizer's parameters judged, once."""

    name = "the checks of the device"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._judge = judge
        self._done = False

    def before_step(self, optimizer: Optimizer, *, by_closure: bool) -> None:
        """The first time."""
        if self._done:
            return
        self._done = True
        parameters = optimized(optimizer)
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        self._judge(
            Placing(
                devices=frozenset(each.device.type for each in parameters),
                parameters=sum(each.numel() for each in parameters),
                accelerator="" if found is None else found.type,
            )
        )
