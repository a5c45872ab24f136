"""`tuitrain logs`: what a run told and printed, without its steps."""

import contextlib
import sys
from pathlib import Path

import click

from tuitrain.record.events import LogLine
from tuitrain.record.journal import News, Reader
from tuitrain.record.runs import JOURNAL
from tuitrain.ui.plain import Printer
from tuitrain.verbs.following import follow_run, has_died, standing_of
from tuitrain.verbs.raw_log import unrecorded


def logs(directory: Path, *, follow: bool, as_json: bool) -> None:
    """Print the timeline of the run in `directory`; with `follow` until it ends or dies.

    Of one that died, the last lines of its raw log follow, which the journal lacks.
    """
    printer = Printer(sys.stdout, as_json=as_json, steps=False)
    printed: list[str] = []

    def show(news: News) -> None:
        printed.extend(event.text for event in news.events if isinstance(event, LogLine) and event.stream != "run")
        printer.show(news)

    with contextlib.closing(Reader(directory / JOURNAL, whole=True, steps=False)) as reader:
        if follow:
            follow_run(reader, directory, show, until=lambda: printer.is_closed)
        else:
            show(reader.poll())
    if printer.end is None and has_died(directory):
        printer.show(News([], [LogLine(stream="stdout", text=line) for line in unrecorded(directory, printed)]))
        click.echo(f"tuitrain: {standing_of(directory).sentence}", err=True)
    elif reader.missing is not None:
        click.echo(f"tuitrain: {reader.missing.sentence}", err=True)
    if printer.trouble:
        click.echo(f"tuitrain: {printer.trouble}", err=True)
