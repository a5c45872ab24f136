"""Gradient norms and clipping, in as few kernels as torch has for it, and without reading a value."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from torch.optim import Optimizer


class Norms(NamedTuple):
    """Total L2 norms, as 0-dimensional tensors on the device.

    `after` is None where it follows from `before` (see `norm_after`), so that no second pass is paid for.
    """

    before: Tensor
    after: Tensor | None


@dataclass
class Clipping:
    """How gradients are clipped at present."""

    on: bool
    max_norm: float
    """Threshold of the total norm; with `by` "value", the bound of each element's absolute value."""
    by: Literal["norm", "value"]

    @property
    def threshold(self) -> float:
        """The total norm above which gradients are scaled; NaN where clipping by norm is off."""
        return self.max_norm if self.on and self.by == "norm" else math.nan

    def __call__(self, parameters: list[Tensor]) -> Norms:
        """Clip the gradients of `parameters` in place, if clipping is on, and measure their total norm."""
        if self.on and self.by == "norm":
            return Norms(clip_grad_norm_(parameters, self.max_norm), None)
        before = total_norm(parameters)
        if not self.on:
            return Norms(before, None)
        clip_grad_value_(parameters, self.max_norm)
        return Norms(before, total_norm(parameters))


def norm_after(before: float, threshold: float) -> float:
    """The norm that `clip_grad_norm_` leaves: it scales all gradients by min(1, threshold / (before + 1e-6)).

    A NaN threshold stands for no clipping. torch.nn.utils.clip_grads_with_norm_ is where the 1e-6 comes from.
    """
    if math.isnan(threshold):
        return before
    return before * min(1.0, threshold / (before + 1e-6))


def total_norm(parameters: list[Tensor]) -> Tensor:
    """The L2 norm over all gradients of `parameters`, a 0-dimensional tensor; zero where there are none."""
    gradients = [gradient for parameter in parameters if (gradient := parameter.grad) is not None]
    if len({(type(gradient), gradient.device) for gradient in gradients}) == 1 and type(gradients[0]) is Tensor:
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        return norm  # as get_total_norm does it, in half the time
    return get_total_norm(gradients)


def norms_of_each(parameters: list[Tensor]) -> Tensor:
    """The L2 norm of each gradient, shape [len(parameters)]; all must have one."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.stack([norm.float() for norm in torch._foreach_norm(gradients)])


def optimized(optimizer: Optimizer) -> list[Tensor]:
    """All parameters that the optimizer updates, in the order of its groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
