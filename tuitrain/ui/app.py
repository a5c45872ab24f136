"""The app: polls the journal, hands the run to the screen, sends commands. Nothing else feeds the screen."""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from textual import events
from textual.app import App, SystemCommand, get_system_commands_provider
from textual.binding import BindingType
from textual.geometry import Size
from textual.screen import Screen
from textual.timer import Timer

from tuitrain.errors import UserError
from tuitrain.record.commands import SCHEDULED, AnyCommand, Stop
from tuitrain.record.events import Applied, Capabilities, Rejected, Step, Switches
from tuitrain.record.journal import News, Reader
from tuitrain.record.link import Link
from tuitrain.record.state import RunView
from tuitrain.ui import facts, keymap, theme
from tuitrain.ui.board import Board, Kinds
from tuitrain.ui.capability_screen import CapabilityScreen
from tuitrain.ui.glyphs import ASCII, UNICODE
from tuitrain.ui.log_lines import by_whom, done
from tuitrain.ui.pace import Pace
from tuitrain.ui.palette import KeyCommands
from tuitrain.ui.screens import HelpScreen, StopQuestion
from tuitrain.ui.script_keys import keys_for, refusal
from tuitrain.ui.seat import OWN, Seat

LEFT_NOW = 130
"""Exit code of a second ctrl+c, as shells have it for an interrupted program."""
FAILED = 1
ENDS_SCREEN = frozenset({"stopped", "bad input"})
"""Reasons for a run's end at which the screen goes by itself."""
UNATTENDED = (SCHEDULED, "tuitrain")
"""Whom a command comes from that nobody sent just now."""
STAYS_S = 3600.0
"""For how long a notice of what will not pass stays."""


class TuitrainApp(App[int]):
    """The screen of one run, which trains in this process or in another; `run()` returns the exit code."""

    TITLE = "tuitrain"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar = {KeyCommands, get_system_commands_provider}
    BINDINGS: ClassVar[list[BindingType]] = [*keymap.priority_bindings()]

    def __init__(
        self,
        *,
        journal: Path,
        link: Link,
        name: str,
        seat: Seat = OWN,
        poll_s: float = 0.25,
        ascii_only: bool = False,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        """Show the run recorded in `journal`, steer it through `link`.

        Args:
            journal: The run's journal; UserError if it is none.
            link: Where commands are sent.
            name: What the run is called until it has said its title.
            seat: Whether the run trains in this process or in another, and who sends commands from here.
            poll_s: Seconds between two looks at the journal, at least.
            ascii_only: Draw with ASCII alone.
            on_ready: Called once the screen has taken the terminal.
        """
        super().__init__()
        self.view = RunView()
        self._keys_of_seat = keymap.keys_of(seat.kind)
        self._seat = seat
        self._reader = Reader(journal)
        self._link = link
        self._run_name = name
        self._ascii_only = ascii_only
        self._on_ready = on_ready
        self._pace = Pace(poll_s)
        self._timer: Timer | None = None
        self._stopping = False
        self._readable = True
        self._caught_up = False
        self.set_class(ascii_only, "-ascii")

    @property
    def keys(self) -> tuple[keymap.Key, ...]:
        """The keys that this seat has, in the words that hold for the run as it is now."""
        return keys_for(self.view, self._keys_of_seat)

    def get_default_screen(self) -> Screen[None]:
        """The main screen."""
        self._board = Board(self._run_name, ascii_only=self._ascii_only, colour=not self.no_color, seat=self._seat)
        return self._board

    def on_mount(self) -> None:
        """Take the look, and begin to poll."""
        if self._on_ready is not None:
            self._on_ready()
        for look in (theme.DARK, theme.LIGHT):
            self.register_theme(look)
        self.theme = theme.DARK.name
        # Back from ctrl+z the terminal is blank: Textual paints only what changes.
        self.app_resume_signal.subscribe(self, lambda _: self.call_later(self.refresh, layout=True))
        self._tick()

    def on_resize(self, event: events.Resize) -> None:
        """A window that shrank and grew back before Textual looked lost what was drawn: draw it anew."""
        if event.size == self.size:
            self.call_later(self.refresh, layout=True)

    def on_unmount(self) -> None:
        """Give the journal back; a poll that is already under way finds it gone."""
        self._readable = False
        self._reader.close()

    def poll(self) -> None:
        """Read what is new in the journal, and show what it changed; and whether the run still lives."""
        if not self._readable:
            return
        died = facts.has_not_ended(self.view) and self._seat.has_died()
        if (news := self._news()) is not None:  # only now, so that what it said before it went is taken in
            self._take(news)
            self._say_whether_it_died(died and facts.has_not_ended(self.view))
        self._board.tell(self._trouble())
        if refused := self._link.take_refused():
            self.view.not_taken(refused)
            self._board.show(self.view, Kinds({Switches}))

    def _trouble(self) -> str | None:
        if self._reader.missing is not None:
            return self._reader.missing.sentence
        return self._link.trouble if facts.is_live(self.view) else None

    def _news(self) -> News | None:
        try:
            return self._reader.poll()
        except sqlite3.OperationalError as error:
            self.notify(
                f"The journal cannot be read just now ({error}); trying again.", severity="warning", markup=False
            )
        except UserError as error:
            self._readable = False
            self.notify(str(error), severity="error", timeout=STAYS_S, markup=False)
        return None

    def _take(self, news: News) -> None:
        sent = set(self.view.pending)
        self.view.update(news)
        kinds = Kinds(map(type, news.events)) | (Kinds({Step}) if news.steps else Kinds())
        if news.anew:
            self._board.show(self.view)
        elif kinds:
            self._board.show(self.view, kinds)
        if Capabilities in kinds and isinstance(self.screen, CapabilityScreen):
            self.screen.show(self.view)
        self._report_rejected(event for event in news.events if isinstance(event, Rejected) and event.id in sent)
        if self._caught_up and not news.anew:
            self._report_of_others(event for event in news.events if isinstance(event, Applied))
        self._caught_up = True
        if self.view.end is not None and not self._seat.is_own:
            self._stopping = False  # it may be resumed under our eyes
        if self._has_nothing_to_show():
            self.exit(0)

    def _say_whether_it_died(self, died: bool) -> None:
        if died != self.view.died:
            self.view.died = died
            self.view.pending.clear()  # nobody is left to answer
            self._board.show(self.view)

    def _has_nothing_to_show(self) -> bool:
        """Whether the run ended because somebody here said so, or never began; one that failed is shown."""
        end = self.view.end
        if end is None or not self._seat.is_own or self._was_stopped_elsewhere():
            return False
        return end.reason in ENDS_SCREEN or (self._stopping and self.view.status.state != "failed")

    def _was_stopped_elsewhere(self) -> bool:
        stop = facts.stop_taken(self.view)
        return stop is not None and stop.by not in (self._seat.name, *(number.name for number in signal.Signals))

    def action_press(self, name: str) -> None:
        """Do what the key of this name does: send its command, if the run can take one."""
        if not facts.is_live(self.view):
            self._say_nothing_is_left()
        elif (refused := refusal(self.view, keymap.by_name(name))) is not None:
            self.notify(refused, title=keymap.by_name(name).label, severity="warning", markup=False)
        elif not self.view.switches:
            self.notify("The run is still loading: its keys work as soon as it has said its switches.")
        elif (command := keymap.command(name, self.view)) is None:
            self.notify(f"This run has nothing to do for the key {keymap.by_name(name).shown}.", severity="warning")
        else:
            self._send(command)

    def action_keys_help(self) -> None:
        """Show the help."""
        self.push_screen(HelpScreen(self.keys, ascii_only=self._ascii_only))

    def action_capabilities(self) -> None:
        """Show what can be had of a script, and what not."""
        if self.view.capabilities:
            self.push_screen(CapabilityScreen(self.view, glyphs=ASCII if self._ascii_only else UNICODE))
        elif self.view.run is None:
            self.notify("Nothing is known of the run yet: it has not begun to train.")
        else:
            self.notify("This run is no script: all that is on the screen is observed, and every key steers it.")

    async def action_quit(self) -> None:
        """Leave; ask first where that would end a run that still trains."""
        if not self._seat.is_own or not facts.is_live(self.view):
            self._leave()
        else:
            self.action_stop()

    def action_stop(self) -> None:
        """End the run; ask first."""
        if not facts.is_live(self.view):
            self._say_nothing_is_left()
        elif (refused := refusal(self.view, keymap.by_name("stop"))) is not None:
            self.notify(refused, title=keymap.by_name("stop").label, severity="warning", markup=False)
        elif self._stopping:
            self.notify("Already stopping: the step is being finished. ctrl+c leaves now.")
        elif not isinstance(self.screen, StopQuestion):
            self.push_screen(StopQuestion(facts.whereabouts(self.view), leaves=self._seat.is_own), self._stop_if)

    def action_interrupt(self) -> None:
        """Of a run in this process, once: finish the step, save, leave; twice: leave now. Of another: leave."""
        if not self._seat.is_own or not facts.is_live(self.view):
            self._leave()
        elif self._stopping:
            self.exit(LEFT_NOW)
        else:
            self._stop_if(True)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Of Textual's own commands, the themes."""
        yield SystemCommand("Theme", "Change the colours: dark, light, or one of Textual's", self.action_change_theme)

    def _stop_if(self, stop: bool | None) -> None:
        if stop and facts.is_live(self.view) and self._send(Stop()):
            self._stopping = True
            then = "then leaving. ctrl+c leaves now." if self._seat.is_own else "then ending; its last picture stays."
            self.notify(f"Finishing the step, saving, {then}", title="Stopping")

    def _leave(self) -> None:
        self.exit(FAILED if self._seat.is_own and self.view.status.state == "failed" else 0)

    def _send(self, command: AnyCommand) -> bool:
        """Send a command in this seat's name; whether it could be delivered."""
        command = msgspec.structs.replace(command, by=self._seat.name)
        try:
            self._link.send(command)
        except UserError as error:
            self.notify(str(error), severity="error", markup=False)
            return False
        self.view.sent(command)
        self._board.show(self.view, Kinds({Switches}))
        self._pace.hurry()
        self._arm()
        return True

    def _say_nothing_is_left(self) -> None:
        how = "has died" if self.view.died else "has ended"
        self.notify(f"The run {how}: there is nothing left to steer.", severity="warning")

    def _report_of_others(self, events: Iterable[Applied]) -> None:
        """Say what another screen changed: here it may be out of sight."""
        for event in events:
            if event.by not in (self._seat.name, *UNATTENDED):
                self.notify(f"{done(event)}{by_whom(event.by, self._seat.name)}", title="Changed", markup=False)

    def _report_rejected(self, events: Iterable[Rejected]) -> None:
        for event in events:
            self.notify(event.reason, title=f"Refused: {event.word}", severity="warning", markup=False)

    def _tick(self) -> None:
        self._pace.looked()
        self._see_size()
        self.poll()
        self._arm()

    def _see_size(self) -> None:
        """Of several sizes that come at once Textual may take an earlier one for the last: ask the terminal itself."""
        if self.is_headless or sys.__stdout__ is None:
            return
        try:
            size = Size(*os.get_terminal_size(sys.__stdout__.fileno()))
        except OSError:  # the terminal has gone away, and nobody was told by a signal: its input would be read for ever
            self.exit(0)
            return
        if size != self.size:
            self.post_message(events.Resize(size, size))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(self._pace.interval_s(waiting=bool(self.view.pending)), self._tick)
