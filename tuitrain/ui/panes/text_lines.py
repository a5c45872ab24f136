"""A widget of styled lines, of which only those that changed are drawn again."""

from abc import abstractmethod
from collections.abc import Sequence

from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget


class TextLines(Widget):
    """Makes its lines when told to `renew`, and when its size changed; draws the lines that differ from before.

    Textual's own way draws a widget whole, whatever changed in it: several times as dear at each look at a run.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: Sequence[Content] = ()
        self._made_for: Size | None = None

    @abstractmethod
    def make_lines(self, width: int, height: int) -> Sequence[Content]:
        """The lines as they are now, each of at most `width` cells, at most `height` of them."""

    def renew(self) -> None:
        """Make the lines anew, and have those drawn that are others now."""
        before = self._lines
        if not self.is_mounted or self._made_for != self.size:
            self.refresh()  # the lines are made when they are asked for
            return
        self._lines = self.make_lines(*self.size)
        for y in range(max(len(before), len(self._lines))):
            if not _same(before[y : y + 1], self._lines[y : y + 1]):
                self.refresh(Region(0, y, self.size.width, 1))

    def render(self) -> Content:
        """All lines, for whoever asks for the whole: a selection of text, say."""
        self._settle()
        return Content("\n").join(self._lines)

    def render_line(self, y: int) -> Strip:
        """One line, as it was made last."""
        self._settle()
        if self.text_selection is not None:
            return super().render_line(y)
        if y < len(self._lines):
            strips = Visual.to_strips(self, self._lines[y], self.size.width, 1, self.visual_style)
            if strips:
                return strips[0].apply_offsets(0, y)
        return Strip.blank(self.size.width, self.visual_style.rich_style)

    def _settle(self) -> None:
        if self._made_for != self.size:
            self._made_for = self.size
            self._lines = self.make_lines(*self.size)


def _same(before: Sequence[Content], now: Sequence[Content]) -> bool:
    """Whether they look alike; Content alone compares texts without their styles."""
    return len(before) == len(now) and all(
        old.plain == new.plain and old.spans == new.spans for old, new in zip(before, now, strict=True)
    )
