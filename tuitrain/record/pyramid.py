"""The table of buckets that a journal keeps beside its steps: all curves at several strides.

Level 0 has buckets of 64 executed steps, each further level four times as wide. 64 neighbouring buckets of a level, of
every curve, are stored together as one group, once its last step is there: what is being filled is never stored, it can
always be made from the finer level, and on level 0 from the steps themselves.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from tuitrain.record.buckets import FIELDS, Buckets, joined
from tuitrain.record.curves import CURVES, Before, column, cut, no_steps
from tuitrain.record.packing import Floats, pack, unpack

FINEST = 64
"""Stride of level 0."""

FAN = 4
"""How much wider the buckets of the next level are."""

GROUP = 64
"""Buckets of each curve stored together."""

CHUNK = FINEST * GROUP
"""Executed steps in a group of level 0."""

Curves = tuple[Buckets, ...]
"""Buckets of each of CURVES."""

NOTHING: Curves = (Buckets.none(),) * len(CURVES)


def stride_of(level: int) -> int:
    """Executed steps in a bucket of a level."""
    stride: int = FINEST * FAN**level
    return stride


def span_of(level: int) -> int:
    """Executed steps in a group of a level."""
    return GROUP * stride_of(level)


def level_for(stride: int) -> int:
    """The widest level whose buckets are no wider than `stride`; 0 if none is that fine."""
    level = 0
    while stride_of(level + 1) <= stride:
        level += 1
    return level


def merged(curves: Curves, factor: int) -> Curves:
    """Each curve in buckets `factor` times as wide."""
    return tuple(buckets.merged(factor) for buckets in curves)


def chained(parts: list[Curves]) -> Curves:
    """Each curve from parts that follow one another, of the same stride."""
    return tuple(joined([part[index] for part in parts]) for index in range(len(CURVES))) if parts else NOTHING


class Group(NamedTuple):
    """64 neighbouring buckets of a level, of every curve."""

    level: int
    number: int
    """Which group of its level, from 0."""
    curves: Curves

    def packed(self) -> bytes:
        """As bytes, to be stored."""
        first = self.number * GROUP
        return pack(np.concatenate([buckets.dense(first, GROUP) for buckets in self.curves]))

    @classmethod
    def unpacked(cls, level: int, number: int, packed: bytes) -> "Group":
        """What `packed` gave, back."""
        table = unpack(packed, len(CURVES) * len(FIELDS))
        parts = np.split(table, len(CURVES))
        return cls(level, number, tuple(Buckets.from_dense(part, number * GROUP) for part in parts))


def whole_groups(executed: int, level: int, wider_level: int | None = None) -> range:
    """The groups of a level that are whole after so many executed steps; only those after the last whole one of a
    wider level, if that is given.
    """
    first = 0 if wider_level is None else executed // span_of(wider_level) * FAN ** (wider_level - level)
    return range(first, executed // span_of(level))


class Growth(NamedTuple):
    """What the writer must remember of the run to go on with the table of buckets. A value: growing makes a new one."""

    steps: Floats = no_steps()
    """The steps after the last whole group of level 0. (11, n)"""
    before: Before = Before()
    """What is known of the step before these."""
    chunk: int = 0
    """The group of level 0 that is being filled."""
    pending: Mapping[int, Curves] = {}
    """The buckets of each level, from 1 on, of the group that is being filled: those that are whole."""

    def extended(self, steps: Floats) -> tuple["Growth", list[Group]]:
        """With further steps (11, N); and the groups that became whole."""
        grown, groups = self._replace(steps=np.concatenate([self.steps, steps], axis=1)), list[Group]()
        while grown.steps.shape[1] and column(grown.steps, "executed")[-1] >= (grown.chunk + 1) * CHUNK:
            grown = grown._with_chunk_closed(groups)
        return grown, groups

    def _with_chunk_closed(self, groups: list[Group]) -> "Growth":
        end = int(np.searchsorted(column(self.steps, "executed"), (self.chunk + 1) * CHUNK, side="right"))
        closed, rest = self.steps[:, :end], self.steps[:, end:]
        pending = dict(self.pending)
        groups.extend(_rising(self.chunk, merged(cut(closed, self.before), FINEST), pending))
        before = Before.after(closed) if end else self.before
        return Growth(rest, before, self.chunk + 1, pending)


def _rising(number: int, curves: Curves, pending: dict[int, Curves]) -> Iterator[Group]:
    """The group of level 0 that became whole, and those of wider levels that became so with it."""
    level = 0
    while True:
        yield Group(level, number, curves)
        level += 1
        pending[level] = chained([pending.get(level, NOTHING), merged(curves, FAN)])
        if (number + 1) % FAN:
            return
        number //= FAN
        curves = pending.pop(level)
