"""The line of tabs, and the line of keys at the bottom: both fit any width and can be clicked."""

from collections.abc import Collection
from typing import ClassVar

from textual.content import Content
from textual.widget import Widget

from tuitrain.ui.fit import Part, fit, part
from tuitrain.ui.keymap import KEYS

TABS = {"loss": "Loss", "grad": "Grad", "tips": "Tips", "model": "Model", "log": "Log"}
"""The panes by id, in the order of the digits that show them."""


class TabLine(Widget):
    """The panes, with those on the screen marked."""

    DEFAULT_CSS: ClassVar[str] = """
    TabLine {
        height: 1;
        padding: 0 1;
        color: $foreground;
    }
    """

    auto_links = False

    def __init__(self) -> None:
        super().__init__()
        self._shown: Collection[str] = ()

    def show(self, shown: Collection[str]) -> None:
        """Mark the panes with these ids."""
        if set(shown) != set(self._shown):
            self._shown = shown
            self.refresh()

    def render(self) -> Content:
        """One line."""
        tabs = [self._tab(digit, pane) for digit, pane in enumerate(TABS, 1)]
        return fit(tabs, self.size.width, gap=2)

    def _tab(self, digit: int, pane: str) -> Part:
        shown = pane in self._shown
        style = f"{'bold underline $text-primary' if shown else 'dim'} @click=screen.show_pane('{pane}')"
        long, short = (Content.from_markup(f"[{style}]{text}[/]") for text in (f"{digit} {TABS[pane]}", f"{digit}"))
        return part(0 if shown else digit, long, short)


class KeyLine(Widget):
    """The keys that matter most, from the keymap."""

    DEFAULT_CSS: ClassVar[str] = """
    KeyLine {
        height: 1;
        padding: 0 1;
        background: $panel;
        color: $foreground;
    }
    """

    auto_links = False

    def render(self) -> Content:
        """One line."""
        keys = [
            part(rank, Content.from_markup(f"[@click={key.click}][bold $text-accent]{key.shown}[/] [dim]{word}[/][/]"))
            for key in KEYS
            for rank, word in ([key.footer] if key.footer else [])
        ]
        return fit(keys, self.size.width, gap=2)
