"""The script's DataLoaders: which of them it trains on, and how long it waits for them."""

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor


class Loading:
    """Follows the iterators of all DataLoaders."""

    def __init__(self) -> None:
        self.wait_s = 0.0
        """How long the script has waited for batches to train on, since that was last set to 0."""
        self.batch_size = 0
        """Samples in the last batch to train on."""
        self.trained_on: Any = None
        """The index sampler of the DataLoader that the script trains on; None while it is not known."""
        self.several = False
        """Whether the script has taken batches of more than one DataLoader for one backward pass."""
        self.steps_per_epoch = 0
        """Batches in a pass over the DataLoader that the script trains on; 0 where it does not know."""
        self.batches_per_step = 1
        """The most batches that one step was made of."""
        self._batches = 0
        self._asked: list[Any] = []
        self._passes: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._data: weakref.WeakKeyDictionary[Any, Callable[[], object]] = weakref.WeakKeyDictionary()
        self._data_trained_on: Callable[[], object] | None = None
        self._untrained: weakref.WeakSet[Any] = weakref.WeakSet()
        """Of what was gone through with gradients but without a backward pass, the index samplers."""

    @property
    def epoch(self) -> int:
        """Passes that were begun over the DataLoader that the script trains on."""
        return 0 if self.trained_on is None else self._passes.get(self.trained_on, 0)

    def trains_on(self, iterator: Any) -> bool:  # noqa: ANN401 - an iterator of a DataLoader
        """Whether the script trains on what an iterator gives."""
        return self.trained_on is not None and iterator._index_sampler is self.trained_on

    def asked(self, iterator: Any) -> None:  # noqa: ANN401
        """The script asks an iterator for a batch that it may train on."""
        sampler = iterator._index_sampler
        if iterator._num_yielded == 0:
            self._passes[sampler] = self._passes.get(sampler, 0) + 1
            self._data[sampler] = weakly(iterator._dataset)
        self._asked.append(sampler)

    def fetched(self, batch: Any, wait_s: float) -> None:  # noqa: ANN401 - whatever a collate function makes
        """It has got one, after `wait_s` seconds."""
        self._batches += 1
        self.wait_s += wait_s
        self.batch_size = samples_in(batch)

    def step_done(self) -> None:
        """An optimizer has stepped, or its step was skipped: what was fetched until then went into it."""
        self.batches_per_step = max(self.batches_per_step, self._batches)
        self._batches = 0
        self._asked.clear()

    def ended(self, iterator: Any) -> None:  # noqa: ANN401
        """An iterator has no more."""
        ended = iterator._index_sampler
        left = [sampler for sampler in self._asked if sampler is not ended]
        whole = 0 < iterator._num_yielded < len(self._asked) - len(left)  # asked once more than there were batches
        if whole and self.trained_on not in (None, ended):
            self._untrained.add(ended)
            self._batches = 0
        self._asked = left

    def backward(self) -> None:
        """A backward pass was done: what was asked for since the last one was trained on."""
        asked = self._asked
        if not asked or (len(asked) == 1 and asked[0] is self.trained_on):  # as in nearly every step
            asked.clear()
            return
        self._asked = []
        self.several = self.several or any(sampler is not asked[0] for sampler in asked)
        if self.trained_on is not asked[-1]:
            self.trained_on = asked[-1]
            self.steps_per_epoch = _length(self.trained_on)
            self._data_trained_on = self._data.get(self.trained_on)

    def only_evaluates(self, iterator: Any) -> bool:  # noqa: ANN401
        """Whether the script has gone through what an iterator gives without training on it, although it could."""
        return bool(self._untrained) and iterator._index_sampler in self._untrained

    def trains_after_all(self, sampler: Any) -> None:  # noqa: ANN401 - an index sampler
        """A backward pass follows on batches that were taken for an evaluation's."""
        if sampler in self._untrained:
            self._untrained.discard(sampler)
            self._asked.append(sampler)

    def is_training_data(self, iterator: Any) -> bool:  # noqa: ANN401
        """Whether an iterator gives samples of the data set that the script trains on."""
        trained_on = self._data_trained_on
        return self.trains_on(iterator) or (trained_on is not None and trained_on() is iterator._dataset)


def weakly(thing: object) -> Callable[[], object]:
    """A weak reference to a thing; to nothing where its class allows for none, as that of a list."""
    try:
        return weakref.ref(thing)
    except TypeError:
        return lambda: None


def samples_in(batch: Any) -> int:  # noqa: ANN401 - whatever a collate function makes
    """The first dimension of the first tensor in a batch; 0 where there is none."""
    match batch:
        case Tensor():
            return batch.shape[0] if batch.dim() else 1
        case dict():
            values = list(batch.values())
        case list() | tuple():
            values = list(batch)
        case _:
            return 0
    return next((size for value in values if (size := samples_in(value))), 0)


def _length(sampler: Any) -> int:  # noqa: ANN401
    try:
        return len(sampler)
    except TypeError:  # an endless one
        return 0
