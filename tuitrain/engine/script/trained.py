"""What a script trains: its optimizers, where they train, and at which rate. Held weakly: they are the script's."""

import math
import weakref

import torch
from torch.optim import Optimizer

from tuitrain.engine.gradients import optimized
from tuitrain.engine.script.steps import rate_of
from tuitrain.engine.tip import Refused


class Trained:
    """The optimizers that are alive, in the order in which they first stepped: the first one leads."""

    def __init__(self) -> None:
        self.steps = 0
        """Steps of all optimizers together."""
        self.schedulers: tuple[str, ...] = ()
        """The schedulers that drive them, by their classes, at the last look at the models."""
        self.last_lr = math.nan
        """The leading optimizer's rate in the last step of the run."""
        self._known: list[weakref.ref[Optimizer]] = []
        self._device: torch.device | None = None

    @property
    def optimizers(self) -> list[Optimizer]:
        """Those that are alive."""
        return [optimizer for reference in self._known if (optimizer := reference()) is not None]

    @property
    def leader(self) -> Optimizer:
        """The optimizer whose loss, norm and rate are a step's. Refused if none is left."""
        optimizers = self.optimizers
        if not optimizers:
            raise Refused("the script holds no optimizer at present.")
        return optimizers[0]

    @property
    def lr(self) -> float:
        """The learning rate of the leading optimizer's first group; where that is gone, of the last step."""
        return rate_of(self.leader) if self.optimizers else self.last_lr

    @property
    def device(self) -> torch.device:
        """Where the first parameter was that the script trained."""
        if self._device is None:
            self._device = optimized(self.leader)[0].device
        return self._device

    def know(self, optimizers: list[Optimizer]) -> None:
        """These are all there are."""
        self._known = [weakref.ref(optimizer) for optimizer in optimizers]

    def meet(self, optimizer: Optimizer) -> bool:
        """An optimizer is about to step; whether it was not known. The very first one to step leads."""
        if self.steps and self._known and self._known[0]() is optimizer:  # as in nearly every step
            return False
        known = self.optimizers
        is_new = all(optimizer is not each for each in known)
        if is_new or not self.steps:
            others = [each for each in known if each is not optimizer]
            self.know([*others, optimizer] if self.steps else [optimizer, *others])
        return is_new
