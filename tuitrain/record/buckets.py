"""A curve cut into buckets of equally many executed steps, and what is remembered of each: its extremes above all.

Buckets lie where the number of the executed step says, not where counting began: step x is in bucket (x - 1) // stride.
So buckets made at different times, of different strides or in different processes can be merged, and give what would
have been made at once.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from tuitrain.record.packing import Floats

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIELDS = ("x_low", "low", "x_high", "high", "x_last", "last", "x_nan", "total", "count")
"""What a bucket holds: where the smallest and the largest value stand and what they are (infinite ones too, the first
of equals), the last value, where the last NaN stands, and sum and number of the values that have a mean. NaN = none."""

_X_LOW, _LOW, _X_HIGH, _HIGH, _X_LAST, _LAST, _X_NAN, _TOTAL, _COUNT = range(len(FIELDS))

HAS_MEAN = 1e300
"""Values further from zero count as infinite: their sums would be."""


class Buckets(NamedTuple):
    """The buckets of one curve that hold anything, in order."""

    numbers: Ints
    """Which buckets, strictly increasing. (B,)"""
    table: Floats
    """What is in them, by FIELDS. (9, B)"""

    @classmethod
    def none(cls) -> Self:
        """No buckets."""
        return cls(np.empty(0, np.int64), np.empty((len(FIELDS), 0)))

    @classmethod
    def of(cls, x: Floats, y: Floats, real: Bools) -> Self:
        """Each point as a bucket of stride 1. (N,) each

        x are numbers of executed steps, increasing; y may hold anything. Where `real` is False the point stands for a
        gap: its y is NaN, and it is never the last value.
        """
        table = np.full((len(FIELDS), len(x)), np.nan)
        nan = np.isnan(y)
        table[_X_LOW] = table[_X_HIGH] = np.where(nan, np.nan, x)
        table[_LOW] = table[_HIGH] = y
        table[_X_LAST], table[_LAST] = np.where(real, x, np.nan), np.where(real, y, np.nan)
        table[_X_NAN] = np.where(nan, x, np.nan)
        has_mean = np.abs(y) <= HAS_MEAN  # False for NaN too
        table[_TOTAL], table[_COUNT] = np.where(has_mean, y, 0.0), has_mean
        return cls(x.astype(np.int64) - 1, table)

    def merged(self, factor: int) -> "Buckets":
        """Buckets `factor` times as wide."""
        return _grouped(self.numbers // factor, self.table)

    def column(self, name: str) -> Floats:
        """One of FIELDS. (B,)"""
        values: Floats = self.table[FIELDS.index(name)]
        return values

    def split(self, first: int) -> tuple["Buckets", "Buckets"]:
        """The buckets before number `first`, and the others."""
        at = int(np.searchsorted(self.numbers, first))
        return Buckets(self.numbers[:at], self.table[:, :at]), Buckets(self.numbers[at:], self.table[:, at:])

    def dense(self, first: int, count: int) -> Floats:
        """The buckets `first` to `first + count - 1` as a table in which those that hold nothing are NaN. (9, count)"""
        table = np.full((len(FIELDS), count), np.nan)
        table[:, self.numbers - first] = self.table
        return table

    @classmethod
    def from_dense(cls, table: Floats, first: int) -> Self:
        """What `dense` gave, back."""
        filled = np.flatnonzero(~np.isnan(table[_COUNT]))
        return cls(filled + first, table[:, filled])


def joined(parts: Sequence[Buckets]) -> Buckets:
    """Buckets of the same stride, in order; the last of one part and the first of the next may be the same bucket."""
    numbers = np.concatenate([part.numbers for part in parts])
    return _grouped(numbers, np.concatenate([part.table for part in parts], axis=1))


def _grouped(numbers: Ints, table: Floats) -> Buckets:
    """Columns of the same number merged into one; numbers (N,) must not decrease."""
    if not len(numbers):
        return Buckets.none()
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    if len(starts) == len(numbers):
        return Buckets(numbers, table)
    groups = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(numbers))))
    merged = np.empty((len(FIELDS), len(starts)))
    for x, y, smallest in ((_X_LOW, _LOW, np.fmin), (_X_HIGH, _HIGH, np.fmax)):
        merged[y] = smallest.reduceat(table[y], starts)
        merged[x] = _first(table[x], table[y] == merged[y][groups], groups, len(starts))
    last = np.fmax.reduceat(table[_X_LAST], starts)
    merged[_X_LAST], merged[_LAST] = last, _first(table[_LAST], table[_X_LAST] == last[groups], groups, len(starts))
    merged[_X_NAN] = np.fmax.reduceat(table[_X_NAN], starts)
    with np.errstate(over="ignore"):
        merged[_TOTAL] = np.add.reduceat(table[_TOTAL], starts)
    merged[_COUNT] = np.add.reduceat(table[_COUNT], starts)
    return Buckets(numbers[starts], merged)


def _first(values: Floats, mask: Bools, groups: Ints, count: int) -> Floats:
    """The first value of each group where the mask holds, NaN where it holds nowhere. (count,)"""
    first = np.full(count, np.nan)
    found = np.flatnonzero(mask)[::-1]
    first[groups[found]] = values[found]  # of several for one group the last to be assigned stays
    return first
