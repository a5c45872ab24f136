"""The frame of a chart, as plotext draws it: axes, ticks and their labels, made once for as long as the ticks stay."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from tuitrain.ui.plot import raster
from tuitrain.ui.plot.axes import Axis, Tick
from tuitrain.ui.plot.look import Look
from tuitrain.ui.plot.plan import Plan

_ASCII_FRAME = str.maketrans("│┤├─┬┴└┌┐┘┼", "||+-++++++" + "+")


def framed(canvas: list[list[Segment]], plan: Plan, look: Look, x_label: str) -> list[Strip]:
    """The rows of the canvas in their frame."""
    width = plan.gutter + plan.columns
    if not plan.with_axes:
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
