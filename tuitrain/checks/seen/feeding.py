"""What the DataLoaders give: in which order, from which data, and whether it is finite."""

import functools
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import Subset

from tuitrain.checks.judge import Judge
from tuitrain.engine.observer import Observed, Observer

FIRST_BATCHES = 20
"""Batches that are looked at for what is not finite, all of them; then one in so many."""
LOOK_EVERY = 50
MOST_NUMBERS = 20_000_000
"""Numbers in a tensor that are looked at for that."""
PASSES_REMEMBERED = 8


class Source(NamedTuple):
    """A data set, and which of its samples: None for all."""

    dataset: Any
    indices: frozenset[int] | None


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order in which a DataLoader gives batches that are trained on."""

    sampler: Any
    batch_sampler: Any
    dataset: Any
    by_closure: bool
    """Whether an optimizer evaluates the loss by itself, as LBFGS does: it wants the same data again."""
    batches: int


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """A new pass over a DataLoader that was trained on before."""

    sampler: Any
    passes: int
    """With this one."""
    epoch_before: object
    """The sampler's own count of epochs in the pass before; None where it has none."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What was trained on, and what was evaluated without gradients since the last pass of training began."""

    trained: Sequence[Source]
    evaluated: Sequence[Source]


@dataclass(frozen=True, kw_only=True)
class NotFinite:
    """A batch with NaN or Inf in it."""

    what: str
    batch: int


@dataclass
class _Known:
    """A sampler of a DataLoader that is iterated with gradients."""

    passes: int = 0
    epoch: object = None
    trained: int = 0
    """Backward passes after its batches."""


@dataclass
class Feeding(Observer):
    """Has what is fed judged."""

    run: Observed
    judge: Judge
    name = "the checks of the data"
    _known: "weakref.WeakKeyDictionary[Any, _Known]" = field(default_factory=weakref.WeakKeyDictionary)
    _asked: "dict[int, weakref.ref[Any]]" = field(default_factory=dict)
    _trained: list[Source] = field(default_factory=list)
    _evaluated: list[Source] = field(default_factory=list)
    _batches: int = 0
    _closures: bool = False

    def asked(self, iterator: Any, *, grad: bool) -> None:  # noqa: ANN401 - an iterator of a DataLoader
        """A pass may begin with it."""
        if self.run.overfitting:
            return
        if grad:
            self._asked[id(iterator._index_sampler)] = weakref.ref(iterator)
        if iterator._num_yielded == 0 and grad:
            self._begin(iterator)
        elif iterator._num_yielded == 0 and self._trained:
            _add(self._evaluated, source_of(getattr(iterator, "_dataset", None)))

    def batch(self, iterator: Any, batch: Any, *, grad: bool) -> None:  # noqa: ANN401
        """Ask of some batches whether all is finite; the answer comes later."""
        self._batches += grad
        if not grad or (self._batches > FIRST_BATCHES and self._batches % LOOK_EVERY):
            return
        number = self._batches
        for what, tensor in tensors_in(batch):
            if tensor.is_floating_point() and 0 < tensor.numel() <= MOST_NUMBERS and not tensor.is_sparse:
                finite = torch.isfinite(tensor.detach().sum(dtype=torch.float32))
                self.run.read_later(finite, functools.partial(self._answered, what=what, batch=number))

    def before_step(self, optimizer: Optimizer, *, by_closure: bool) -> None:
        """Whether an optimizer searches along a line, for which a batch is seen again and again."""
        self._closures = self._closures or by_closure

    def after_backward(self) -> None:
        """What was asked for since the last backward pass was trained on."""
        asked, self._asked = list(self._asked.values()), {}
        iterator = asked[0]() if len(asked) == 1 else None  # of several together, each may have an order of its own
        if iterator is None or self.run.overfitting:
            return
        known = self._known.setdefault(iterator._index_sampler, _Known())
        known.trained += 1
        if known.trained <= 1:
            _add(self._trained, source_of(getattr(iterator, "_dataset", None)))
        if known.trained in (2, 3):
            self.judge(self._order(iterator), id(iterator._index_sampler))

    def ended(self) -> None:
        """What was evaluated last is to be seen, too."""
        self._compare()

    def _begin(self, iterator: Any) -> None:  # noqa: ANN401
        """A pass that may be one of training."""
        self._compare()
        known = self._known.setdefault(iterator._index_sampler, _Known())
        sampler = getattr(iterator._index_sampler, "sampler", iterator._index_sampler)
        epoch = getattr(sampler, "epoch", None)
        known.passes += 1
        if known.passes > 1 and known.trained:
            self.judge(Epoch(sampler=sampler, passes=known.passes, epoch_before=known.epoch), id(sampler))
        known.epoch = epoch

    def _compare(self) -> None:
        evaluated, self._evaluated = self._evaluated, []
        if evaluated and self._trained:
            self.judge(Sources(trained=self._trained, evaluated=evaluated))

    def _order(self, iterator: Any) -> Order:  # noqa: ANN401
        index_sampler = iterator._index_sampler
        return Order(
            sampler=getattr(index_sampler, "sampler", index_sampler),
            batch_sampler=index_sampler,
            dataset=getattr(iterator, "_dataset", None),
            by_closure=self._closures,
            batches=_length(index_sampler),
        )

    def _answered(self, finite: Tensor, what: str, batch: int) -> None:
        if not bool(finite):
            self.judge(NotFinite(what=what, batch=batch))


def source_of(dataset: Any) -> Source:  # noqa: ANN401
    """The data set behind all Subsets, and the indices that are left of it."""
    indices: Sequence[int] | None = None
    while isinstance(dataset, Subset):
        indices = list(dataset.indices) if indices is None else [dataset.indices[index] for index in indices]
        dataset = dataset.dataset
    return Source(dataset, None if indices is None else frozenset(map(int, indices)))


def tensors_in(batch: Any, path: str = "batch", depth: int = 3) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401
    """The tensors in a batch, with where they stand in it."""
    match batch:
        case Tensor():
            yield path, batch
        case dict() if depth:
            for key, value in batch.items():
                yield from tensors_in(value, f"{path}[{key!r}]", depth - 1)
        case list() | tuple() if depth:
            for index, value in enumerate(batch):
                yield from tensors_in(value, f"{path}[{index}]", depth - 1)


def _add(sources: list[Source], source: Source) -> None:
    if not any(source.dataset is each.dataset and source.indices == each.indices for each in sources):
        sources.append(source)
        del sources[:-PASSES_REMEMBERED]


def _length(sampler: Any) -> int:  # noqa: ANN401
    try:
        return len(sampler)
    except TypeError:  # an endless one
        return 0
