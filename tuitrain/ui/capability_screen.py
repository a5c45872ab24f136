"""The screen that says of a script what is observed, what can be steered, and what not and why."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widget import Widget

from tuitrain.record.events import Capability
from tuitrain.record.state import RunView
from tuitrain.record.text import printable
from tuitrain.ui.glyphs import UNICODE, Glyphs
from tuitrain.ui.keymap import KEYS

GAP = 2
INDENT = 2
"""Cells before a name, for its sign."""
SIDE_BY_SIDE = 56
"""From this many cells on a name and what is said of it stand side by side."""


class Section(NamedTuple):
    """A kind of capability: its title, and how its sign and its names are drawn."""

    title: str
    sign: str
    style: str


def sections(glyphs: Glyphs) -> dict[str, Section]:
    """The sections by kind, in their order."""
    return {
        "switched_off": Section("Switched off", glyphs.warning, "bold $text-warning"),
        "observed": Section("Observed", glyphs.good, "$text-success"),
        "steered": Section("Steered", glyphs.good, "$text-success"),
        "unavailable": Section("Not available", glyphs.dash, "dim"),
    }


class CapabilityScreen(ModalScreen[None]):
    """Every capability there is, by kind; scrolls."""

    DEFAULT_CSS: ClassVar[str] = """
    CapabilityScreen { align: center middle; }
    CapabilityScreen #page {
        width: 100; max-width: 100%; height: auto; max-height: 100%;
        padding: 0 2;
        scrollbar-size-vertical: 1;
        background: $surface;
        border: round $primary;
        border-title-color: $text-primary;
        border-subtitle-color: $text-muted;
    }
    """
    BINDINGS: ClassVar = [
        ("escape,q,i,enter", "dismiss", "Close"),
        ("j", "scroll(3)", "Down"),
        ("k", "scroll(-3)", "Up"),
    ]

    def __init__(self, view: RunView, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__()
        self._title = view.run.title if view.run else "this script"
        self._lines = CapabilityLines(view, glyphs)
        self._arrows = "↑ ↓" if glyphs is UNICODE else "up, down"

    def compose(self) -> ComposeResult:
        """The page."""
        with VerticalScroll(id="page") as page:
            page.border_title = Content(f"What can be had of {printable(self._title)}")
            page.border_subtitle = f"{self._arrows} scroll   esc closes"
            yield self._lines

    def show(self, view: RunView) -> None:
        """Show what `view` knows now."""
        self._lines.show(view)

    def action_scroll(self, lines: int) -> None:
        """Scroll the page by some lines."""
        self.query_one("#page").scroll_relative(y=lines, animate=False)


class CapabilityLines(Widget):
    """The capabilities as lines of text, as many as they need."""

    DEFAULT_CSS: ClassVar[str] = """
    CapabilityLines { width: 1fr; height: auto; color: $foreground; }
    """

    def __init__(self, view: RunView, glyphs: Glyphs) -> None:
        super().__init__()
        self._rows = view.capabilities
        self._glyphs = glyphs

    def show(self, view: RunView) -> None:
        """Show what `view` knows now."""
        self._rows = view.capabilities
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """All lines."""
        return len(capability_lines(self._rows, width, self._glyphs))

    def render(self) -> Content:
        """All lines."""
        return Content("\n").join(capability_lines(self._rows, self.size.width, self._glyphs))


def capability_lines(rows: Sequence[Capability], width: int, glyphs: Glyphs = UNICODE) -> list[Content]:
    """The capabilities under the titles of their kinds, each in as many lines of at most `width` cells as it needs."""
    order = sections(glyphs)
    names = max((len(_name(row)) for row in rows), default=0)
    lines: list[Content] = []
    for kind, members in groupby(sorted(rows, key=lambda row: list(order).index(row.kind)), key=lambda row: row.kind):
        section = order[kind]
        if lines:
            lines.append(Content(""))
        lines.append(Content.styled(section.title, "bold $text-primary"))
        lines += [line for row in members for line in _row_lines(row, section, names, width)]
    return lines


def _row_lines(row: Capability, section: Section, names: int, width: int) -> Iterator[Content]:
    name = _name(row)
    name_style = "dim" if row.kind == "unavailable" else section.style if row.kind == "switched_off" else ""
    head = Content.assemble((section.sign.ljust(INDENT), section.style))
    text = printable(row.text)
    if width < SIDE_BY_SIDE:
        yield Content.assemble(head, (name, f"bold {name_style}".strip()))
        yield from (Content.styled(" " * INDENT + line, "dim") for line in _wrapped(text, width - INDENT))
        return
    first, *rest = _wrapped(text, width - INDENT - names - GAP) or [""]
    yield Content.assemble(head, (name.ljust(names + GAP), name_style), (first, "dim"))
    yield from (Content.styled(" " * (INDENT + names + GAP) + line, "dim") for line in rest)


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, max(1, width), break_on_hyphens=False)


def _name(row: Capability) -> str:
    """What the keys call it, and which key it is; of what is no switch its own name."""
    if row.kind not in ("steered", "unavailable"):
        return row.name
    if row.name == "lr":  # up and down are two keys
        return "Learning rate" + (" (+ -)" if row.kind == "steered" else "")
    key = next((key for key in KEYS if key.name == row.name), None)
    if key is None:
        return row.name
    return f"{key.label} ({key.shown})" if row.kind == "steered" else key.label
