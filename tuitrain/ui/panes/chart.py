"""A figure in a border, drawn again only when it, or the space for it, changed."""

from typing import ClassVar

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tuitrain.ui.panes.style_cache import StyleCache
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
        self._figure = Figure()
        self._strips: list[Strip] = []
        self._styles = StyleCache(self)
        self._drawn: tuple[Figure, int, int, Style] | None = None

    def notify_style_update(self) -> None:
        """Another theme: the styles are looked up anew."""
        super().notify_style_update()
        self._styles.clear()

    @property
    def figure(self) -> Figure:
        """What is shown."""
        return self._figure

    def show(self, figure: Figure) -> None:
        """Show a figure: the rows in which it differs from the one before it are drawn again."""
        if figure is self._figure:
            return
        self._figure = figure
        if self._drawn is None or self._drawn[1:] != (*self.size, self._styles[""]):
            self.refresh()  # drawn when asked for
            return
        before = self._strips
        self._draw()
        for y, (old, new) in enumerate(zip(before, self._strips, strict=True)):
            if old != new:
                self.refresh(Region(0, y, self.size.width, 1))

    def render_lines(self, crop: Region) -> list[Strip]:
        """The visible part. Textual asks only for what is on the screen: a hidden chart is never drawn."""
        self._draw()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Row `y` of the inside."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self._styles[""])

    def _draw(self) -> None:
        """Draw the figure unless that was already done for this size and style."""
        base = self._styles[""]
        wanted = (self._figure, *self.size, base)
        if wanted == self._drawn:
            return
        width, height = self.size
        self._strips = draw(self._figure, width, height, ascii_only=self.ascii_only, colour=self.colour, base=base)
        self._drawn = wanted
