"""A figure in a border, drawn again only when it, or the space for it, changed."""

from time import perf_counter
from typing import ClassVar

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tuitrain.ui.plot import Figure, draw


class Chart(Widget):
    """Shows one `Figure` at a time; hand it a new one with `show`."""

    DEFAULT_CSS: ClassVar[str] = """
    Chart {
        width: 1fr;
        height: 1fr;
        border: round $border-blurred;
        border-title-color: $text;
        color: $text-muted;
    }
    """

    def __init__(
        self,
        title: str,
        *,
        ascii_only: bool = False,
        colour: bool = True,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        """Make an empty chart.

        Args:
            title: Text in the border.
            ascii_only: Draw the inside with ASCII alone.
            colour: Whether colours tell the series apart; without, marks do.
            name: Name of the widget.
            id: Its id in the DOM.
            classes: Its CSS classes.
        """
        super().__init__(name=name, id=id, classes=classes)
        self.border_title = title
        self.ascii_only = ascii_only
        self.colour = colour
        self.last_cost_s = 0.0
        """Seconds the last drawing took, so that the app can draw less often where that is dear."""
        self._figure = Figure()
        self._strips: list[Strip] = []
        self._base = Style.null()
        self._drawn: tuple[Figure, int, int, Style] | None = None

    @property
    def figure(self) -> Figure:
        """What is shown."""
        return self._figure

    def show(self, figure: Figure) -> None:
        """Show a figure; nothing is done when it is the one already shown."""
        if figure is not self._figure:
            self._figure = figure
            self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The visible part. Textual asks only for what is on the screen: a hidden chart is never drawn."""
        self._draw()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Row `y` of the inside."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self._base)

    def _draw(self) -> None:
        """Draw the figure unless that was already done for this size and style."""
        base = self.rich_style
        wanted = (self._figure, *self.size, base)
        if wanted == self._drawn:
            return
        began = perf_counter()
        width, height = self.size
        self._strips = draw(self._figure, width, height, ascii_only=self.ascii_only, colour=self.colour, base=base)
        self._base, self._drawn = base, wanted
        self.last_cost_s = perf_counter() - began
