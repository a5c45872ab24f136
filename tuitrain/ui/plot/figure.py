"""What a chart shows, as plain data: series, markers, thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tuitrain.ui.arrays import Floats


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
    """A vertical line at step `x`: something was changed, or found, here."""

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
