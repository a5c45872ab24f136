"""A curve that grows for as long as the run does, held at a bounded size for drawing."""

import numpy as np

from tuitrain.ui.arrays import Floats

BUCKETS = 4096
"""Most buckets kept: several for each dot column of the widest terminal."""

_BLOCK = 256


class Trace:
    """Cuts a growing curve into buckets of `stride` points; keeps the smallest, the largest and the mean of each.

    Every spike survives. When there are too many buckets, neighbours are merged and the stride doubles, so that what a
    poll costs depends on what is new, never on how long the run is. A bucket that holds a NaN is NaN.
    """

    def __init__(self) -> None:
        self.stride = 1
        self._extremes = np.empty((0, 2, 2))
        """[bucket, the earlier and the later of its two extremes, x and y]"""
        self._means = np.empty((0, 2))
        """[bucket, mean of x and y]"""
        self._rest = np.empty((0, 2))
        """Points of the bucket that is not full yet: [point, x and y]."""
        self._last = np.empty((0, 2))

    def extend(self, x: Floats, y: Floats) -> None:
        """Append points; x (N,) must not decrease, y (N,) may hold anything."""
        points = np.concatenate([self._rest, np.stack([x, y], axis=1)])
        self._last = points[-1:] if len(points) else self._last
        while len(self._extremes) + len(points) // self.stride > BUCKETS:
            points = self._double(points)
        full = len(points) // self.stride * self.stride
        self._append(points[:full])
        self._rest = points[full:]

    def extremes(self) -> tuple[Floats, Floats]:
        """What to draw a line through: at most two points a bucket, and the last one whole. x (M,), y (M,)"""
        if self.stride == 1:
            points = self._extremes[:, 0]
        else:
            points = np.concatenate([self._extremes.reshape(-1, 2), self._rest if len(self._rest) else self._last])
        return points[:, 0].copy(), points[:, 1].copy()

    def means(self) -> tuple[Floats, Floats]:
        """The mean of each bucket, the last one as full as it is. x (M,), y (M,)"""
        last = self._rest.mean(axis=0, keepdims=True) if len(self._rest) else self._rest
        points = np.concatenate([self._means, last])
        return points[:, 0].copy(), points[:, 1].copy()

    def _append(self, points: Floats) -> None:
        buckets = points.reshape(-1, self.stride, 2)
        with np.errstate(invalid="ignore", over="ignore"):  # infinite values have no mean
            means = buckets.mean(axis=1)
        self._means = np.concatenate([self._means, means])
        self._extremes = np.concatenate([self._extremes, _extremes(buckets)])

    def _double(self, points: Floats) -> Floats:
        """Merge neighbouring buckets, the last with one made of the first `points`; returns the others."""
        taken = len(self._extremes) % 2 * self.stride
        self._append(points[:taken])
        with np.errstate(invalid="ignore", over="ignore"):
            self._means = self._means.reshape(-1, 2, 2).mean(axis=1)
        self._extremes = _extremes(self._extremes.reshape(-1, 4, 2))
        self.stride *= 2
        return points[taken:]


def _extremes(buckets: Floats) -> Floats:
    """The smallest and the largest y of each bucket, in order of x: (B, K, 2) to (B, 2, 2)."""
    if not len(buckets):
        return buckets[:, :2].reshape(0, 2, 2)
    which = np.sort(np.stack([buckets[..., 1].argmin(axis=1), buckets[..., 1].argmax(axis=1)], axis=1), axis=1)
    extremes: Floats = np.take_along_axis(buckets, which[..., np.newaxis], axis=1)
    return extremes


def smoothed(values: Floats, decay: float) -> Floats:
    """The exponential moving average of finite values with its bias towards zero corrected, as Adam does it. (N,)

    Block by block: within one, a cumulative sum of the values divided by the decay that awaits them.
    """
    blocks = -(-len(values) // _BLOCK)
    padded = np.zeros(blocks * _BLOCK)
    padded[: len(values)] = values
    decays = decay ** np.arange(1, _BLOCK + 1)
    within = np.cumsum(padded.reshape(blocks, _BLOCK) / decays, axis=1) * decays * (1 - decay)
    carried = np.zeros(blocks)
    for block in range(1, blocks):
        carried[block] = carried[block - 1] * decays[-1] + within[block - 1, -1]
    averages: Floats = (within + carried[:, np.newaxis] * decays).ravel()[: len(values)]
    return averages / (1 - decay ** np.arange(1, len(values) + 1))
