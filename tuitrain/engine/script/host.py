"""The host of a script: starts its process, records what it says and prints, and how it ended. Loads no torch.

`ScriptHost(order, journal, scheduled)`, then `start()`, `join()`, `returncode`. The process that records the run is
this one; should it go, the script goes on unobserved.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tuitrain.engine.recorder import Recorder
from tuitrain.engine.script.hearing import Hearing, ToScript
from tuitrain.engine.script.messages import PYTHONPATH_BEFORE, STOPPED_CODE, VARIABLE, Briefing
from tuitrain.engine.script.output import Output
from tuitrain.record.commands import AnyCommand
from tuitrain.record.events import End, LinesBegun, Status
from tuitrain.record.journal import Journal
from tuitrain.record.lines import Stream
from tuitrain.record.runs import release_lease
from tuitrain.record.text import printable

INJECTED = Path(__file__).with_name("injected")
"""Where the script's interpreter finds what watches it."""
WAIT_S = 0.05
INTERRUPTED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a script because somebody wanted that."""


@dataclass(frozen=True, kw_only=True)
class ScriptOrder:
    """What to run, and how."""

    arguments: Sequence[str]
    """The script and its arguments, or -m, a module and its arguments: as for python."""
    directory: Path
    """The run's directory."""
    tips: str = ""
    """Where the tips are found, as "module:name"."""
    checks: str = ""
    """Where the checks are found, as "module:name"."""
    ignored: Sequence[str] = ()
    """Rules that are not checked."""
    attended: bool = False
    """Whether anyone can send commands while the script runs."""
    own_session: bool = False
    """Whether the script is to survive its terminal, and is out of reach of its keys."""
    columns: int = 0
    """Columns of the terminal that the script is to find where it prints; 0: it finds a pipe."""
    blocked_signals: Sequence[int] = ()
    """Signals to be blocked in the script."""

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.arguments[1] if self.arguments[0] == "-m" else os.path.basename(self.arguments[0])


class Process(Protocol):
    """The script at work, as `subprocess.Popen` has it."""

    def poll(self) -> int | None:
        """Its exit code, or the negated number of what killed it; None while it is at work."""

    def wait(self) -> int:
        """The same, at its end."""

    def send_signal(self, number: int, /) -> None:
        """Send it a signal."""


class ScriptHost:
    """Runs a script and records it, with a thread of its own. `join` it, then read `returncode`."""

    def __init__(
        self,
        order: ScriptOrder,
        journal: Journal,
        scheduled: Sequence[tuple[int, AnyCommand]] = (),
        *,
        start_process: Callable[..., Process] = subprocess.Popen,
    ) -> None:
        """`start_process` starts what it is given as Popen does."""
        self.order = order
        self.recorder = Recorder(journal)
        self.inbox = ToScript(trouble=lambda: journal.trouble)
        self.returncode = 0
        """As subprocess has it: the exit code of the script's process, or the negated number of what killed it."""
        self._scheduled = tuple(scheduled)
        self._start_process = start_process
        self._last_printed = ""
        self._thread = threading.Thread(target=self._record, name="script-host", daemon=True)

    def start(self) -> None:
        """Start the script. OSError if its process or its log cannot be had."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._output = Output(self.order.directory, self._printed, self._say_begun, columns=self.order.columns)
            with self._output.for_script() as descriptor:
                self._process = self._start_process(
                    [sys.executable, *self.order.arguments],
                    env=self._environment(theirs.fileno()),
                    stdin=subprocess.DEVNULL if self.order.own_session else None,
                    stdout=descriptor,
                    stderr=descriptor,
                    pass_fds=[theirs.fileno()],
                    start_new_session=self.order.own_session,
                )
        self._socket = ours
        self._hearing = Hearing(ours, self.recorder, self.inbox)
        self.recorder.say(Status, state="loading", message=f"Running {self.order.name}")
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the script and of its recording; whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def signal(self, number: int) -> None:
        """Pass a signal on to the script."""
        self._process.send_signal(number)

    def _environment(self, descriptor: int) -> dict[str, str]:
        order = self.order
        briefing = Briefing(
            descriptor=descriptor,
            directory=str(order.directory),
            name=order.name,
            blocked_signals=tuple(order.blocked_signals),
            tips=order.tips,
            checks=order.checks,
            ignored=tuple(order.ignored),
            scheduled=self._scheduled,
            attended=order.attended,
        )
        before = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(INJECTED), *([before] if before else [])])
        changed = {VARIABLE: msgspec.json.encode(briefing).decode(), "PYTHONPATH": path}
        return os.environ | changed | ({PYTHONPATH_BEFORE: before} if before is not None else {})

    def _record(self) -> None:
        """Record until the script has ended, and all that it said and printed was read."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ, self._hearing.hear)
            selector.register(self._output.descriptor, selectors.EVENT_READ, self._output.read)
            gone = False
            while not gone or selector.get_map():
                ready = selector.select(WAIT_S)
                for key, _ in ready:
                    if not key.data():
                        selector.unregister(key.fileobj)
                self._output.settle()
                if gone and not ready:
                    break  # a process that the script has started may still hold its output open
                gone = gone or self._process.poll() is not None
        self._end(self._process.wait())

    def _printed(self, stream: Stream, text: str) -> None:
        self._last_printed = printable(text).strip() or self._last_printed
        self.recorder.printed(stream, text)

    def _say_begun(self, text: str) -> None:
        self.recorder.say(LinesBegun, text="\n".join(map(printable, text.split("\n"))))

    def _end(self, returncode: int) -> None:
        self.inbox.close()
        self.returncode = returncode
        self._output.close()
        self._socket.close()
        self._hearing.reject_the_unanswered()
        state, reason, message = self._how_it_ended(returncode)
        position = self.recorder.position
        self.recorder.say(Status, state=state, message=message)
        self.recorder.say(
            End,
            steps=position.step,
            executed_steps=position.executed,
            val_accuracy=None,
            val_loss=None,
            weights_sha256=None,
            reason=reason,
        )
        self.recorder.journal.close()
        release_lease(self.order.directory)

    def _how_it_ended(self, returncode: int) -> tuple[Any, str, str]:
        """The state, the reason, and a sentence."""
        name = self.order.name
        if self._hearing.stopped and returncode in (0, STOPPED_CODE):
            return "stopped", "stopped", f"{name} was stopped"
        if returncode == 0:
            return "finished", "finished", ""
        if returncode > 0:
            last = f"; last line: {self._last_printed}" if self._last_printed else ""
            return "failed", "failed", f"{name} exited with code {returncode}{last}"
        killer = signal.Signals(-returncode)
        if killer in INTERRUPTED:
            return "stopped", "stopped", f"{name} was ended by {killer.name}"
        return "failed", "failed", f"{name} was killed by {killer.name}"
