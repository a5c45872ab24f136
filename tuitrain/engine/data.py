"""A run's data: batches cut from tensors in memory, their normalisation, and the data sets by name."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuitrain.engine import mnist
from tuitrain.errors import UserError

Batch = tuple[Tensor, Tensor]


class BatchesState(TypedDict):
    """Where a `Batches` is; plain enough for torch.load(weights_only=True)."""

    order: Tensor
    """int32 [N], the samples in this epoch's order; empty before the first epoch."""
    cursor: int
    """How many of them were given."""
    generator: Tensor
    """uint8, the state of the generator that shuffles."""
    shuffle: bool


class Batches:
    """The batches of an epoch, and of the next one each time it is iterated.

    Yields (inputs, targets) as they are stored, cut on `device` by one gather each. Every sample comes
    exactly once an epoch, whenever `set_shuffle` is called (with `drop_last`, a last incomplete batch is
    left out). The random numbers are its own: the global generators are neither read nor moved.

    Iterating starts a new epoch, except after `load_state_dict` of a state within an epoch: then it goes on
    there. An iterator serves one epoch, follows `set_shuffle` and `load_state_dict` while it does, and ends
    when another is made.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int,
        drop_last: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take inputs [N, ...] and targets [N, ...], and move them to `device` once."""
        if len(inputs) != len(targets):
            raise ValueError(f"{len(inputs):,} inputs but {len(targets):,} targets")
        if batch_size < 1:
            raise ValueError(f"a batch size of {batch_size}; it must be at least 1")
        if len(inputs) < (batch_size if drop_last else 1):
            raise UserError(
                f"{len(inputs):,} samples do not fill a batch of {batch_size:,}; choose a smaller batch size."
            )
        self.device = torch.device(device)
        self.inputs = inputs.to(self.device)
        self.targets = targets.to(self.device)
        self.batch_size = batch_size
        self._end = len(inputs) - len(inputs) % batch_size if drop_last else len(inputs)
        self._shuffle = shuffle
        self._generator = torch.Generator().manual_seed(seed)
        self._cursor = 0
        self._resumed = False
        self._iterators = 0
        self._set_order(torch.empty(0, dtype=torch.int32))

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self._end // self.batch_size)

    @property
    def position(self) -> int:
        """Batches already given in this epoch."""
        return -(-self._cursor // self.batch_size)

    @property
    def left(self) -> int:
        """Batches still to be given in this epoch; 0 before the first one."""
        return -(-max(0, min(self._end, len(self._order)) - self._cursor) // self.batch_size)

    @property
    def shuffle(self) -> bool:
        """Whether what is left of this epoch, and the next ones, come in random order."""
        return self._shuffle

    def set_shuffle(self, on: bool) -> None:
        """Shuffle, or put into the data set's order, what is left of this epoch and every epoch after it."""
        if on == self._shuffle:
            return
        self._shuffle = on
        given, left = self._order[: self._cursor], self._order[self._cursor :]
        left = left[self._permutation(len(left))] if on else left.sort().values
        self._set_order(torch.cat([given, left]))

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over a new epoch, or over the rest of the one that was loaded."""
        if not (self._resumed and self.left):
            self._start_epoch()
        self._resumed = False
        self._iterators += 1
        return self._rest_of_epoch(self._iterators)

    def state_dict(self, *, last_again: bool = False) -> BatchesState:
        """What continues these batches exactly from here, given the same data and batch size.

        With `last_again` from the last batch given, which comes again.
        """
        return {
            "order": self._order.clone(),
            "cursor": (self.position - 1) * self.batch_size if last_again else self._cursor,
            "generator": self._generator.get_state(),
            "shuffle": self._shuffle,
        }

    def load_state_dict(self, state: BatchesState) -> None:
        """Go to where `state` was taken.

        An iterator at work goes on from there. A state taken after an epoch's last batch makes the next
        iteration start a new epoch. Raises UserError when the state belongs to another number of samples.
        """
        if len(state["order"]) not in (0, len(self.inputs)):
            raise UserError(
                f"The saved order of the data covers {len(state['order']):,} samples but the data has"
                f" {len(self.inputs):,}; resume with the data the run began with."
            )
        self._set_order(state["order"].to("cpu", torch.int32, copy=True))
        self._cursor = state["cursor"]
        self._generator.set_state(state["generator"].cpu())
        self._shuffle = state["shuffle"]
        self._resumed = True

    def _rest_of_epoch(self, iterator: int) -> Iterator[Batch]:
        while iterator == self._iterators and self.left:
            yield self._cut()

    def _cut(self) -> Batch:
        stop = min(self._cursor + self.batch_size, self._end)
        chosen = self._order_on_device[self._cursor : stop]
        self._cursor = stop
        self._resumed = False
        return self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)

    def _start_epoch(self) -> None:
        size = len(self.inputs)
        self._set_order(self._permutation(size) if self._shuffle else torch.arange(size, dtype=torch.int32))
        self._cursor = 0

    def _permutation(self, size: int) -> Tensor:
        return torch.randperm(size, generator=self._generator, dtype=torch.int32)

    def _set_order(self, order: Tensor) -> None:
        """Replace the order, here and on the device: one copy an epoch instead of one a batch."""
        pinned = order.pin_memory() if self.device.type == "cuda" else order
        self._order = order
        self._order_on_device = pinned.to(self.device, non_blocking=True)


class Normaliser:
    """Turns raw inputs into float32 with mean 0 and standard deviation 1, as measured on the training inputs.

    Bytes become [0, 1] first, whether or not it is `enabled`. The statistics are kept per channel,
    dimension 1, of images [N, C, H, W] and features [N, F], and over everything for other shapes. Token ids
    (integers other than bytes) pass through unchanged: `available` is False.
    """

    def __init__(self, inputs: Tensor, *, enabled: bool = True, device: torch.device | str = "cpu") -> None:
        """Measure `inputs` [N, ...] once; batches are then expected on `device`."""
        self.enabled = enabled
        self.available = inputs.dtype == torch.uint8 or inputs.is_floating_point()
        self.unsuitable = None if self.available else _UNSUITABLE
        self._unit = 255.0 if inputs.dtype == torch.uint8 else 1.0
        self._shape = [1, -1] + [1] * (inputs.dim() - 2) if inputs.dim() in (2, 4) else [1] * inputs.dim()
        raw_mean, raw_std = torch.zeros(1), torch.ones(1)
        if self.available:
            raw_mean, raw_std = _measure(inputs, self._shape)
        # Below what float32 resolves, a spread is the rounding of a constant channel's mean.
        raw_std = torch.where(raw_std > _RESOLUTION * raw_mean.abs(), raw_std, 0.0)
        self.mean = raw_mean / self._unit
        """float64 [C] or [1], of inputs on the scale that `enabled=False` gives."""
        self.std = raw_std / self._unit
        """float64 [C] or [1], over all samples (no Bessel correction); 0 where a channel is constant."""
        divisor = torch.where(raw_std > 0, raw_std, self._unit)
        self._shift = raw_mean.to(device, torch.float32).view(self._shape)
        self._factor = divisor.reciprocal().to(device, torch.float32).view(self._shape)

    def __call__(self, raw: Tensor) -> Tensor:
        """Make [B, ...] of the raw inputs' type into float32 [B, ...] of its own, raw left as it is."""
        if not self.available:
            return raw
        values = raw.to(torch.float32, copy=True)
        if self.enabled:
            return values.sub_(self._shift).mul_(self._factor)
        return values.div_(self._unit) if self._unit != 1.0 else values


_UNSUITABLE = "the inputs are token ids, which have no mean or scale to normalise."

_RESOLUTION = torch.finfo(torch.float32).eps

_CHUNK_VALUES = 2**18
"""Values converted to float64 at once: 2 MB, which stay in a cache."""


def _measure(inputs: Tensor, shape: list[int]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, float64 and flat, over all dimensions where the broadcast `shape` has a 1.

    Two passes over chunks: exact sums for bytes, and no cancellation for floats with a large mean. In NumPy,
    because hundreds of short operations on torch's threads took seconds when the cores were busy.
    """
    values = inputs.numpy(force=True)
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    count = values.size // (values.shape[1] if -1 in shape else 1)
    step = max(1, _CHUNK_VALUES * len(values) // values.size)
    chunks = [values[start : start + step] for start in range(0, len(values), step)]
    sums = [chunk.sum(axes, dtype=np.float64, keepdims=True) for chunk in chunks]
    mean: NDArray[np.float64] = np.sum(sums, axis=0) / count
    buffer = np.empty(chunks[0].shape)
    variance = np.zeros_like(mean)
    for chunk in chunks:
        deviation = np.subtract(chunk, mean, out=buffer[: len(chunk)])
        variance += np.square(deviation, out=deviation).sum(axes, keepdims=True) / count
    return torch.from_numpy(mean.ravel()), torch.from_numpy(np.sqrt(variance).ravel())


@dataclass(frozen=True)
class TaskData:
    """What a run trains on and is validated on."""

    train_inputs: Tensor
    """[N, ...]: uint8, float32, or int64 tokens."""
    train_targets: Tensor
    """int64 [N], or [N, T] for sequences."""
    val_inputs: Tensor
    val_targets: Tensor
    classes: int | None
    """Targets lie in [0, classes); None where they are not classes."""
    origin: str
    """Which data these are, for the screen."""
    vocabulary: str | None = None
    """For text, the character of each token id."""


@dataclass(frozen=True)
class DataRequest:
    """What the command line says about data."""

    data_dir: Path | None = None
    full: bool = False
    """Download MNIST if it is not there."""
    progress: mnist.Progress | None = None
    """Told about a download."""


def load_mnist(request: DataRequest) -> TaskData:
    """Digits as uint8 [N, 1, 28, 28]."""
    digits = mnist.load(request.data_dir, full=request.full, progress=request.progress)
    return TaskData(
        train_inputs=digits.train_images,
        train_targets=digits.train_labels,
        val_inputs=digits.val_images,
        val_targets=digits.val_labels,
        classes=mnist.CLASSES,
        origin=digits.origin,
    )


def load_mnist_sorted(request: DataRequest) -> TaskData:
    """Digits as in `load_mnist`, the training set sorted by class: all zeros first."""
    data = load_mnist(request)
    order = data.train_targets.argsort(stable=True)
    return replace(
        data,
        train_inputs=data.train_inputs[order],
        train_targets=data.train_targets[order],
        origin=f"{data.origin}, sorted by class",
    )


def load_mnist_rows(request: DataRequest) -> TaskData:
    """Digits as uint8 [N, 28, 28]: each image a sequence of 28 rows of 28 pixels, for a recurrent net."""
    data = load_mnist(request)
    return replace(
        data,
        train_inputs=data.train_inputs.squeeze(1),
        val_inputs=data.val_inputs.squeeze(1),
        origin=f"{data.origin}, row by row",
    )


_CHANNELS_TRAIN, _CHANNELS_VAL = 10_000, 2_000
"""Digits with channels are float32, 12 times the size of the bytes: 120 MB with these limits."""


def load_mnist_channels(request: DataRequest) -> TaskData:
    """Digits as float32 [N, 3, 28, 28], at most 10,000 + 2,000: two useful channels and one of huge variance.

    The channels are the digit in [0, 1], its horizontal gradient in [-0.5, 0.5], and noise of mean 500 and
    standard deviation 1000 that drowns both until it is normalised.
    """
    data = load_mnist(request)
    generator = torch.Generator().manual_seed(0)
    return replace(
        data,
        train_inputs=_with_channels(data.train_inputs[:_CHANNELS_TRAIN], generator),
        train_targets=data.train_targets[:_CHANNELS_TRAIN],
        val_inputs=_with_channels(data.val_inputs[:_CHANNELS_VAL], generator),
        val_targets=data.val_targets[:_CHANNELS_VAL],
        origin=f"first digits of {data.origin}, with a gradient and a noise channel",
    )


def _with_channels(images: Tensor, generator: torch.Generator) -> Tensor:
    result = torch.zeros(len(images), 3, *images.shape[2:])
    digit, gradient, noise = result.unbind(1)
    digit.copy_(images[:, 0]).div_(255)
    torch.sub(digit[:, :, 2:], digit[:, :, :-2], out=gradient[:, :, 1:-1]).div_(2)
    noise.normal_(500, 1000, generator=generator)
    return result


_SEQUENCE = 64
_VAL_SHARE = 10
"""One sequence in this many validates: those at the end of the text."""
_FALLBACK_MODULES = ("argparse", "ast", "datetime", "doctest", "inspect", "pickle", "tarfile", "typing")


def load_chars(request: DataRequest) -> TaskData:
    """Text that ships with Python as int64 tokens [N, 64], one a character; targets [N, 64] come next.

    Sequences follow one another without overlap; the last tenth validates.
    """
    text, origin = _text_of_python()
    vocabulary = "".join(sorted(set(text)))
    ids = {character: i for i, character in enumerate(vocabulary)}
    tokens = torch.tensor([ids[character] for character in text])
    count = (len(tokens) - 1) // _SEQUENCE
    inputs, targets = (tokens[start:][: count * _SEQUENCE].view(count, _SEQUENCE) for start in (0, 1))
    train = count - count // _VAL_SHARE
    return TaskData(
        train_inputs=inputs[:train],
        train_targets=targets[:train],
        val_inputs=inputs[train:],
        val_targets=targets[train:],
        classes=len(vocabulary),
        origin=f"{origin}, {len(text):,} characters",
        vocabulary=vocabulary,
    )


def _text_of_python() -> tuple[str, str]:
    """The text of Python's help topics and what it is; where they are not installed, some modules' source."""
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        sources = [inspect.getsource(importlib.import_module(name)) for name in _FALLBACK_MODULES]
        return "\n".join(sources), "source of Python's standard library"
    return "\n".join(topics[name] for name in sorted(topics)), "Python's help topics"


DATASETS: dict[str, Callable[[DataRequest], TaskData]] = {
    "mnist": load_mnist,
    "mnist-sorted": load_mnist_sorted,
    "mnist-channels": load_mnist_channels,
    "mnist-rows": load_mnist_rows,
    "chars": load_chars,
}
"""The data sets a preset can name."""
