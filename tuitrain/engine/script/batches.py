"""Batches of any origin, given one by one as a DataLoader gives its own: so that one of them can be held.

Where nothing watches the process they are just given. Loads no torch.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

next_batch: Callable[["Batches[Any]", Callable[["Batches[Any]"], Any]], Any] | None = None
"""Gives what an iterator is to give next, which the second argument fetches; None while nothing watches."""


class Origin:
    """Where batches come from: a place in the script, at which it asks for them again and again."""

    def __init__(self) -> None:
        self.batches = 0
        """In a pass; 0 where that is not known."""

    def __len__(self) -> int:
        return self.batches


class Batches(Generic[T]):
    """An iterator over batches, with those attributes of an iterator of a DataLoader that are looked at."""

    def __init__(self, source: object, fetch: Callable[[], T], count: int | None, origin: Origin) -> None:
        """`fetch` makes a batch from the source, or raises StopIteration; at most `count` are made."""
        self._fetch = fetch
        self._count = count
        self._num_yielded = 0
        self._index_sampler = origin
        self._dataset = source

    def __iter__(self) -> "Batches[T]":
        return self

    def __next__(self) -> T:
        batch: T = _fetched(self) if next_batch is None else next_batch(self, _fetched)
        return batch


def batches(source: Iterable[T] | Callable[[], T], count: int | None = None) -> Iterator[T]:
    """Give the batches of an iterable, or those that a function makes, so that one of them can be overfitted.

    Where tuitrain does not watch, they are given and nothing else is done.

    Args:
        source: An iterable of batches, or a function that makes one and takes no argument.
        count: The most batches that are given; None: as many as there are, of a function without end. Those that are
            given while one is overfitted do not count.

    Raises:
        TypeError: `source` is neither, or `count` no whole number.
        ValueError: `count` is negative.
    """
    if count is not None and (not isinstance(count, int) or isinstance(count, bool)):
        raise TypeError(f"tuitrain.batches takes a whole number of batches, not {count!r}.")
    if count is not None and count < 0:
        raise ValueError(f"tuitrain.batches cannot give {count} batches.")
    if isinstance(source, Iterable):
        iterator = iter(source)
        if count is None and hasattr(iterator, "_index_sampler"):
            return iterator  # of a DataLoader: one of its own can be held as it is
        length, fetch = _length(source), iterator.__next__
    elif callable(source):
        length, fetch = None, source
    else:
        raise TypeError(
            "tuitrain.batches takes an iterable of batches, or a function without arguments that makes one, "
            f"not a {type(source).__name__}."
        )
    frame = sys._getframe(1)
    origin = _origins.setdefault((frame.f_code, frame.f_lasti), Origin())
    origin.batches = min((number for number in (length, count) if number is not None), default=0)
    return Batches(source, fetch, count, origin)


_origins: dict[tuple[CodeType, int], Origin] = {}


def _fetched(iterator: Batches[T]) -> T:
    if iterator._num_yielded == iterator._count:
        raise StopIteration
    batch = iterator._fetch()
    iterator._num_yielded += 1
    return batch


def _length(source: Iterable[Any]) -> int | None:
    try:
        return len(source)  # type: ignore[arg-type]
    except TypeError:  # it does not know how many it has
        return None
