"""The gradients of a script: their norms, and how they are clipped, by the script or by the user in its place."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from tuitrain.engine.gradients import Clipping, Norms, norms_of_each, optimized, total_norm
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.scalars import Scalars
from tuitrain.engine.script.models import Models
from tuitrain.engine.script.rounds import Rounds
from tuitrain.record.events import GradientNorms

NORMS_INTERVAL_S = 1.0


class Gradients:
    """Measures and clips. Reads no value; nothing here has a gradient itself."""

    def __init__(self, rounds: Rounds, models: Models, recorder: Recorder, scalars: Callable[[], Scalars]) -> None:
        """What is to be read from the device goes through `scalars`, which may be had from the first step on."""
        self.clipping = Clipping(False, 1.0, "norm")
        """How gradients are clipped at present."""
        self.script_clips = False
        """Whether the script clips by itself."""
        self.by_user = False
        """Whether they are clipped as the user says, not as the script does."""
        self.changed = False
        """Whether the script has begun to clip, or clips otherwise than before, and that was not said."""
        self._rounds = rounds
        self._models = models
        self._recorder = recorder
        self._next_norms_s = 0.0
        self._scalars = scalars

    def measure(self, optimizer: Optimizer) -> None:
        """The norm of the gradients that nobody has clipped; clip them, if the user wants that."""
        parameters = optimized(optimizer)
        scale = getattr(optimizer, "grad_scale", None)  # what a fused optimizer will divide by itself
        if self.by_user and not self.script_clips and scale is None:
            self.clip(parameters)
            return
        self._measure_each(parameters)
        norm = total_norm(parameters)
        self._rounds.measured(norm if scale is None else norm / scale)

    @torch.no_grad()
    def norm(self, parameters: list[Tensor]) -> Tensor:
        """Their total norm, as it is now."""
        self._measure_each(parameters)
        return total_norm(parameters)

    @torch.no_grad()
    def clip(self, parameters: list[Tensor]) -> Norms:
        """Clip them as is in force; the norms."""
        self._measure_each(parameters)
        norms = self.clipping(parameters)
        self._rounds.clipped(norms.before, norms.after, self.clipping.threshold)
        return norms

    @torch.no_grad()
    def script_clipped(self, parameters: list[Tensor], norm: Tensor, max_norm: object, norm_type: object) -> None:
        """The script has clipped by the total norm, which was `norm` before."""
        self._take_from_script(max_norm, "norm")
        if norm_type == 2:
            self._rounds.clipped(norm, None, self.clipping.max_norm)
        else:  # another norm than the one that is shown: what is left is measured, what was before is not known
            after = total_norm(parameters)
            self._rounds.clipped(torch.full_like(after, math.nan), after, math.nan)

    @torch.no_grad()
    def script_clamped(self, parameters: list[Tensor], before: Tensor, bound: object) -> None:
        """The script has clamped each value; `before` was their total norm."""
        self._take_from_script(bound, "value")
        self._rounds.clipped(before, total_norm(parameters), self.clipping.threshold)

    def _take_from_script(self, bound: object, by: Literal["norm", "value"]) -> None:
        """Take how the script itself clips for what is in force; a bound on a device is not read: NaN."""
        number = float(bound) if isinstance(bound, int | float) else math.nan
        clipping = self.clipping
        same = clipping.max_norm == number or (math.isnan(number) and math.isnan(clipping.max_norm))
        if not (self.script_clips and clipping.on and clipping.by == by and same):
            self.script_clips = self.changed = True
            clipping.on, clipping.max_norm, clipping.by = True, number, by

    def _measure_each(self, parameters: list[Tensor]) -> None:
        """About once a second, the norm of each gradient."""
        if not self._recorder.position.executed or self._recorder.now_s < self._next_norms_s:
            return
        self._next_norms_s = self._recorder.now_s + NORMS_INTERVAL_S
        reached = [parameter for parameter in parameters if parameter.grad is not None]
        if reached:
            paths = self._models.paths_of(reached)
            self._scalars().read_later(norms_of_each(reached), lambda norms: self._say_norms(paths, norms.tolist()))

    def _say_norms(self, paths: list[str], norms: list[float]) -> None:
        self._recorder.say(GradientNorms, norms=dict(zip(paths, norms, strict=True)))
