"""A run hosted by this process: with its screen, as lines of text, or detached from any terminal.

Whichever it is, viewers in other terminals can watch and steer it.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from tuitrain.engine.host import Host
from tuitrain.errors import UserError
from tuitrain.record.commands import Stop
from tuitrain.record.control import ControlSocket
from tuitrain.record.journal import Reader
from tuitrain.record.link import Inbox
from tuitrain.ui.plain import Printer, follow
from tuitrain.ui.terminal import OwnTerminal
from tuitrain.verbs.detach import Report
from tuitrain.verbs.leaving import left_in_time
from tuitrain.verbs.only_new import OnlyNew
from tuitrain.verbs.raw_log import RawLog

if TYPE_CHECKING:
    from tuitrain.ui.app import TuitrainApp


@contextlib.contextmanager
def steerable(host: Host) -> Iterator[None]:
    """Within the context other processes can command the run; if they cannot, the run says why and goes on."""
    with closing(ControlSocket(host.order.directory, host.inbox)) as control:
        if control.trouble:
            host.recorder.log(control.trouble)
        yield


def with_screen(host: Host, *, ascii_only: bool) -> int:
    """The screen in this terminal, the run in a thread; the exit code of the screen.

    When the terminal goes away the screen goes with it, and the run trains on to its end.
    """
    from tuitrain.ui.app import LEFT_NOW, TuitrainApp  # Textual is loaded only where it is shown

    journal = host.recorder.journal.path
    with OwnTerminal(host.recorder.printed) as own:
        app = TuitrainApp(
            journal=journal,
            link=host.inbox,
            name=host.order.directory.name,
            ascii_only=ascii_only,
            on_ready=own.catch_prints,
        )
        stopping = StopOnSignals(host.inbox, leave_now=lambda number: app.exit(LEFT_NOW))
        signal.signal(signal.SIGHUP, lambda number, frame: app.exit(0))
        host.start()
        with left_in_time(own, stopping.asked, lambda: _leave_when_it_has_ended(app, host)):
            code = app.run() or 0
        stopping.leave_now = _leave_at_once
        if not code:
            host.join()  # before the descriptors lead back to a terminal that may be gone
        return code


def _leave_when_it_has_ended(app: "TuitrainApp", host: Host) -> None:
    host.join()
    app.call_later(app.exit, 0)


def with_lines(host: Host, *, as_json: bool) -> int:
    """The run in a thread, its journal as lines on standard output; when nobody can read them any more it goes on."""
    StopOnSignals(host.inbox, leave_now=_leave_at_once)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    printer = Printer(sys.stdout, as_json=as_json)
    if host.recorder.journal.missing:
        click.echo(f"tuitrain: {host.recorder.journal.missing}", err=True)
    with closing(Reader(host.recorder.journal.path, whole=not host.resumes)) as reader:
        only_new = OnlyNew(reader.poll().events) if host.resumes else None
        host.start()
        follow(reader, lambda news: printer.show(only_new(news) if only_new else news), lambda: host.join(0))
    if printer.trouble:
        click.echo(f"tuitrain: {printer.trouble}", err=True)
    return 0


def detached(host: Host, report: Report) -> int:
    """The run in a thread; what this process prints goes to the run's log, and into its journal."""
    StopOnSignals(host.inbox, leave_now=_leave_at_once)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    directory = host.order.directory
    with _raw_log(directory, host):
        faulthandler.enable(2)  # on our descriptor: where a crash in C code happened
        report.begun(directory, resumed=host.resumes)
        host.start()
        host.join()
    return 0


class StopOnSignals:
    """From now on SIGINT or SIGTERM, once: finish the step, save, leave; twice: leave now."""

    def __init__(self, inbox: Inbox, *, leave_now: Callable[[int], None]) -> None:
        self.leave_now = leave_now
        self.asked = threading.Event()
        """Whether it was told to stop."""
        self._inbox = inbox
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.asked.is_set():
            self.leave_now(number)
        else:
            self.asked.set()
            self._inbox.send(Stop(by=signal.Signals(number).name))


def leave(host: Host, code: int) -> NoReturn:
    """Exit: at once where the screen was told to, else when the run has ended, with its code."""
    if code:
        sys.stderr.flush()
        os._exit(code)
    host.join()
    for sentence in (host.bad_input, host.recorder.journal.trouble):
        if sentence:
            click.echo(f"tuitrain: {sentence}", err=True)
    sys.exit(host.exit_code)


def _leave_at_once(number: int) -> None:
    os._exit(128 + number)


@contextlib.contextmanager
def _raw_log(directory: Path, host: Host) -> Iterator[None]:
    """The run's log, in which all that is printed ends up; UserError where it cannot be opened."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(RawLog(directory, host.recorder.printed))
        except OSError as error:
            raise UserError(
                f"{directory} cannot take a log ({error}): make room, or train without --detach."
            ) from error
        yield
