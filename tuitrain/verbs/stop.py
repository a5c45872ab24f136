"""`tuitrain stop`: has a run finish its step, save, and end."""

import contextlib
import time
from pathlib import Path

import click

from tuitrain.errors import UserError
from tuitrain.record.commands import Stop
from tuitrain.record.events import Checkpoint
from tuitrain.record.journal import News, Reader
from tuitrain.record.runs import JOURNAL
from tuitrain.record.socket_link import SocketLink
from tuitrain.ui.plain import text_of
from tuitrain.verbs.following import follow_run, standing_of

ANSWERS_WITHIN_S = 10.0


def stop(directory: Path, timeout_s: float | None) -> int:
    """Stop the run in `directory` and wait until it has ended, at most `timeout_s` seconds; the exit code.

    0: it has ended, now or before; 1: it failed, died, or has not ended in time. UserError if it cannot be told.
    """
    before = standing_of(directory)
    if before.code is not None:
        click.echo(f"tuitrain: there is nothing to stop: {before.sentence}", err=True)
        return before.code
    _tell(directory)
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    last = _Last()
    with contextlib.closing(Reader(directory / JOURNAL, steps=False)) as reader:
        follow_run(reader, directory, last.see, until=lambda: deadline_s is not None and time.monotonic() > deadline_s)
    if last.checkpoint is not None:
        click.echo(text_of(last.checkpoint))
    after = standing_of(directory)
    if after.code is None:
        click.echo(f"tuitrain: {directory.name} was told to stop, and has not ended within {timeout_s:g} s.", err=True)
        return 1
    click.echo(after.sentence)
    return after.code


class _Last:
    """The last checkpoint, of all that is seen."""

    checkpoint: Checkpoint | None = None

    def see(self, news: News) -> None:
        saved = [event for event in news.events if isinstance(event, Checkpoint)]
        self.checkpoint = saved[-1] if saved else self.checkpoint


def _tell(directory: Path) -> None:
    """Send the Stop; a run that ended by itself meanwhile needs none."""
    with contextlib.closing(SocketLink(directory, name="tuitrain stop")) as link:
        try:
            link.send(Stop())
            link.settle(ANSWERS_WITHIN_S)
        except UserError:
            if standing_of(directory).code is None:
                raise
