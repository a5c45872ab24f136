"""The line that says what goes wrong with the recording of the run, as long as it does."""

from typing import ClassVar

from textual.content import Content
from textual.widgets import Static

from tuitrain.record.text import printable
from tuitrain.ui.glyphs import UNICODE, Glyphs


class TroubleLine(Static):
    """One sentence, or nothing and no room taken."""

    DEFAULT_CSS: ClassVar[str] = """
    TroubleLine {
        height: auto;
        max-height: 3;
        padding: 0 1;
        background: $warning-muted;
        color: $text-warning;
    }
    TroubleLine.-none { display: none; }
    """

    def __init__(self, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__(classes="-none")
        self._glyphs = glyphs
        self._told: str | None = None

    def tell(self, trouble: str | None) -> None:
        """Show what goes wrong; None: nothing does."""
        if trouble != self._told:
            self._told = trouble
            self.set_class(trouble is None, "-none")
            self.update(Content(f"{self._glyphs.warning} {printable(trouble or '')}"))
