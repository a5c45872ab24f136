"""The line of tabs, and the line of keys at the bottom: both fit any width and can be clicked."""

from collections.abc import Collection, Sequence
from typing import ClassVar

from textual.content import Content
from textual.widget import Widget

from tuitrain.record.state import RunView
from tuitrain.ui import facts
from tuitrain.ui.fit import Part, fit, part
from tuitrain.ui.keymap import Key
from tuitrain.ui.script_keys import keys_for

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
    """The keys that matter most, and before them what kind of screen this is where it is not the run's own."""

    DEFAULT_CSS: ClassVar[str] = """
    KeyLine {
        height: 1;
        padding: 0 1;
        background: $panel;
        color: $foreground;
    }
    """

    auto_links = False

    def __init__(self, keys: Sequence[Key], *, badge: str = "") -> None:
        super().__init__()
        self._all = keys
        self._keys = keys_for(RunView(), keys)
        self._badge = badge
        self._live = True

    def show(self, view: RunView) -> None:
        """Show the keys of this run, and say of one that has ended no more that it goes on."""
        now = facts.is_live(view), keys_for(view, self._all)
        if now != (self._live, self._keys):
            self._live, self._keys = now
            self.refresh()

    def render(self) -> Content:
        """One line."""
        badge = [part(0, Content.styled(self._badge, "bold $text-warning"))] if self._badge else []
        keys = [self._part(key, *key.footer) for key in self._keys if key.footer]
        return fit([*badge, *keys], self.size.width, gap=2)

    def _part(self, key: Key, rank: int, word: str) -> Part:
        """A key and its word; of "leave, the run goes on" the beginning will do where it does not, or has no room."""
        forms = dict.fromkeys((word, word.partition(",")[0])) if self._live else [word.partition(",")[0]]
        texts = (f"[@click={key.click}][bold $text-accent]{key.shown}[/] [dim]{form}[/][/]" for form in forms)
        return part(rank, *map(Content.from_markup, texts))
