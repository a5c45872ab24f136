"""The lines above a chart: its legend, and the notes at its markers."""

from collections.abc import Sequence
from itertools import pairwise

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from tuitrain.ui.plot import raster
from tuitrain.ui.plot.figure import Figure, Marker
from tuitrain.ui.plot.look import Look, restyled
from tuitrain.ui.plot.plan import Curve, Plan


def legend(figure: Figure, plan: Plan, look: Look) -> Strip:
    """Title, then mark and name of each curve and threshold; what finds no room goes, the faint ones first."""
    title = [[Segment(look.text(figure.title), restyled(look.base, None, False, True))]] if figure.title else []
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


def _entry(curve: Curve, plan: Plan, look: Look) -> list[Segment]:
    """Mark and name of a curve and, in words, what its marks at the edges say."""
    style = look.ink(curve.series) if curve.faint_line else look.strong(curve.series)
    entry = [Segment(curve.mark, style), Segment(" " + look.text(curve.series.name), look.base)]
    for word, _ in curve.odd(log=plan.y.log):
        entry.append(Segment(" " + (word.replace("≤", "<=") if look.ascii_only else word), look.strong(curve.series)))
    return entry


def notes(markers: Sequence[Marker], plan: Plan, look: Look) -> Strip:
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
