"""`tuitrain watch`: the screen of a run that trains in another process, or its lines where there is no terminal."""

import contextlib
import gc
import os
import signal
import sys
import threading
from pathlib import Path

import click

from tuitrain.record.journal import Reader
from tuitrain.record.lines import Stream
from tuitrain.record.link import ReadOnly
from tuitrain.record.messages import speaker
from tuitrain.record.runs import JOURNAL
from tuitrain.record.socket_link import SocketLink, viewer_name
from tuitrain.ui.plain import Printer
from tuitrain.ui.seat import Seat
from tuitrain.ui.terminal import OwnTerminal
from tuitrain.verbs.following import follow_run, has_died, standing_of
from tuitrain.verbs.leaving import left_in_time

TERMINATED = 128 + signal.SIGTERM


def on_screen(directory: Path, *, read_only: bool, ascii_only: bool) -> int:
    """The screen of the run in `directory`, until one leaves it; the exit code."""
    gc.disable()  # what is loaded now stays: to look through it for garbage takes a tenth of the start
    from tuitrain.ui.app import TuitrainApp  # Textual is loaded only where it is shown

    name = viewer_name()
    printed: list[tuple[Stream, str]] = []
    with contextlib.closing(SocketLink(directory, name=name)) as link:
        with OwnTerminal(lambda stream, line: printed.append((stream, line))) as own:
            app = TuitrainApp(
                journal=directory / JOURNAL,
                link=ReadOnly(link) if read_only else link,
                name=directory.name,
                seat=Seat(
                    kind="reader" if read_only else "viewer",
                    name=speaker(name, os.getpid()),
                    has_died=lambda: has_died(directory),
                ),
                ascii_only=ascii_only,
                on_ready=lambda: _ready(own),
            )
            terminated = threading.Event()
            signal.signal(signal.SIGTERM, lambda number, frame: terminated.set())
            with left_in_time(own, terminated, lambda: app.call_later(app.exit, TERMINATED)):
                code = app.run() or 0
        for stream, line in printed:  # nobody prints here; a warning of Python's would
            click.echo(line, err=stream == "stderr")
        return code


def _ready(own: OwnTerminal) -> None:
    own.catch_prints()
    gc.enable()


def as_lines(directory: Path, *, as_json: bool) -> int:
    """All that the run in `directory` records as lines on standard output, until it ends or dies; the exit code."""
    printer = Printer(sys.stdout, as_json=as_json)
    with contextlib.closing(Reader(directory / JOURNAL, whole=as_json)) as reader:
        follow_run(reader, directory, printer.show, until=lambda: printer.is_closed)
    if printer.trouble:
        click.echo(f"tuitrain: {printer.trouble}", err=True)
    standing = standing_of(directory)
    if printer.end is None and standing.code is not None:
        click.echo(f"tuitrain: {standing.sentence}", err=True)
    elif reader.missing is not None:
        click.echo(f"tuitrain: {reader.missing.sentence}", err=True)
    return standing.code or 0
