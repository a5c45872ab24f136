"""Where everything of a figure goes at one size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tuitrain.ui.arrays import Ints
from tuitrain.ui.plot import axes, raster
from tuitrain.ui.plot.axes import Axis, Tick
from tuitrain.ui.plot.figure import Figure, Series
from tuitrain.ui.plot.look import Look
from tuitrain.ui.plot.raster import Columns

GUTTER = 5
"""Cells kept for y labels where there is room: labels up to this long do not move the frame."""

TIPS = "●◆■★○◇□☆"
"""Ends of lines, and points: a shape for each series, so that colour is not needed to tell them apart."""

MARKS = "•+o*#%@&$"
"""What lines are made of where there is no colour."""

MARKS_ASCII = "*+ox#@%&$"

FAINT_MARKS, FAINT_MARKS_ASCII = "⠶", ".,:;'"
"""What dim lines show in the legend. In ASCII they are made of it, otherwise of braille dots."""


@dataclass(frozen=True, slots=True)
class Curve:
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
class Plan:
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
    with_axes: bool
    curves: Sequence[Curve]

    @classmethod
    def of(cls, figure: Figure, width: int, height: int, look: Look) -> "Plan":
        """The plan of a figure in `width` x `height` cells."""
        legend = height >= 5 and width >= 12
        ticks = height >= 4 and width >= 16
        with_axes = height >= 3 and width >= 6
        notes = bool(figure.markers) and height >= 9 and legend
        rows = height - legend - notes - with_axes - ticks
        gutter = (GUTTER if width >= 40 else 3) * ticks + with_axes
        while True:
            columns = width - gutter
            x = _x_axis(figure.series, columns)
            y, data = _y_axis(figure, x, columns, rows)
            count = max(2, (rows + 1) // (2 if y.log else 3))
            y_ticks = axes.value_ticks(y, count) if ticks and _any(data) else []
            needed = max((len(tick.label) for tick in y_ticks), default=0) + with_axes
            if needed <= gutter or needed > width // 2:
                break
            gutter = needed  # decimated anew: the canvas is narrower than assumed
        x_ticks = axes.step_ticks(x, max(2, columns // 10)) if ticks else []
        if needed > gutter:
            y_ticks = []
        marks = _marks(figure.series, look)
        curves = [Curve(*parts) for parts in zip(figure.series, data, marks, strict=True)]
        return cls(legend, notes, gutter, columns, rows, x, y, x_ticks, y_ticks, with_axes, curves)


def _x_axis(series: Sequence[Series], columns: int) -> Axis:
    filled = [s.x for s in series if len(s.x)]
    first, last = min(float(x[0]) for x in filled), max(float(x[-1]) for x in filled)
    return axes.step_axis(first, last, max(2, columns // 10))


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
        if floor <= high and (figure.y_log is True or axes.wants_log(floor, high)):
            return axes.log_axis(floor, high), positive
    ticks = max(2, (rows + 1) // 3)
    return axes.value_axis(low, high, ticks) if low <= high else Axis(0.0, 1.0), data


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
