"""The curves of a run, however long, held at a bounded size for drawing."""

from typing import NamedTuple

import numpy as np

from tuitrain.record.buckets import Buckets, joined
from tuitrain.record.curves import CURVES, Before, column, cut
from tuitrain.record.packing import Floats

BUCKETS = 4096
"""Most buckets kept of a curve: several for each dot column of the widest terminal."""


def stride_for(executed: int) -> int:
    """The stride, a power of two, that cuts a run of so many executed steps into at most BUCKETS buckets."""
    needed = -(-executed // BUCKETS)
    return 1 << max(0, needed - 1).bit_length()


class Overview(NamedTuple):
    """All curves up to a step, in buckets."""

    executed: int
    """The last executed step that is in them."""
    stride: int
    """Executed steps to a bucket: at least `stride_for(executed)`."""
    curves: tuple[Buckets, ...]
    """One a curve of CURVES."""
    before: Before
    """What is known of the last step, for those that follow."""


class Trace(NamedTuple):
    """One curve in buckets."""

    buckets: Buckets = Buckets.none()
    stride: int = 1

    def extended(self, points: Buckets, stride: int) -> "Trace":
        """This curve and what follows it, `points` of stride 1, in buckets of `stride`: a multiple of its own."""
        old = self.buckets if stride == self.stride else self.buckets.merged(stride // self.stride)
        if not len(points.numbers):
            return Trace(old, stride)
        settled, open_ = old.split(int(points.numbers[0]) // stride)
        new = joined([open_, points.merged(stride)])
        numbers = np.concatenate([settled.numbers, new.numbers])
        return Trace(Buckets(numbers, np.concatenate([settled.table, new.table], axis=1)), stride)

    @property
    def latest(self) -> float:
        """The last value, NaN if that is NaN or if there is none."""
        last = self.buckets.column("last")[~np.isnan(self.buckets.column("x_last"))]
        return float(last[-1]) if len(last) else np.nan

    def extremes(self) -> tuple[Floats, Floats]:
        """What to draw a line through: the extremes of each bucket, NaN where it breaks, and the last point. x, y (M,)

        Every spike survives, a NaN beside it or not: at most three points a bucket.
        """
        x = np.stack([self.buckets.column(name) for name in ("x_low", "x_high", "x_nan")])
        y = np.stack([self.buckets.column("low"), self.buckets.column("high"), np.full(x.shape[1], np.nan)])
        x[1, x[0] == x[1]] = np.nan
        order = np.argsort(x, axis=0)  # NaN last
        x, y = (np.take_along_axis(part, order, axis=0).T.ravel() for part in (x, y))
        there = ~np.isnan(x)
        x, y = x[there], y[there]
        x_last = self.buckets.column("x_last")[-1:]
        if len(x) and x_last[0] > x[-1]:
            x, y = np.append(x, x_last), np.append(y, self.buckets.column("last")[-1])
        return x, y

    def means(self) -> tuple[Floats, Floats]:
        """The mean of each bucket where its last value stands, and NaN where the curve breaks off. x, y (M,)"""
        count, x_last, x_nan = (self.buckets.column(name) for name in ("count", "x_last", "x_nan"))
        means = np.full(len(count), np.nan)
        np.divide(self.buckets.column("total"), count, out=means, where=count > 0)
        x = np.stack([x_last, np.where(x_nan <= x_last, np.nan, x_nan)]).T.ravel()
        y = np.stack([means, np.full(len(means), np.nan)]).T.ravel()
        there = ~np.isnan(x)
        return x[there], y[there]


class Traces:
    """All curves of a run, for drawing.

    What steps cost depends on how many are new, never on how long the run is; and what is held depends on the steps
    alone, not on the pieces in which they came.
    """

    def __init__(self, overview: Overview | None = None) -> None:
        self.executed = 0
        """The last executed step that is in them."""
        self.before = Before()
        self.curves = dict.fromkeys(CURVES, Trace())
        if overview is not None:
            self.executed, self.before = overview.executed, overview.before
            for name, buckets in zip(CURVES, overview.curves, strict=True):
                self.curves[name] = Trace(buckets, overview.stride)

    def extend(self, table: Floats) -> None:
        """Take in the steps that follow, as a table (11, N)."""
        if not table.shape[1]:
            return
        self.executed = int(column(table, "executed")[-1])
        stride = max(self.stride, stride_for(self.executed))
        for name, points in zip(CURVES, cut(table, self.before), strict=True):
            self.curves[name] = self.curves[name].extended(points, stride)
        self.before = Before.after(table)

    @property
    def stride(self) -> int:
        """Executed steps to a bucket."""
        return self.curves["loss"].stride

    def __getitem__(self, name: str) -> Trace:
        return self.curves[name]
