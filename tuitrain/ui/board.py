"""The main screen: the header, the panes, the keys; which panes have room is decided here and in app.tcss."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

from textual import events as textual_events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from tuitrain.record import events
from tuitrain.record.events import Event
from tuitrain.record.state import RunView
from tuitrain.ui import keymap
from tuitrain.ui.figures import gradient_figure, loss_figure
from tuitrain.ui.glyphs import ASCII, UNICODE
from tuitrain.ui.panes.chart import Chart
from tuitrain.ui.panes.console import ConsolePane
from tuitrain.ui.panes.header import Header
from tuitrain.ui.panes.line import PaneLine
from tuitrain.ui.panes.model import ModelPane
from tuitrain.ui.panes.strips import TABS, KeyLine, TabLine
from tuitrain.ui.panes.tips import TipsPane
from tuitrain.ui.panes.trouble import TroubleLine
from tuitrain.ui.seat import OWN, Seat

Kinds = frozenset[type[Event]]

GROUPS = {
    "any": tuple(TABS),
    "plots": ("loss", "grad"),
    "texts": ("tips", "model", "log"),
    "sides": ("log", "model"),
    "lefts": ("loss", "grad", "model"),
    "rights": ("tips", "log"),
    "seconds": ("grad", "model"),
}
"""Panes that may have to share one place. The one shown last is in front, the others bear the class -behind-<group>."""

EVERYTHING = Kinds(kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event))
ALL_BUT_STEPS = EVERYTHING - {events.Step}


class Feed(NamedTuple):
    """A pane, how it is handed the run, and the kinds of events that change what it shows."""

    pane: Widget
    show: Callable[[RunView], None]
    kinds: Kinds


class Board(Screen[None]):
    """Everything there is to see of one run."""

    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        *keymap.bindings(),
        *(Binding(str(digit), f"show_pane('{pane}')", show=False) for digit, pane in enumerate(TABS, 1)),
        Binding("shift+tab", "next_pane(-1)", show=False),
    ]
    # Textual declares these two so that mypy takes them for instance variables.
    HORIZONTAL_BREAKPOINTS = [(0, "-w-line"), (40, "-w-narrow"), (80, "-w-medium"), (120, "-w-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-h-line"), (10, "-h-low"), (20, "-h-short"), (28, "-h-mid"), (46, "-h-tall"),
    ]  # fmt: skip

    def __init__(self, run_name: str, *, ascii_only: bool, colour: bool, seat: Seat = OWN) -> None:
        super().__init__()
        glyphs = ASCII if ascii_only else UNICODE
        self._glyphs = glyphs
        self._view = RunView()
        self._titled_for: events.Run | None = None
        self._recent = ["loss", "tips", "grad", "log", "model"]
        self._loss = Chart("Loss", ascii_only=ascii_only, colour=colour, id="loss", classes="pane")
        self._grad = Chart("Gradient norm", ascii_only=ascii_only, colour=colour, id="grad", classes="pane")
        self._tips = TipsPane(glyphs=glyphs, id="tips", classes="pane")
        self._model = ModelPane(glyphs=glyphs, id="model", classes="pane")
        self._log = ConsolePane(glyphs=glyphs, me=seat.name, id="log", classes="pane")
        self._header, self._line, self._tabs = Header(run_name, glyphs=glyphs), PaneLine(glyphs=glyphs), TabLine()
        self._trouble, self._keys = TroubleLine(glyphs=glyphs), KeyLine(keymap.keys_of(seat.kind), badge=seat.badge)
        self._panes: dict[str, Widget] = {
            "loss": self._loss, "grad": self._grad, "tips": self._tips, "model": self._model, "log": self._log,
        }  # fmt: skip
        self._left = Vertical(self._loss, self._grad, self._model, id="left", classes="column")
        self._right = Vertical(self._tips, self._log, id="right", classes="column")
        self._feeds = self._plug()
        self._stale = list(self._feeds)

    def _plug(self) -> tuple[Feed, ...]:
        step, applied, validation, can = events.Step, events.Applied, events.Validation, events.Capabilities
        charted = Kinds({step, applied, events.Finding, can})
        switches = Kinds({events.Switches, events.TipReport, applied, events.Rejected, can})
        return (
            Feed(self._header, self._header.show, EVERYTHING),
            Feed(self._line, self._line.show, EVERYTHING),
            Feed(self._loss, self._show_loss, charted | {events.Run, validation}),
            Feed(self._grad, lambda view: self._grad.show(gradient_figure(view)), charted),
            Feed(self._tips, self._tips.show, switches),
            Feed(self._model, self._model.show, Kinds({events.ModuleTree, events.GradientNorms, events.Mode})),
            Feed(self._log, self._log.show, ALL_BUT_STEPS),
            Feed(self._keys, self._keys.show, Kinds({events.Run, events.Status, events.End, can})),
        )

    def compose(self) -> ComposeResult:
        """The header, the panes in two columns (or one above the other), the keys."""
        yield self._header
        yield self._trouble
        yield self._tabs
        yield Container(self._left, self._right, id="body")
        yield self._keys
        yield self._line

    def on_mount(self) -> None:
        """Put the panes in their order."""
        self._arrange()

    def on_resize(self, event: textual_events.Resize) -> None:
        """Another size may show other panes. A size as before was another for a moment: all is drawn anew."""
        self.call_after_refresh(self._catch_up)
        if event.size == self.size:
            self.app.call_later(self.app.refresh, layout=True)

    def show(self, view: RunView, kinds: Kinds = EVERYTHING) -> None:
        """Hand the run to the panes that show something of these kinds; those out of sight get it when they appear."""
        self._view = view
        self._stale += [feed for feed in self._feeds if feed.kinds & kinds and feed not in self._stale]
        self._catch_up()

    def tell(self, trouble: str | None) -> None:
        """Show what goes wrong with the recording of the run; None: nothing does."""
        self._trouble.tell(trouble)

    def _show_loss(self, view: RunView) -> None:
        """The chart, and which data it is the loss on: the one place that is in sight at every size with a frame."""
        if view.run is not None and view.run is not self._titled_for:
            self._titled_for = view.run
            self._loss.border_title = Content(f"Loss {self._glyphs.dot} {view.run.data}")
        self._loss.show(loss_figure(view))

    def action_show_pane(self, pane: str) -> None:
        """Bring a pane to the front, and give it the arrow keys."""
        self._recent.remove(pane)
        self._recent.insert(0, pane)
        self._arrange()
        inside = self._panes[pane].walk_children(Widget, with_self=True)
        focusable = (widget for widget in inside if widget.focusable)
        self.set_focus(next(focusable, None))

    def action_next_pane(self, by: int) -> None:
        """Bring the pane after the one in front to the front, or the one before it."""
        order = list(TABS)
        self.action_show_pane(order[(order.index(self._recent[0]) + by) % len(order)])

    def _arrange(self) -> None:
        for group, members in GROUPS.items():
            front = min(members, key=self._recent.index)
            for pane in members:
                self._panes[pane].set_class(pane != front, f"-behind-{group}")
            for column in (self._left, self._right):
                column.set_class(self._panes[front].parent is not column, f"-behind-{group}")
        self.call_after_refresh(self._catch_up)

    def _catch_up(self) -> None:
        for feed in [feed for feed in self._stale if feed.pane.region.area]:
            self._stale.remove(feed)
            feed.show(self._view)
        self._tabs.show({name for name, pane in self._panes.items() if pane.region.area})
