"""A run as it is seen from another process: followed until it ends or dies, and what is said of it then."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tuitrain.errors import UserError
from tuitrain.record.events import LIVE_STATES, Capabilities, Checkpoint, End
from tuitrain.record.journal import News, Reader
from tuitrain.record.lease import owner_of
from tuitrain.record.runs import JOURNAL, summarise
from tuitrain.ui.plain import text_of

POLL_INTERVAL_S = 0.1
WENT_WRONG = frozenset({"failed", "bad input"})
"""Reasons for a run's end after which the exit code is not 0."""


class Standing(NamedTuple):
    """How it stands with a run: a sentence, and the exit code for it if it goes on no more."""

    sentence: str
    code: int | None


def has_died(directory: Path) -> bool:
    """Whether the process that records the run in `directory` is known to be gone.

    So it is, too, after the run has ended: that is for the journal to say.
    """
    return owner_of(directory) == "gone"


def standing_of(directory: Path) -> Standing:
    """How it stands with the run in `directory`: it goes on, ended (0, or 1 if that went wrong), or died (1)."""
    summary = summarise(directory)
    if summary.state in LIVE_STATES or summary.state.startswith("on "):
        return Standing(f"{summary.name} is {summary.state}.", None)
    with contextlib.closing(Reader(directory / JOURNAL)) as reader:
        end, saved, can = reader.last(End), reader.last(Checkpoint), reader.last(Capabilities)
    if end is None:
        if saved is None:
            remedy = ""
        elif can is None:
            remedy = f"; tuitrain resume {summary.name} goes on from step {saved.step:,}"
        else:
            remedy = f"; {saved.path} holds its models and optimizers after step {saved.step:,}"
        return Standing(f"{summary.name} {summary.state}{remedy}.", 1)
    return Standing(f"{summary.name}: {text_of(end)}", int(end.reason in WENT_WRONG))


def refuse_script(directory: Path) -> None:
    """UserError if the run in `directory` is one of a script: only that knows how to go on."""
    with contextlib.closing(Reader(directory / JOURNAL)) as reader:
        if reader.last(Capabilities) is None:
            return
        saved = reader.last(Checkpoint)
    load = f"let it load {saved.path} (torch.load), and " if saved else ""
    raise UserError(
        f"{directory.name} is a run of a script of your own, which alone knows how to go on: {load}start it anew."
    )


def follow_run(reader: Reader, directory: Path, show: Callable[[News], None], *, until: Callable[[], bool]) -> None:
    """Hand on what a reader finds of the run in `directory`, until that ends, dies, or `until` says so."""
    ended = False
    while True:
        over = has_died(directory) or until()  # asked before the last look, which then misses nothing
        news = reader.poll()
        show(news)
        ended = ended or any(isinstance(event, End) for event in news.events)
        if over or ended:
            return
        time.sleep(POLL_INTERVAL_S)
