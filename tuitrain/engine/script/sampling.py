"""The order in which a script's DataLoader gives its samples: read, and changed from the next epoch on."""

from collections.abc import Sized
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

from tuitrain.engine.script.batches import Origin
from tuitrain.engine.script.loading import Loading
from tuitrain.engine.tip import Refused


class Sampling:
    """Swaps the sampler within the batch sampler of the DataLoader trained on; an epoch under way keeps its own."""

    targets: Tensor | None = None
    """The targets of all samples are not known: they are seen batch by batch."""

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self._swapped: tuple[BatchSampler, Any, Any] | None = None
        """The batch sampler, the script's own sampler, and what stands in its place."""

    @property
    def shuffle(self) -> bool:
        """Whether the next epoch comes in random order, as far as its sampler is one of torch's own."""
        return isinstance(self._sampler, RandomSampler)

    @property
    def order(self) -> str:
        """The sampler, by its class."""
        return type(self._sampler).__name__

    def why_not(self) -> str | None:
        """Why the order cannot be changed, in a sentence; None if it can, or it is not known yet."""
        batches = self._loading.trained_on
        if batches is None:
            return None
        if isinstance(batches, Origin):
            return "the script makes its batches itself."
        if type(batches) is not BatchSampler:
            if isinstance(batches, SequentialSampler | RandomSampler):
                return "the script's DataLoader gives its samples one by one, each with a sampler of its own."
            return f"the script's DataLoader takes its batches from a {type(batches).__name__}, whose order is its own."
        sampler = batches.sampler
        if type(sampler) is RandomSampler and (sampler.replacement or sampler._num_samples is not None):
            return "the script draws samples with replacement, or only some of them."
        if type(sampler) not in (SequentialSampler, RandomSampler):
            iterable = type(sampler).__name__ == "_InfiniteConstantSampler"
            name = "an iterable data set" if iterable else f"a {type(sampler).__name__}"
            return f"the script's DataLoader takes its samples from {name}, whose order is its own."
        return None

    def set_shuffle(self, on: bool) -> None:
        """Shuffle from the next epoch on, or do so no more; Refused where the order is not to be changed."""
        if (reason := self.why_not()) is not None:
            raise Refused(reason)
        batches = self._loading.trained_on
        if batches is None:
            raise Refused("the script has not trained on a DataLoader yet.")
        if on == self.shuffle:
            return
        if self._swapped is not None and self._swapped[0] is batches and self._swapped[2] is batches.sampler:
            batches.sampler, self._swapped = self._swapped[1], None
            return
        own = batches.sampler
        batches.sampler = _in_random_order(own.data_source) if on else SequentialSampler(own.data_source)
        self._swapped = (batches, own, batches.sampler)

    @property
    def _sampler(self) -> Any:  # noqa: ANN401 - any sampler
        batches = self._loading.trained_on
        return getattr(batches, "sampler", batches)


def _in_random_order(data: Sized) -> RandomSampler:
    """A sampler with a generator of its own: those of the script are neither read nor moved."""
    generator = torch.Generator()
    generator.manual_seed(torch.initial_seed())
    return RandomSampler(data, generator=generator)
