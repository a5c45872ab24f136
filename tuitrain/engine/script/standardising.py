"""The inputs of a script shifted and scaled to mean 0 and deviation 1, as measured on batches seen so far."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

MOST_VALUES = 2**18
"""The most values of a batch that are looked at."""


class _Moments(NamedTuple):
    """Of so many values a channel: their mean and the sum of their squared deviations, float [C]."""

    values: int
    mean: Tensor
    squares: Tensor


class Standardising:
    """Measures what the script feeds its models, a few times a second, and changes it where that is wanted.

    Channels are dimension 1 of images [N, C, H, W] and features [N, F]; other shapes have one.
    """

    def __init__(self) -> None:
        self.enabled = False
        """Whether batches are to be changed."""
        self.unsuitable: str | None = None
        """Why they cannot be, in a sentence; None if they can, or it is not known yet."""
        self._moments: _Moments | None = None
        self._frozen: _Moments | None = None

    @torch.no_grad()
    def measure(self, batch: Any) -> None:  # noqa: ANN401 - whatever a collate function makes
        """Look at a batch to train on, as the script's DataLoader gives it."""
        inputs = inputs_in(batch)
        self.unsuitable = None if inputs is not None else "the script's batches begin with no tensor of floats."
        if inputs is None:
            return
        moments = _moments(inputs)
        known = self._moments
        same = known is not None and known.mean.shape == moments.mean.shape and known.mean.device == moments.mean.device
        self._moments = _together(known, moments) if known is not None and same else moments

    @torch.no_grad()
    def __call__(self, batch: Any) -> Any:  # noqa: ANN401
        """A batch as the script is to get it: another one where that is wanted and it can be, else itself."""
        if not self.enabled:
            self._frozen = None
            return batch
        self._frozen = self._frozen or self._moments
        inputs = inputs_in(batch)
        if self._frozen is None or inputs is None or len(self._frozen.mean) != _channels(inputs).shape[0]:
            return batch
        return replaced(batch, inputs, _standardised(inputs, self._frozen))


def first_tensor(batch: Any, *, least_dimensions: int) -> Tensor | None:  # noqa: ANN401
    """The first tensor in a batch with so many dimensions."""
    match batch:
        case Tensor():
            return batch if batch.dim() >= least_dimensions else None
        case dict():
            held = list(batch.values())
        case list() | tuple():
            held = list(batch)
        case _:
            return None
    found = (first_tensor(each, least_dimensions=least_dimensions) for each in held)
    return next((each for each in found if each is not None), None)


def inputs_in(batch: Any) -> Tensor | None:  # noqa: ANN401
    """The inputs in a batch, [N, ...]: its first tensor of two dimensions or more, if that holds plain floats."""
    tensor = first_tensor(batch, least_dimensions=2)
    suitable = tensor is not None and type(tensor) is Tensor and tensor.layout == torch.strided and tensor.numel() > 0
    return tensor if suitable and tensor is not None and tensor.is_floating_point() else None


def some_of(inputs: Tensor) -> Tensor:
    """The first samples of [N, ...], not more than are worth looking at."""
    return inputs[: max(1, MOST_VALUES * len(inputs) // inputs.numel())]


def replaced(batch: Any, old: Tensor, new: Tensor) -> Any:  # noqa: ANN401
    """A batch of the same make with `new` in the place of the very tensor `old`."""
    if batch is old:
        return new
    match batch:
        case dict():
            changed = {key: replaced(value, old, new) for key, value in batch.items()}
            return changed if type(batch) is dict else type(batch)(changed)
        case tuple() if hasattr(batch, "_fields"):
            return type(batch)(*(replaced(item, old, new) for item in batch))
        case list() | tuple():
            return type(batch)(replaced(item, old, new) for item in batch)
    return batch


def _channels(inputs: Tensor) -> Tensor:
    """[C, values]."""
    return inputs.transpose(0, 1).flatten(1) if inputs.dim() in (2, 4) else inputs.reshape(1, -1)


def _moments(inputs: Tensor) -> _Moments:
    channels = _channels(some_of(inputs))
    channels = channels.to(torch.float32 if inputs.device.type == "mps" else torch.float64)
    variance, mean = torch.var_mean(channels, dim=1, correction=0)
    return _Moments(channels.shape[1], mean, variance * channels.shape[1])


def _together(one: _Moments, other: _Moments) -> _Moments:
    """The moments of both (Chan, Golub and LeVeque 1979)."""
    count, shift = one.values + other.values, other.mean - one.mean
    mean = one.mean + shift * (other.values / count)
    squares = one.squares + other.squares + shift.square() * (one.values * other.values / count)
    return _Moments(count, mean, squares)


def _standardised(inputs: Tensor, by: _Moments) -> Tensor:
    deviation = (by.squares / by.values).sqrt()
    factor = torch.where(deviation > 0, deviation, 1.0).reciprocal()
    shape = [1, -1] + [1] * (inputs.dim() - 2) if inputs.dim() in (2, 4) else [1] * inputs.dim()
    shift, factor = (each.to(inputs.device, torch.float32).view(shape) for each in (by.mean, factor))
    return ((inputs - shift) * factor).to(inputs.dtype)
