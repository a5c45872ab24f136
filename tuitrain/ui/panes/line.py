"""One line of numbers, for a terminal too small for anything else."""

from collections.abc import Sequence
from typing import ClassVar

from textual.content import Content

from tuitrain.record.state import RunView
from tuitrain.ui import facts
from tuitrain.ui.fit import fit
from tuitrain.ui.glyphs import UNICODE, Glyphs
from tuitrain.ui.panes import parts
from tuitrain.ui.panes.header import loading_line
from tuitrain.ui.panes.text_lines import TextLines


class PaneLine(TextLines):
    """The mode, the step, the loss, the accuracy: as many of them as have room."""

    DEFAULT_CSS: ClassVar[str] = """
    PaneLine {
        height: 1fr;
        background: $panel;
        color: $foreground;
    }
    """

    def __init__(self, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__()
        self._glyphs = glyphs
        self._view = RunView()

    def show(self, view: RunView) -> None:
        """Show the run as `view` knows it."""
        self._view = view
        self.renew()

    def make_lines(self, width: int, height: int) -> Sequence[Content]:
        """The line."""
        return (one_line(self._view, width, self._glyphs),)


def one_line(view: RunView, width: int, glyphs: Glyphs = UNICODE) -> Content:
    """What matters most, in `width` cells."""
    if facts.is_live(view) and view.status.state == "loading":
        return loading_line(view, width, glyphs)
    if facts.is_live(view):
        off = parts.switched_off_part(view, glyphs, 3, tiny=True)
        lead = [parts.mode_part(view, glyphs, 0, tiny=True), parts.state_part(view, glyphs, 3), off]
        numbers = [parts.loss_part(view, 2), parts.accuracy_part(view, 4), parts.speed_part(view, glyphs, 5)]
        candidates = [*lead, parts.step_part(view, 1), *numbers]
    else:
        candidates = [*parts.end_parts(view, glyphs, tiny=True), parts.step_part(view, 2)]
    return fit([candidate for candidate in candidates if candidate is not None], width, gap=2)
