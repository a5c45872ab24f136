"""Numbers to dots: axis limits, ticks, min/max decimation and braille cells. NumPy only, no terminal.

A cell is two dots wide and four dots high, so a canvas of W x H cells has 2W x 4H dots. Dot rows count from the top.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

DOTS_X, DOTS_Y = 2, 4
"""Dots of one braille cell."""

BOUND = 1e300
"""Anything further from zero is drawn as infinite: differences of two such numbers overflow."""

TINY = 1e-300
"""Anything less counts as zero on a logarithmic axis: below this, numbers lose their digits."""

_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille cell, [row][column], as Unicode numbers them."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Limits of an axis. With `log` they are the base-10 logarithms of the limits."""

    lo: float
    hi: float
    log: bool = False

    def fraction(self, values: Floats) -> Floats:
        """Where values lie, 0 at the lower limit and 1 at the upper; clipped to that. Shape as given."""
        scaled = np.log10(values) if self.log else values
        return np.clip((scaled - self.lo) / (self.hi - self.lo), 0.0, 1.0)

    def slot(self, value: float, slots: int) -> int | None:
        """The slot (of `slots`, counted from the lower limit) nearest to a value; None when it lies outside."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        place = ((math.log10(value) if self.log else value) - self.lo) / (self.hi - self.lo)
        return round(place * (slots - 1)) if -1e-9 <= place <= 1 + 1e-9 else None


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled value on an axis."""

    value: float
    label: str


def nice_step(span: float, count: int, mantissas: Sequence[float] = (1, 2, 2.5, 5, 10)) -> float:
    """The smallest round number that cuts `span` (> 0) into at most `count` pieces."""
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (*mantissas, 10.0) if m * power >= raw * (1 - 1e-9))


def step_axis(first: float, last: float, count: int) -> Axis:
    """Limits for the training step: from 0 unless the run is seen through a window, at least one step wide.

    The upper limit moves from tick to tick, so the frame around the data stays the same for many redraws.
    """
    lo = 0.0 if 0 <= first <= max(1.0, 0.1 * last) else first
    span = max(last - lo, 1.0, abs(last) * 1e-9)
    quantum = max(nice_step(span, count, (1, 2, 5)), 1.0)
    lo = math.floor(lo / quantum + 1e-9) * quantum
    return Axis(lo, max(math.ceil(last / quantum - 1e-9) * quantum, lo + span))


def value_axis(low: float, high: float, count: int) -> Axis:
    """Linear limits around finite values low <= high, in fifths of a tick; 0 is included when it is near."""
    if high - low <= 1e-9 * max(abs(low), abs(high)) or high - low < 1e-300:
        return _around(low if abs(low) > 1e-290 else 0.0)
    if 0 <= low <= 0.3 * high:
        low = 0.0
    if low <= 0.0 and 0.3 * low <= high <= 0 != low:
        high = 0.0
    quantum = nice_step(high - low, count) / 5
    return Axis(math.floor(low / quantum + 1e-9) * quantum, math.ceil(high / quantum - 1e-9) * quantum)


def _around(value: float) -> Axis:
    """Limits that put a constant in the middle."""
    if value == 0:
        return Axis(-1.0, 1.0)
    return Axis(0.0, 2 * value) if value > 0 else Axis(2 * value, 0.0)


def log_axis(low: float, high: float) -> Axis:
    """Logarithmic limits around values TINY <= low <= high, at least a third of a decade apart."""
    lo, hi = math.log10(low), math.log10(high)
    room = max(0.0, 0.3 - (hi - lo)) / 2
    lo, hi = lo - room, hi + room
    quantum = nice_step(hi - lo, 20)
    return Axis(math.floor(lo / quantum + 1e-9) * quantum, math.ceil(hi / quantum - 1e-9) * quantum, log=True)


def wants_log(low: float, high: float) -> bool:
    """Whether positive values low..high are told apart better on a logarithmic axis: two decades or more."""
    return low > 0 and high / low >= 100


def step_ticks(axis: Axis, count: int) -> list[Tick]:
    """At most about `count` ticks on whole steps."""
    return _linear(axis.lo, axis.hi, count, 1.0, (1, 2, 5))


def value_ticks(axis: Axis, count: int) -> list[Tick]:
    """At most about `count` ticks on round values of a linear or logarithmic axis."""
    if not axis.log:
        return _linear(axis.lo, axis.hi, count, 0.0)
    for mantissas, every in (
        ((1, 2, 5), 1),
        ((1, 3), 1),
        *(((1,), n) for n in (1, 2, 3, 5, 10, 20, 50, 100, 200)),
    ):
        values = _log_values(axis, mantissas, every)
        if len(values) <= count:
            break
    if len(values) >= 2:
        return [Tick(value, compact(value)) for value in values]
    low, high = 10**axis.lo, 10**axis.hi
    return _linear(low, high, count, 0.0)


def _log_values(axis: Axis, mantissas: Sequence[int], every: int) -> list[float]:
    powers = range(math.floor(axis.lo), math.ceil(axis.hi) + 1)
    # float("2e-310") keeps its digits; 2 * 10.0 ** -310 does not.
    values = [float(f"{m}e{p}") for p in powers if p % every == 0 and p < 308 for m in mantissas]
    return [v for v in values if v > 0 and axis.lo - 1e-9 <= math.log10(v) <= axis.hi + 1e-9]


def _linear(lo: float, hi: float, count: int, least: float, mantissas: Sequence[float] = (1, 2, 2.5, 5)) -> list[Tick]:
    """Ticks on multiples of a round step of at least `least`: about `count`, and two if at all possible."""
    for pieces in range(count, count + 5):
        step = max(least, nice_step(hi - lo, pieces, mantissas))
        first, last = math.ceil(lo / step - 1e-6), math.floor(hi / step + 1e-6)
        if last > first:
            break
    values = [i * step for i in range(first, last + 1)]
    return [Tick(v, t) for v, t in zip(values, tick_labels(values, step), strict=True)]


def compact(value: float) -> str:
    """One value in few characters: 0.05, 20, 1k, 30k, 1M, 1e-3."""
    return tick_labels([value], 10.0 ** math.floor(math.log10(abs(value)) + 1e-9))[0] if value else "0"


def tick_labels(values: Sequence[float], step: float) -> list[str]:
    """Labels short enough for a gutter and exact enough to differ from their neighbours one `step` away."""
    top = max((abs(v) for v in values), default=0.0)
    decimals = _decimals(step)
    if top >= 1e9 or (top < 0.01 and decimals > 2) or decimals > 8:
        digits = max(0, math.floor(math.log10(top)) + decimals) if top else 0
        return [_exponent(v, min(digits, 15)) if round(v / step) else "0" for v in values]
    if top >= 1e3 and _decimals(step / 1e3) <= 2:
        return [_suffixed(v) if round(v / step) else "0" for v in values]
    return [f"{v if round(v / step) else 0.0:.{decimals}f}" for v in values]


def _suffixed(value: float) -> str:
    """A round number with the largest unit that leaves at most two decimals: 500, 1.5k, 1.25M, 1001.5k."""
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        scaled = value / unit
        if abs(value) >= unit and abs(scaled - round(scaled, 2)) < 1e-6:
            text = f"{scaled:.2f}".rstrip("0").rstrip(".")
            return text + suffix
    return f"{value:.0f}"


def _decimals(step: float) -> int:
    """Decimals that write a round step (1, 2, 2.5 or 5 times a power of ten) exactly."""
    power = math.floor(math.log10(step) + 1e-9)
    mantissa = step / 10.0**power if power > -300 else 1.0
    return -power + (abs(mantissa - round(mantissa)) > 1e-6) if power <= 0 else 0


def _exponent(value: float, digits: int) -> str:
    mantissa, _, power = f"{value:.{digits}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(power)}"


@dataclass(frozen=True, slots=True)
class Columns:
    """What a series does in each dot column where it has drawable points: K of them, from left to right."""

    column: Ints
    """Dot column, increasing. (K,)"""
    first: Floats
    last: Floats
    low: Floats
    high: Floats
    """First, last, smallest and largest drawable value in that column. (K,) each"""
    joined: Bools
    """Whether the line comes in from the previous of these columns. (K,)"""
    above: Ints
    below: Ints
    undefined: Ints
    """Dot columns that hold +inf; -inf (or, on a logarithmic axis, 0 and less); NaN."""


def reduce(x: Floats, y: Floats, axis: Axis, dots: int, *, positive: bool = False) -> Columns:
    """Min/max decimation to `dots` columns: every spike survives, and the cost is two passes over y.

    x (N,) must not decrease; y (N,) may hold anything. With `positive`, values under TINY count as "below".
    """
    starts = np.concatenate([[0], np.searchsorted(x, _edges(axis, dots))])
    none = np.empty(0, np.int64)
    if len(y):
        filled, groups = _groups(starts, len(y))
        low, high = np.minimum.reduceat(y, groups), np.maximum.reduceat(y, groups)
        if low.min() >= (TINY if positive else -BOUND) and high.max() <= BOUND:  # False for NaN too
            return Columns(
                filled, y[groups], y[np.append(groups[1:], len(y)) - 1], low, high, filled > filled[0], none, none, none
            )
    keep = np.abs(y) <= BOUND
    if positive:
        keep &= y >= TINY
    kept, odd = np.flatnonzero(keep), np.flatnonzero(~keep)
    column, value = np.searchsorted(starts, odd, side="right") - 1, y[odd]
    above, below, undefined = value > BOUND, value < (TINY if positive else 0), np.isnan(value)
    y = y[keep]
    filled, groups = _groups(np.searchsorted(kept, starts), len(y))
    return Columns(
        filled,
        y[groups],
        y[np.append(groups[1:], len(y))[: len(groups)] - 1],
        np.minimum.reduceat(y, groups) if len(y) else y,
        np.maximum.reduceat(y, groups) if len(y) else y,
        (groups > 0) & (kept[groups] - kept[groups - 1] == 1),
        np.unique(column[above]),
        np.unique(column[below]),
        np.unique(column[undefined]),
    )


def _edges(axis: Axis, dots: int) -> Floats:
    """The values halfway between neighbouring dots. (dots - 1,)"""
    width = (axis.hi - axis.lo) / max(dots - 1, 1)
    edges: Floats = axis.lo + (np.arange(1, dots, dtype=np.float64) - 0.5) * width
    return edges


def _groups(starts: Ints, length: int) -> tuple[Ints, Ints]:
    """The dot columns that have points, and the index of the first point of each. (K,) both"""
    filled = np.flatnonzero(np.diff(np.append(starts, length)))
    return filled, starts[filled]


def line_dots(columns: Columns, axis: Axis, dots_x: int, dots_y: int) -> Bools:
    """Dots of the line through the points. (dots_y, dots_x)

    A line that only goes right crosses a dot column in one interval, so two numbers a column describe it.
    """
    top, bottom = np.full(dots_x, np.inf), np.full(dots_x, -np.inf)
    if len(columns.column):
        ends = _rows(np.stack([columns.high, columns.low, columns.first, columns.last]), axis, dots_y)
        border = _crossings(columns, ends[2], ends[3], dots_x)
        # Half a dot less on either side: a gentle slope is then one dot thick, a steep one still unbroken.
        upper = np.fmin(border[:-1], border[1:]) + 0.5
        lower = np.fmax(border[:-1], border[1:]) - 0.5
        flat = upper > lower
        upper[flat] = lower[flat] = (upper[flat] + lower[flat]) / 2
        top[columns.column], bottom[columns.column] = ends[0], ends[1]
        top, bottom = np.rint(np.fmin(top, upper)), np.rint(np.fmax(bottom, lower))
    rows = np.arange(dots_y)[:, np.newaxis]
    return (rows >= top) & (rows <= bottom)


def _rows(values: Floats, axis: Axis, dots_y: int) -> Floats:
    rows: Floats = (dots_y - 1) * (1 - axis.fraction(values))
    return rows


def _crossings(columns: Columns, first: Floats, last: Floats, dots_x: int) -> Floats:
    """Dot row at which the line crosses the border left of each column, NaN where it does not. (dots_x + 1,)"""
    border = np.full(dots_x + 1, np.nan)
    begin, end = int(columns.column[0]), int(columns.column[-1])
    where = np.arange(begin, end) + 0.5
    knots = (columns.column[:, np.newaxis] + np.array([-0.25, 0.25])).ravel()
    rows = np.interp(where, knots, np.stack([first, last], axis=1).ravel())
    rows[~columns.joined[np.searchsorted(columns.column, where)]] = np.nan
    border[begin + 1 : end + 1] = rows
    return border


def point_dots(columns: Columns, axis: Axis, dots_x: int, dots_y: int) -> Bools:
    """Dots of the smallest and largest point of each column, unconnected. (dots_y, dots_x)"""
    mask = np.zeros((dots_y, dots_x), np.bool_)
    for values in (columns.low, columns.high):
        mask[np.rint(_rows(values, axis, dots_y)).astype(np.int64), columns.column] = True
    return mask


def braille(mask: Bools) -> NDArray[np.uint8]:
    """The low byte of each braille character (0 = empty) from dots (4H, 2W). (H, W)"""
    dots = mask.view(np.uint8)
    cells = np.zeros((mask.shape[0] // DOTS_Y, mask.shape[1] // DOTS_X), np.uint8)
    for row, bits in enumerate(_DOT_BITS):
        for column, bit in enumerate(bits):
            cells |= dots[row::DOTS_Y, column::DOTS_X] * np.uint8(bit)
    return cells
