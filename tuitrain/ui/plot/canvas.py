"""The data of a figure, painted into cells."""

import sys
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

from tuitrain.ui.arrays import Bools, Ints
from tuitrain.ui.plot import raster
from tuitrain.ui.plot.figure import Figure, Marker, Threshold
from tuitrain.ui.plot.look import Look
from tuitrain.ui.plot.plan import Curve, Plan

EDGES = {"inf": "▲", "NaN": "×", "-inf": "▼", "≤0": "▼"}
EDGES_ASCII = {"inf": "^", "NaN": "!", "-inf": "v", "≤0": "v"}
"""Marks at the edge of the canvas for what it cannot show; ≤0 is beyond a logarithmic axis."""

_BRAILLE = np.arange(0x2800, 0x2900, dtype=np.uint32)

Cells: TypeAlias = Bools | tuple[int | slice | Ints, int | slice | Ints]
"""Cells of a canvas: a mask, or indices of row and column."""


class Canvas:
    """Cells of the data area: a character and a style each; what is put later covers what was there."""

    def __init__(self, columns: int, rows: int, base: Style) -> None:
        self.codes = np.full((rows, columns), ord(" "), np.uint32)
        self.inks = np.zeros((rows, columns), np.uint8)
        self.styles = {base: 0}

    def put(self, where: Cells, codes: NDArray[np.uint32] | int, style: Style) -> None:
        """Cover cells with one character, or one each, in one style."""
        self.codes[where] = codes
        self.inks[where] = self.styles.setdefault(style, len(self.styles))

    def rows(self) -> list[list[Segment]]:
        """Segments of each row: one for each run of cells in the same style."""
        rows, columns = self.codes.shape
        text = self.codes.tobytes().decode(f"utf-32-{sys.byteorder[0]}e")
        # A blank cell takes the style of the cell before it: fewer, longer runs.
        drawn = np.maximum.accumulate(np.where(self.codes == ord(" "), 0, np.arange(columns)), axis=1)
        inks = np.take_along_axis(self.inks, drawn, axis=1)
        begins = np.ones((rows, columns), np.bool_)
        begins[:, 1:] = inks[:, 1:] != inks[:, :-1]
        starts = np.flatnonzero(begins)
        styles = list(self.styles)
        segments: list[list[Segment]] = [[] for _ in range(rows)]
        bounds = starts.tolist()
        for start, end, ink in zip(bounds, [*bounds[1:], rows * columns], inks.ravel()[starts].tolist(), strict=True):
            segments[start // columns].append(Segment(text[start:end], styles[ink]))
        return segments


def paint(figure: Figure, plan: Plan, look: Look) -> Canvas:
    """From back to front: markers, dim series, thresholds, the others, then what ends and what leaves the chart."""
    canvas = Canvas(plan.columns, plan.rows, look.base)
    _paint_markers(canvas, figure.markers, plan, look)
    for curve in plan.curves:
        if curve.series.dim:
            _paint_curve(canvas, curve, plan, look)
    _paint_thresholds(canvas, figure.thresholds, plan, look)
    for curve in plan.curves:
        if not curve.series.dim:
            _paint_curve(canvas, curve, plan, look)
    for curve in plan.curves:
        if not (curve.series.dim or curve.series.glyph == "points" or look.shapes_only):
            _paint_tip(canvas, curve, plan, look)
        _paint_edges(canvas, curve, plan, look)
    return canvas


def _paint_markers(canvas: Canvas, markers: Sequence[Marker], plan: Plan, look: Look) -> None:
    """Vertical dotted lines, behind everything."""
    for marker in markers:
        if (dot := plan.x.slot(marker.x, plan.columns * raster.DOTS_X)) is not None:
            cell, side = divmod(dot, raster.DOTS_X)
            code = ord(":") if look.ascii_only else ord("⠅⠨"[side])
            canvas.put((slice(None), cell), code, look.faint)


def _paint_thresholds(canvas: Canvas, thresholds: Sequence[Threshold], plan: Plan, look: Look) -> None:
    """Horizontal dotted lines, over the faint series only."""
    for threshold in thresholds:
        if (dot := plan.y.slot(threshold.y, plan.rows * raster.DOTS_Y)) is not None:
            cell, height = divmod(dot, raster.DOTS_Y)
            code = ord("-") if look.ascii_only else ord("⡀⠄⠂⠁"[height])
            canvas.put((plan.rows - 1 - cell, slice(None)), code, look.base)


def _paint_curve(canvas: Canvas, curve: Curve, plan: Plan, look: Look) -> None:
    points = curve.series.glyph == "points"
    dots = (raster.point_dots if points else raster.line_dots)(
        curve.data, plan.y, plan.columns * raster.DOTS_X, plan.rows * raster.DOTS_Y
    )
    cells = raster.braille(dots)
    where = cells > 0
    in_marks = points or look.ascii_only or (look.shapes_only and not curve.faint_line)
    canvas.put(where, ord(curve.mark) if in_marks else _BRAILLE[cells[where]], look.ink(curve.series))


def _paint_tip(canvas: Canvas, curve: Curve, plan: Plan, look: Look) -> None:
    """A shape where the line ends: the eye finds the present, and tells the lines apart without colour."""
    if len(curve.data.column):
        dot = plan.y.slot(float(curve.data.last[-1]), plan.rows * raster.DOTS_Y) or 0
        cell = (plan.rows - 1 - dot // raster.DOTS_Y, int(curve.data.column[-1]) // raster.DOTS_X)
        canvas.put(cell, ord(curve.mark), look.strong(curve.series))


def _paint_edges(canvas: Canvas, curve: Curve, plan: Plan, look: Look) -> None:
    for word, dots in curve.odd(log=plan.y.log):
        row = 0 if word in ("inf", "NaN") else -1
        mark = (EDGES_ASCII if look.ascii_only else EDGES)[word]
        canvas.put((row, dots // raster.DOTS_X), ord(mark), look.strong(curve.series))
