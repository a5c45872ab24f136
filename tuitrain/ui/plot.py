"""A figure to coloured terminal cells: axes and ticks from plotext, the data rasterised in NumPy.

plotext draws the frame once for as long as the ticks stay where they are; each redraw only rasterises the data.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from textwrap import wrap
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tuitrain.ui import raster
from tuitrain.ui.raster import Axis, Bools, Columns, Floats, Ints, Tick

GUTTER = 5
"""Cells kept for y labels where there is room: labels up to this long do not move the frame."""

TIPS = "●◆■★○◇□☆"
"""Ends of lines, and points: a shape for each series, so that colour is not needed to tell them apart."""

MARKS = "•+o*#%@&$"
"""What lines are made of where there is no colour."""

MARKS_ASCII = "*+ox#@%&$"

FAINT_MARKS, FAINT_MARKS_ASCII = "⠶", ".,:;'"
"""What dim lines show in the legend. In ASCII they are made of it, otherwise of braille dots."""

EDGES = {"inf": "▲", "NaN": "×", "-inf": "▼", "≤0": "▼"}
EDGES_ASCII = {"inf": "^", "NaN": "!", "-inf": "v", "≤0": "v"}
"""Marks at the edge of the canvas for what it cannot show; ≤0 is beyond a logarithmic axis."""

_BRAILLE = np.arange(0x2800, 0x2900, dtype=np.uint32)
_ASCII_FRAME = str.maketrans("│┤├─┬┴└┌┐┘┼", "||+-++++++" + "+")

Cells: TypeAlias = Bools | tuple[int | slice | Ints, int | slice | Ints]
"""Cells of a canvas: a mask, or indices of row and column."""


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """One curve. Compared by identity: make a new one when the data changed."""

    name: str
    """Legend text, with the current value where that is wanted."""
    x: Floats
    """Training steps, never decreasing, finite. (N,)"""
    y: Floats
    """Values; inf is marked at the edge of the chart and breaks the line. (N,)"""
    colour: str
    """A rich colour: a name or #rrggbb."""
    dim: bool = False
    """Background of the chart: faint, and without a mark at its end."""
    glyph: Literal["line", "points"] = "line"
    nan: Literal["diverged", "gap"] = "diverged"
    """What a NaN in y says. Both break the line; "diverged" is also marked at the top edge and named."""

    def __post_init__(self) -> None:
        if self.x.ndim != 1 or self.x.shape != self.y.shape:
            raise ValueError(f"series {self.name!r}: x has shape {self.x.shape}, y {self.y.shape}; give two of (N,)")
        if self.x.dtype != np.float64 or self.y.dtype != np.float64:
            raise ValueError(f"series {self.name!r}: x is {self.x.dtype}, y {self.y.dtype}; give float64")
        if len(self.x) and not (np.isfinite(self.x[0]) and np.isfinite(self.x[-1])):
            raise ValueError(f"series {self.name!r}: x must be finite")


@dataclass(frozen=True, slots=True)
class Marker:
    """A vertical line at step `x`: something was changed here."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """A horizontal line at value `y`."""

    y: float
    label: str


@dataclass(frozen=True, eq=False, slots=True)
class Figure:
    """Everything one chart shows. Compared by identity: make a new one when something changed."""

    series: Sequence[Series] = ()
    """Drawn in this order, the dim ones first: later ones lie on top."""
    markers: Sequence[Marker] = ()
    thresholds: Sequence[Threshold] = ()
    y_log: Literal["auto"] | bool = "auto"
    """"auto": logarithmic when no value is negative and the positive ones span two decades or more."""
    x_label: str = "step"
    title: str = ""
    empty: str = "no data yet"
    """Shown instead of the axes while no series has a point."""


@dataclass(frozen=True, slots=True)
class Look:
    """How to draw, apart from what."""

    ascii_only: bool = False
    colour: bool = True
    base: Style = field(default_factory=Style.null)
    """Style of labels and of the background."""

    @property
    def shapes_only(self) -> bool:
        """Whether series differ by their marks alone."""
        return self.ascii_only or not self.colour

    @property
    def faint(self) -> Style:
        """Style of axes, marker lines and the like."""
        return _style(self.base, None, True, False)

    def text(self, text: str) -> str:
        """Text without what a terminal would not show as it is."""
        if self.ascii_only:
            text = text.replace("…", "~").encode("ascii", "replace").decode("ascii")
        return "".join(c if c.isprintable() else " " for c in text)

    def ink(self, series: Series) -> Style:
        """Style of a series."""
        return _style(self.base, series.colour if self.colour else None, series.dim, False)

    def strong(self, series: Series) -> Style:
        """Style of what must be seen of a series."""
        return _style(self.base, series.colour if self.colour else None, False, True)


@lru_cache(maxsize=128)
def _style(base: Style, colour: str | None, dim: bool, bold: bool) -> Style:
    return base + Style(color=colour, dim=dim or None, bold=bold or None)


def draw(
    figure: Figure,
    width: int,
    height: int,
    *,
    ascii_only: bool = False,
    colour: bool = True,
    base: Style | None = None,
) -> list[Strip]:
    """Draw a figure as exactly `height` strips of exactly `width` cells, at any size from 0 x 0 up.

    With less room it drops the legend, then the ticks, then the axes. `ascii_only` uses no character beyond ASCII;
    there and without `colour`, each series is drawn with a mark of its own. `base` lies under every cell.
    """
    look = Look(ascii_only, colour, base or Style.null())
    if width < 1 or height < 1:
        return [Strip([], 0)] * max(height, 0)
    if not any(len(series.x) for series in figure.series):
        return _draw_empty(figure.empty, width, height, look)
    plan = _Plan.of(figure, width, height, look)
    strips = _framed(_paint(figure, plan, look).rows(), plan, look, figure.x_label)
    if plan.notes:
        strips.insert(0, _notes(figure.markers, plan, look))
    if plan.legend:
        strips.insert(0, _legend(figure, plan, look))
    return strips


def _draw_empty(text: str, width: int, height: int, look: Look) -> list[Strip]:
    lines = wrap(look.text(text), width)[:height]
    blank = Strip([Segment(" " * width, look.base)], width)
    strips = [blank] * height
    for row, line in enumerate(lines, (height - len(lines)) // 2):
        left = " " * ((width - cell_len(line)) // 2)
        strips[row] = Strip([Segment(set_cell_size(left + line, width), look.faint)], width)
    return strips


@dataclass(frozen=True, slots=True)
class _Curve:
    """A series made ready for one size."""

    series: Series
    data: Columns
    mark: str
    """Its tip, its points or, without colour, what its line is made of."""

    @property
    def faint_line(self) -> bool:
        """Whether it is background: no tip, and faint marks."""
        return self.series.dim and self.series.glyph == "line"

    def odd(self, *, log: bool) -> list[tuple[str, Ints]]:
        """What lies beyond the edges, in words, and in which dot columns."""
        undefined = self.data.undefined if self.series.nan == "diverged" else self.data.undefined[:0]
        beyond = (("inf", self.data.above), ("≤0" if log else "-inf", self.data.below), ("NaN", undefined))
        return [(word, dots) for word, dots in beyond if len(dots)]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where everything of a figure goes at one size: what is dropped, the axes, the decimated data."""

    legend: bool
    notes: bool
    gutter: int
    """Cells left of the canvas, the axis itself included."""
    columns: int
    rows: int
    """Cells of the canvas."""
    x: Axis
    y: Axis
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    axes: bool
    curves: Sequence[_Curve]

    @classmethod
    def of(cls, figure: Figure, width: int, height: int, look: Look) -> "_Plan":
        legend = height >= 5 and width >= 12
        ticks = height >= 4 and width >= 16
        axes = height >= 3 and width >= 6
        notes = bool(figure.markers) and height >= 9 and legend
        rows = height - legend - notes - axes - ticks
        gutter = (GUTTER if width >= 40 else 3) * ticks + axes
        while True:
            columns = width - gutter
            x = _x_axis(figure.series, columns)
            y, data = _y_axis(figure, x, columns, rows)
            count = max(2, (rows + 1) // (2 if y.log else 3))
            y_ticks = raster.value_ticks(y, count) if ticks and _any(data) else []
            needed = max((len(tick.label) for tick in y_ticks), default=0) + axes
            if needed <= gutter or needed > width // 2:
                break
            gutter = needed  # decimated anew: the canvas is narrower than assumed
        x_ticks = raster.step_ticks(x, max(2, columns // 10)) if ticks else []
        if needed > gutter:
            y_ticks = []
        marks = _marks(figure.series, look)
        curves = [_Curve(*parts) for parts in zip(figure.series, data, marks, strict=True)]
        return cls(legend, notes, gutter, columns, rows, x, y, x_ticks, y_ticks, axes, curves)


def _x_axis(series: Sequence[Series], columns: int) -> Axis:
    filled = [s.x for s in series if len(s.x)]
    first, last = min(float(x[0]) for x in filled), max(float(x[-1]) for x in filled)
    return raster.step_axis(first, last, max(2, columns // 10))


def _any(data: Iterable[Columns]) -> bool:
    return any(len(columns.column) for columns in data)


def _y_axis(figure: Figure, x: Axis, columns: int, rows: int) -> tuple[Axis, list[Columns]]:
    """The y axis and the data decimated for it."""
    dots = columns * raster.DOTS_X

    def decimated(positive: bool) -> list[Columns]:
        return [raster.reduce(s.x, s.y, x, dots, positive=positive) for s in figure.series]

    data = decimated(positive=False)
    low, high = _extent(figure, data)
    if figure.y_log is True or (figure.y_log == "auto" and low >= 0 and high > 0):
        positive = data if low >= raster.TINY else decimated(positive=True)
        floor, _ = _extent(figure, positive, above_zero=True)
        if floor <= high and (figure.y_log is True or raster.wants_log(floor, high)):
            return raster.log_axis(floor, high), positive
    ticks = max(2, (rows + 1) // 3)
    return raster.value_axis(low, high, ticks) if low <= high else Axis(0.0, 1.0), data


def _extent(figure: Figure, data: Iterable[Columns], *, above_zero: bool = False) -> tuple[float, float]:
    """Smallest and largest drawable value of series and thresholds; (inf, -inf) when there is none."""
    lines = [t.y for t in figure.thresholds if abs(t.y) <= raster.BOUND and (t.y >= raster.TINY or not above_zero)]
    filled = [columns for columns in data if len(columns.column)]
    low = min([float(columns.low.min()) for columns in filled] + lines, default=np.inf)
    high = max([float(columns.high.max()) for columns in filled] + lines, default=-np.inf)
    return low, high


def _marks(series: Sequence[Series], look: Look) -> list[str]:
    """The mark of each series."""
    strong = iter((MARKS_ASCII if look.ascii_only else MARKS if look.shapes_only else TIPS) * len(series))
    faint = iter((FAINT_MARKS_ASCII if look.ascii_only else FAINT_MARKS) * len(series))
    return [next(faint) if s.dim and s.glyph == "line" else next(strong) for s in series]


class _Canvas:
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


def _paint(figure: Figure, plan: _Plan, look: Look) -> _Canvas:
    """From back to front: markers, dim series, thresholds, the others, then what ends and what leaves the chart."""
    canvas = _Canvas(plan.columns, plan.rows, look.base)
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


def _paint_markers(canvas: _Canvas, markers: Sequence[Marker], plan: _Plan, look: Look) -> None:
    """Vertical dotted lines, behind everything."""
    for marker in markers:
        if (dot := plan.x.slot(marker.x, plan.columns * raster.DOTS_X)) is not None:
            cell, side = divmod(dot, raster.DOTS_X)
            code = ord(":") if look.ascii_only else ord("⠅⠨"[side])
            canvas.put((slice(None), cell), code, look.faint)


def _paint_thresholds(canvas: _Canvas, thresholds: Sequence[Threshold], plan: _Plan, look: Look) -> None:
    """Horizontal dotted lines, over the faint series only."""
    for threshold in thresholds:
        if (dot := plan.y.slot(threshold.y, plan.rows * raster.DOTS_Y)) is not None:
            cell, height = divmod(dot, raster.DOTS_Y)
            code = ord("-") if look.ascii_only else ord("⡀⠄⠂⠁"[height])
            canvas.put((plan.rows - 1 - cell, slice(None)), code, look.base)


def _paint_curve(canvas: _Canvas, curve: _Curve, plan: _Plan, look: Look) -> None:
    points = curve.series.glyph == "points"
    dots = (raster.point_dots if points else raster.line_dots)(
        curve.data, plan.y, plan.columns * raster.DOTS_X, plan.rows * raster.DOTS_Y
    )
    cells = raster.braille(dots)
    where = cells > 0
    in_marks = points or look.ascii_only or (look.shapes_only and not curve.faint_line)
    canvas.put(where, ord(curve.mark) if in_marks else _BRAILLE[cells[where]], look.ink(curve.series))


def _paint_tip(canvas: _Canvas, curve: _Curve, plan: _Plan, look: Look) -> None:
    """A shape where the line ends: the eye finds the present, and tells the lines apart without colour."""
    if len(curve.data.column):
        dot = plan.y.slot(float(curve.data.last[-1]), plan.rows * raster.DOTS_Y) or 0
        cell = (plan.rows - 1 - dot // raster.DOTS_Y, int(curve.data.column[-1]) // raster.DOTS_X)
        canvas.put(cell, ord(curve.mark), look.strong(curve.series))


def _paint_edges(canvas: _Canvas, curve: _Curve, plan: _Plan, look: Look) -> None:
    for word, dots in curve.odd(log=plan.y.log):
        row = 0 if word in ("inf", "NaN") else -1
        mark = (EDGES_ASCII if look.ascii_only else EDGES)[word]
        canvas.put((row, dots // raster.DOTS_X), ord(mark), look.strong(curve.series))


def _legend(figure: Figure, plan: _Plan, look: Look) -> Strip:
    """Title, then mark and name of each curve and threshold; what finds no room goes, the faint ones first."""
    title = [[Segment(look.text(figure.title), _style(look.base, None, False, True))]] if figure.title else []
    faint = [_entry(curve, plan, look) for curve in plan.curves if curve.faint_line]
    bright = [_entry(curve, plan, look) for curve in plan.curves if not curve.faint_line]
    line = "-" if look.ascii_only else "┈"
    bright += [[Segment(line, look.base), Segment(f" {look.text(t.label)}", look.base)] for t in figure.thresholds]
    first_words = [[mark, Segment(_first_word(name.text), name.style), *odd] for mark, name, *odd in bright]
    fewer = [bright[:count] for count in range(len(bright) - 1, 0, -1)]
    width = plan.gutter + plan.columns
    for choice in (title + faint + bright, faint + bright, title + bright, bright, first_words, *fewer):
        gap = Segment(" " if choice is first_words else "   ", look.base)
        row = [segment for entry in choice for segment in (*entry, gap)][:-1]
        room = width - sum(cell_len(segment.text) for segment in row)
        if row and room >= 0:
            break
    indent = Segment(" " * min(plan.gutter, max(room, 0)), look.base)
    return Strip([indent, *row]).adjust_cell_length(width, look.base)


def _first_word(text: str) -> str:
    return " " + (text.split() or [""])[0]


def _entry(curve: _Curve, plan: _Plan, look: Look) -> list[Segment]:
    """Mark and name of a curve and, in words, what its marks at the edges say."""
    style = look.ink(curve.series) if curve.faint_line else look.strong(curve.series)
    entry = [Segment(curve.mark, style), Segment(" " + look.text(curve.series.name), look.base)]
    for word, _ in curve.odd(log=plan.y.log):
        entry.append(Segment(" " + (word.replace("≤", "<=") if look.ascii_only else word), look.strong(curve.series)))
    return entry


def _notes(markers: Sequence[Marker], plan: _Plan, look: Look) -> Strip:
    """Labels of the markers above their lines, never overlapping: shortened, and dropped where there is no room."""
    labels: dict[int, str] = {}
    for marker in sorted(markers, key=lambda m: m.x):
        if (dot := plan.x.slot(marker.x, plan.columns * raster.DOTS_X)) is not None:
            column = dot // raster.DOTS_X
            text = look.text(marker.label)
            labels[column] = f"{labels[column]}, {text}" if column in labels else text
    row = [" "] * plan.columns
    end = plan.columns
    for column, before in pairwise([*sorted(labels, reverse=True), -2]):
        start = min(column, max(end - cell_len(labels[column]), before + 2))
        text = _shorten(labels[column], end - start, look)
        row[start : start + cell_len(text)] = [text] if text else []
        row[start + 1 : start + 1] = [""] * (cell_len(text) - 1)
        end = start - 2
    text = " " * plan.gutter + "".join(row)
    return Strip([Segment(text, look.faint)]).adjust_cell_length(plan.gutter + plan.columns, look.base)


def _shorten(text: str, width: int, look: Look) -> str:
    if cell_len(text) <= width:
        return text
    if width >= 3:
        return set_cell_size(text, width - 1).rstrip() + look.text("…")
    return set_cell_size(text, max(width, 0)).rstrip()


def _framed(canvas: list[list[Segment]], plan: _Plan, look: Look, x_label: str) -> list[Strip]:
    """The rows of the canvas in their frame."""
    width = plan.gutter + plan.columns
    if not plan.axes:
        return [Strip(row, width) for row in canvas]
    x_ticks = _placed(plan.x_ticks, plan.x, plan.columns, raster.DOTS_X)
    y_ticks = _placed(plan.y_ticks, plan.y, plan.rows, raster.DOTS_Y)
    ticks = bool(plan.x_ticks)
    left = _left_edge(plan.gutter, plan.rows, y_ticks, look)
    bottom = _bottom_edge(plan.gutter, plan.columns, x_ticks, x_label if ticks else "", look)
    return [Strip([*edge, *row], width) for edge, row in zip(left, canvas, strict=True)] + list(bottom)


def _placed(ticks: Iterable[Tick], axis: Axis, cells: int, dots: int) -> tuple[tuple[int, str], ...]:
    """Cell and label of each tick, one label a cell."""
    placed: dict[int, str] = {}
    for tick in ticks:
        if (dot := axis.slot(tick.value, cells * dots)) is not None:
            placed.setdefault(dot // dots, tick.label)
    return tuple(placed.items())


@lru_cache(maxsize=64)
def _left_edge(
    gutter: int, rows: int, ticks: tuple[tuple[int, str], ...], look: Look
) -> tuple[tuple[Segment, Segment], ...]:
    """The labels and the axis left of each canvas row, as plotext draws them beside a canvas one cell wide."""
    lines = [_drawn(line, look).rjust(gutter + 1) for line in _plotext_frame(1, rows, (), ticks)[:rows]]
    return tuple(
        (Segment(line[: gutter - 1], look.base), Segment(line[gutter - 1 : gutter], look.faint)) for line in lines
    )


@lru_cache(maxsize=64)
def _bottom_edge(
    gutter: int, columns: int, ticks: tuple[tuple[int, str], ...], x_label: str, look: Look
) -> tuple[Strip, ...]:
    """The axis, and its labels if there are ticks, as plotext draws them below a canvas one cell high."""
    width = gutter + columns
    axis, *labels = [_drawn(line, look).rjust(width) for line in _plotext_frame(columns, 1, ticks, ())[1:]]
    bottom = [Strip([Segment(axis, look.faint)], width)]
    if ticks:
        label = look.text(x_label)
        label = set_cell_size(label, gutter - 1) if cell_len(label) < gutter else " " * (gutter - 1)
        bottom.append(Strip([Segment(label, look.faint), Segment(labels[0][gutter - 1 :], look.base)], width))
    return tuple(bottom)


def _drawn(line: str, look: Look) -> str:
    return line.translate(_ASCII_FRAME) if look.ascii_only else line


def _plotext_frame(
    columns: int, rows: int, x_ticks: tuple[tuple[int, str], ...], y_ticks: tuple[tuple[int, str], ...]
) -> list[str]:
    """Lines of an empty plotext figure whose canvas has `columns` x `rows` cells, ticks at the cells given."""
    import plotext  # its import costs 0.2 s: after the first screen, not before it

    terminal: Any = plotext.terminal
    figure: Any = plotext.figure
    terminal.limit(False, False)  # the figure may be larger than what this process believes its terminal to be
    figure.clear.all()
    figure.theme("colorless")
    figure.axes(False, side=1)
    gutter = max((len(label) for _, label in y_ticks), default=0) + 1
    figure.plot_size(gutter + columns, rows + 1 + bool(x_ticks))
    for axis, cells, ticks in (("x", columns, x_ticks), ("y", rows, y_ticks)):
        ruler = figure.ruler(axis, 0)
        ruler.lim(0, max(cells - 1, 1))
        ruler.ticks([cell for cell, _ in ticks], [label for _, label in ticks])
    return str(figure.build().string(colorless=True)).split("\n")
