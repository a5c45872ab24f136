"""The two lines at the top: where the run is, and its numbers now."""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.content import Content

from tuitrain.record.state import RunView
from tuitrain.ui import facts
from tuitrain.ui.fit import Part, fit, part
from tuitrain.ui.glyphs import UNICODE, Glyphs
from tuitrain.ui.panes import parts
from tuitrain.ui.panes.text_lines import TextLines

BAR_CELLS = (6, 40)
"""Cells of a progress bar: at least, at most."""


class Header(TextLines):
    """Two lines that fit any width: the least important numbers go first, none is cut."""

    DEFAULT_CSS: ClassVar[str] = """
    Header {
        height: 2;
        padding: 0 1;
        background: $panel;
        color: $foreground;
    }
    """

    def __init__(self, run_name: str, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__()
        self._run_name = run_name
        self._glyphs = glyphs
        self._view = RunView()

    def show(self, view: RunView) -> None:
        """Show the run as `view` knows it."""
        self._view = view
        self.renew()

    def make_lines(self, width: int, height: int) -> Sequence[Content]:
        """Both lines."""
        return (
            first_line(self._view, self._run_name, width, self._glyphs),
            second_line(self._view, width, self._glyphs),
        )


def first_line(view: RunView, run_name: str, width: int, glyphs: Glyphs = UNICODE) -> Content:
    """What runs where, how far it is, how fast; the bar takes what room is left."""
    title = view.run.title if view.run else run_name
    brand = Content.assemble(("tuitrain", "bold $text-primary"), (f" {glyphs.dot} ", "dim"), (title, "bold"))
    if view.run is None:
        return fit([part(0, brand, Content.styled("tuitrain", "bold $text-primary"))], width)
    epoch, share = facts.epoch_progress(view)
    epoch_text = labelled_epoch(epoch, view.run.epochs)
    before = [part(4, brand, Content.styled(title, "bold")), part(5, view.run.device)]
    numbers = [parts.step_part(view, 0), parts.speed_part(view, glyphs, 2), parts.time_part(view, glyphs, 3)]
    after = _present(numbers)
    line = fit([*before, *([part(1, epoch_text)] if epoch else []), *after], width)
    room = min(BAR_CELLS[1], width - line.cell_length - 1)
    if room < BAR_CELLS[0] or not epoch or math.isnan(share):
        return line
    return fit([*before, part(1, Content.assemble(epoch_text, " ", bar(share, room, glyphs))), *after], width)


def labelled_epoch(epoch: int, epochs: int) -> Content:
    """The epoch of all epochs; alone where nobody knows how many there will be."""
    return parts.labelled("epoch", f"{epoch:>{len(str(epochs))}}/{epochs}" if epochs else str(epoch))


def second_line(view: RunView, width: int, glyphs: Glyphs = UNICODE) -> Content:
    """The mode that holds, the state, and the numbers of the last step."""
    if not facts.is_live(view):
        return fit(_present(parts.end_parts(view, glyphs)), width)
    if view.status.state == "loading":
        return loading_line(view, width, glyphs)
    what_holds = [
        parts.mode_part(view, glyphs, 0),
        parts.state_part(view, glyphs, 1),
        parts.switched_off_part(view, glyphs, 1),
        parts.loss_part(view, 2),
    ]
    if facts.is_stopping(view):
        return fit(_present(what_holds), width)
    numbers = [
        parts.accuracy_part(view, 3),
        parts.norm_part(view, glyphs, 4),
        parts.clipped_part(view, 5),
        parts.rate_part(view, glyphs, 6),
        parts.pending_part(view, glyphs, 1),
        parts.memory_part(view, 8),
        parts.message_part(view, 9),
    ]
    return fit(_present([*what_holds, *numbers]), width)


def loading_line(view: RunView, width: int, glyphs: Glyphs = UNICODE) -> Content:
    """What is being loaded, and how far that is where the run says so; of a script that no step is seen, and why."""
    busy = parts.BADGE["busy"]
    unseen = view.unavailable("steps")
    if unseen is not None:
        badge = part(0, Content.styled(f"{glyphs.warning} NO STEP IS SEEN", busy), Content.styled(glyphs.warning, busy))
        return fit([badge, part(1, unseen, "i says why")], width)
    texts = [
        part(0, Content.styled(f"{glyphs.busy} LOADING", busy), glyphs.busy),
        part(1, Content.styled("stops as soon as it has loaded", busy)) if facts.is_stopping(view) else None,
        part(2, view.status.message or "starting"),
    ]
    progress = view.status.progress
    if not math.isnan(progress):
        texts.append(part(3, Content.assemble(bar(progress, 24, glyphs), f" {progress:4.0%}")))
    return fit(_present(texts), width)


def bar(share: float, cells: int, glyphs: Glyphs = UNICODE) -> Content:
    """A bar of `cells` cells, filled to `share` (0 to 1) in halves of a cell."""
    full, half = divmod(round(2 * cells * min(1.0, max(0.0, share))), 2)
    done = glyphs.bar * full + glyphs.bar_end * half
    return Content.assemble((done, "$primary"), (glyphs.bar_rest * (cells - full - half), "dim"))


def _present(candidates: Iterable[Part | None]) -> list[Part]:
    return [candidate for candidate in candidates if candidate is not None]
