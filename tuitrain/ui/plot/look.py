"""How a chart is drawn, apart from what: colours, styles, and the characters there are."""

from dataclasses import dataclass, field
from functools import lru_cache

from rich.style import Style

from tuitrain.ui.plot.figure import Series


@dataclass(frozen=True, slots=True)
class Look:
    """How to draw, apart from what."""

    ascii_only: bool = False
    colour: bool = True
    base: Style = field(default_factory=Style.null)
    """Style of labels and of the background."""

    @property
    def shapes_only(self) -> bool:
        """Whether series differ by their marks alone."""
        return self.ascii_only or not self.colour

    @property
    def faint(self) -> Style:
        """Style of axes, marker lines and the like."""
        return restyled(self.base, None, True, False)

    def text(self, text: str) -> str:
        """Text without what a terminal would not show as it is."""
        if self.ascii_only:
            text = text.replace("…", "~").encode("ascii", "replace").decode("ascii")
        return "".join(c if c.isprintable() else " " for c in text)

    def ink(self, series: Series) -> Style:
        """Style of a series."""
        return restyled(self.base, series.colour if self.colour else None, series.dim, False)

    def strong(self, series: Series) -> Style:
        """Style of what must be seen of a series."""
        return restyled(self.base, series.colour if self.colour else None, False, True)


@lru_cache(maxsize=128)
def restyled(base: Style, colour: str | None, dim: bool, bold: bool) -> Style:
    """`base` with these over it."""
    return base + Style(color=colour, dim=dim or None, bold=bold or None)
