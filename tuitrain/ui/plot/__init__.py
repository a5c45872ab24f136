"""Charts: a figure in, coloured terminal cells out."""

from tuitrain.ui.plot.drawing import draw
from tuitrain.ui.plot.figure import Figure, Marker, Series, Threshold

__all__ = ["Figure", "Marker", "Series", "Threshold", "draw"]
