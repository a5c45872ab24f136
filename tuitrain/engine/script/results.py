"""What a pass over data came to: its mean loss and its accuracy, summed up on the device from the loss's calls."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

CLASSES = ("cross_entropy", "nll_loss")
BINARY = {"binary_cross_entropy": 0.5, "binary_cross_entropy_with_logits": 0.0}
"""Functions of a single probability or logit, and the value above which that means 1."""

WITH_ACCURACY = (*CLASSES, *BINARY)


class Means(NamedTuple):
    """Over a pass; NaN where it cannot be known."""

    loss: float
    accuracy: float


class Results:
    """Sums, without reading a value: of each batch the first loss counts, as long as it is the same function's."""

    def __init__(self) -> None:
        self.function = ""
        """The loss function; empty while none was heard."""
        self.batches = 0
        """Batches of which it was heard."""
        self._awaited = False
        self._sums: Tensor | None = None

    def next_batch(self) -> None:
        """What is heard from now on belongs to another batch."""
        self._awaited = True

    @torch.no_grad()
    def hear(self, name: str, arguments: Mapping[str, Any], value: Tensor) -> None:
        """A loss function was called."""
        if not self._awaited or self.function not in ("", name):
            return
        self._awaited = False
        sums = summed(name, arguments, value)
        if sums is not None:
            self.function = name
            self.batches += 1
            self._sums = sums if self._sums is None else self._sums + sums.to(self._sums.device)

    @property
    def sums(self) -> Tensor | None:
        """[4], for `means_of`; None if nothing was heard."""
        return self._sums


def means_of(sums: Tensor) -> Means:
    """The means that these sums, on the host, come to."""
    loss, weight, correct, predictions = sums.tolist()
    return Means(loss / weight if weight else math.nan, correct / predictions if predictions else math.nan)


def summed(name: str, arguments: Mapping[str, Any], value: Tensor) -> Tensor | None:
    """[4]: the loss summed, what it is to be divided by, correct predictions, predictions; None if it is unsuitable.

    A mean counts by what it was taken over: by targets (or their weights) of classes, else by samples.
    """
    inputs, targets = arguments["input"], arguments["target"]
    legacy = any(arguments.get(name) is not None for name in ("size_average", "reduce"))
    if legacy or not isinstance(inputs, Tensor) or not isinstance(targets, Tensor) or not inputs.numel():
        return None
    inputs, targets, value = inputs.detach(), targets.detach(), value.detach()
    reduction = arguments.get("reduction", "mean")
    if name in CLASSES and not targets.is_floating_point():
        valid = targets != arguments.get("ignore_index", -100)
        weight = _weight(arguments.get("weight"), targets, valid)
        predicted = inputs.argmax(min(1, inputs.dim() - 1))
        correct, predictions = ((predicted == targets) & valid).sum(), valid.sum()
        value = value.sum() if reduction == "none" else value
    else:
        weight = targets.new_tensor(inputs.shape[0] if inputs.dim() else 1)
        correct, predictions = _binary(inputs, targets, BINARY.get(name))
        value = value.mean() * weight if reduction == "none" else value
    total = value if reduction in ("sum", "none") else torch.where(weight > 0, value * weight, 0)
    dtype = torch.float32 if inputs.device.type == "mps" else torch.float64
    return torch.stack([each.to(inputs.device, dtype) for each in (total, weight, correct, predictions)])


def _weight(of_classes: Tensor | None, targets: Tensor, valid: Tensor) -> Tensor:
    """What the mean over class targets is taken over: their number, or the sum of their classes' weights."""
    if of_classes is None:
        return valid.sum()
    return (of_classes[torch.where(valid, targets, 0)] * valid).sum()


def _binary(inputs: Tensor, targets: Tensor, above: float | None) -> tuple[Tensor, Tensor]:
    """Correct predictions, and predictions, where each sample has one input and its target is 0 or 1; else none."""
    nothing = targets.new_zeros(())
    if above is None or inputs.shape != targets.shape or inputs.numel() != (*inputs.shape, 1)[0]:
        return nothing, nothing
    is_binary = ((targets == 0) | (targets == 1)).all()
    correct = ((inputs > above) == (targets > 0)).sum()
    return correct, torch.where(is_binary, targets.numel(), math.nan)
