"""Numbers to dots: min/max decimation and braille cells. NumPy only, no terminal.

A cell is two dots wide and four dots high, so a canvas of W x H cells has 2W x 4H dots. Dot rows count from the top.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuitrain.ui.arrays import Bools, Floats, Ints
from tuitrain.ui.plot.axes import Axis

DOTS_X, DOTS_Y = 2, 4
"""Dots of one braille cell."""

BOUND = 1e300
"""Anything further from zero is drawn as infinite: differences of two such numbers overflow."""

TINY = 1e-300
"""Anything less counts as zero on a logarithmic axis: below this, numbers lose their digits."""

_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille cell, [row][column], as Unicode numbers them."""


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
