"""The screens over the main one: the help, and the question before a run that still trains is stopped."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tuitrain.ui import keymap
from tuitrain.ui.keymap import Group, Key

INTRODUCTIONS: dict[Group, str] = {
    "The five tips": "Five habits that catch most training mistakes. A key acts between two steps; its row shows the "
    "value asked for, with dots before it, until the run has answered.",
    "The run": "Each change is marked on the charts at the step where it took effect.",
    "The screen": "Looking costs the run next to nothing, and changes nothing in it.",
}


class KeyEntry(Horizontal):
    """One key: how it is written, what it does, the truth about it."""

    DEFAULT_CSS: ClassVar[str] = """
    KeyEntry { height: auto; margin-bottom: 1; }
    KeyEntry .key { width: 8; color: $text-accent; text-style: bold; }
    KeyEntry .text { width: 1fr; }
    """

    def __init__(self, key: Key) -> None:
        super().__init__()
        self._key = key

    def compose(self) -> ComposeResult:
        """The key on the left, its text on the right."""
        yield Static(Content(self._key.shown), classes="key")
        text = Content.assemble((self._key.label, "bold"), "\n", (self._key.help, "$foreground 80%"))
        yield Static(text, classes="text")


def glance(keys: Sequence[Key]) -> Content:
    """All keys and their labels in two columns, to be seen without scrolling."""
    half = -(-len(keys) // 2)
    left, right = _column(keys[:half]), _column(keys[half:])
    gap = max(cell.cell_length for cell in left) + 3
    lines = [
        Content.assemble(a.pad_right(gap - a.cell_length), b) for a, b in zip_longest(left, right, fillvalue=Content())
    ]
    return Content("\n").join(lines)


def _column(keys: Sequence[Key]) -> list[Content]:
    width = max(len(key.shown) for key in keys) + 2
    return [Content.assemble((key.shown.ljust(width), "bold $text-accent"), key.label) for key in keys]


class HelpScreen(ModalScreen[None]):
    """Every key there is, by group; scrolls."""

    DEFAULT_CSS: ClassVar[str] = """
    HelpScreen { align: center middle; }
    HelpScreen #page {
        width: 92; max-width: 100%; height: 100%;
        padding: 0 2;
        scrollbar-size-vertical: 1;
        background: $surface;
        border: round $primary;
        border-title-color: $text-primary;
        border-subtitle-color: $text-muted;
    }
    HelpScreen #glance { margin-top: 1; }
    HelpScreen .group { margin-top: 1; color: $text-primary; text-style: bold; }
    HelpScreen .introduction { margin-bottom: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar = [
        ("escape,q,question_mark,enter", "dismiss", "Close"),
        ("j", "scroll(3)", "Down"),
        ("k", "scroll(-3)", "Up"),
    ]

    def __init__(self, keys: Sequence[Key], *, ascii_only: bool = False) -> None:
        super().__init__()
        self._keys = keys
        self._arrows = "up, down" if ascii_only else "↑ ↓"

    def compose(self) -> ComposeResult:
        """The page."""
        with VerticalScroll(id="page") as page:
            page.border_title = "tuitrain: the keys"
            page.border_subtitle = f"{self._arrows} scroll   esc closes"
            yield Static(glance(self._keys), id="glance")
            for group, keys in keymap.groups(self._keys):
                yield Static(group, classes="group")
                yield Static(INTRODUCTIONS[group], classes="introduction")
                for key in keys:
                    yield KeyEntry(key)

    def action_scroll(self, lines: int) -> None:
        """Scroll the page by some lines."""
        self.query_one("#page").scroll_relative(y=lines, animate=False)


class StopQuestion(ModalScreen[bool]):
    """Asks whether to stop a run that still trains; dismissed with True for yes."""

    DEFAULT_CSS: ClassVar[str] = """
    StopQuestion { align: center middle; }
    StopQuestion #box {
        width: 60; max-width: 100%; height: auto; max-height: 100%;
        padding: 1 2;
        background: $surface;
        border: round $warning;
        border-title-color: $text-warning;
    }
    StopQuestion #buttons { height: auto; margin-top: 1; align-horizontal: center; }
    StopQuestion Button { margin: 0 1; width: auto; }
    """
    BINDINGS: ClassVar = [
        ("y", "answer(True)", "Stop"),
        ("n,escape,q,x", "answer(False)", "Keep training"),
        ("left", "app.focus_previous", "Previous"),
        ("right", "app.focus_next", "Next"),
    ]

    def __init__(self, where: str, *, leaves: bool) -> None:
        """`where` says where the run is; `leaves` whether this screen goes with it."""
        super().__init__()
        self._where = where
        self._leaves = leaves

    def compose(self) -> ComposeResult:
        """The question and its two answers."""
        with Vertical(id="box") as box:
            box.border_title = "Stop the run?"
            then = "and leaves" if self._leaves else "and ends it for everyone who watches"
            yield Static(f"{self._where} Stopping finishes the step, saves a checkpoint {then}.")
            with Horizontal(id="buttons"):
                yes = "Stop, save and leave" if self._leaves else "Stop and save"
                yield Button(f"y  {yes}", id="stop", variant="warning", compact=True)
                yield Button("n  Keep training", id="keep", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button is an answer."""
        self.dismiss(event.button.id == "stop")

    def action_answer(self, stop: bool) -> None:
        """A key is an answer."""
        self.dismiss(stop)
