"""A figure to coloured terminal cells: axes and ticks from plotext, the data rasterised in NumPy.

plotext draws the frame once for as long as the ticks stay where they are; each redraw only rasterises the data.
"""

from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tuitrain.ui.plot.canvas import paint
from tuitrain.ui.plot.figure import Figure
from tuitrain.ui.plot.frame import framed
from tuitrain.ui.plot.legend import legend, notes
from tuitrain.ui.plot.look import Look
from tuitrain.ui.plot.plan import Plan


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
    plan = Plan.of(figure, width, height, look)
    strips = framed(paint(figure, plan, look).rows(), plan, look, figure.x_label)
    if plan.notes:
        strips.insert(0, notes(figure.markers, plan, look))
    if plan.legend:
        strips.insert(0, legend(figure, plan, look))
    return strips


def _draw_empty(text: str, width: int, height: int, look: Look) -> list[Strip]:
    lines = wrap(look.text(text), width)[:height]
    blank = Strip([Segment(" " * width, look.base)], width)
    strips = [blank] * height
    for row, line in enumerate(lines, (height - len(lines)) // 2):
        left = " " * ((width - cell_len(line)) // 2)
        strips[row] = Strip([Segment(set_cell_size(left + line, width), look.faint)], width)
    return strips
