"""What is told on a run's timeline, as lines of text, wrapped."""

import math
from pathlib import Path
from textwrap import wrap
from typing import Literal, NamedTuple

from rich.cells import cell_len, chop_cells

from tuitrain.record.commands import WORDS, spell
from tuitrain.record.events import Applied, Checkpoint, End, LogLine, Rejected, Status, Validation
from tuitrain.record.state import Told
from tuitrain.record.text import printable
from tuitrain.ui.glyphs import Glyphs
from tuitrain.ui.numerals import loss_text, percent_text

Tone = Literal["run", "stdout", "stderr", "applied", "rejected", "validation", "saved", "failed", "end"]

MOST_ROWS = 12
"""Rows that one line of text takes at most."""


class Entry(NamedTuple):
    """A line of the log before it is wrapped; `text` holds nothing but printable characters."""

    tone: Tone
    sign: str
    text: str


def entry_of(told: Told, glyphs: Glyphs, me: str = "key") -> Entry:
    """What is told, in words, and the sign in front of it; of what `me` did, it goes without saying who."""
    at = f"step {told.step:,}  "
    match told:
        case LogLine():
            sign = {"run": glyphs.dot, "stdout": " ", "stderr": glyphs.warning}[told.stream]
            entry = Entry(told.stream, sign, told.text)
        case Applied():
            entry = Entry("applied", glyphs.to, f"{at}{done(told)}{by_whom(told.by, me)}")
        case Rejected():
            entry = Entry(
                "rejected", glyphs.bad, f"{at}{told.word} refused{by_whom(told.by, me, 'asked by')}: {told.reason}"
            )
        case Validation():
            entry = Entry("validation", glyphs.eval, at + _validated(told))
        case Checkpoint():
            entry = Entry("saved", glyphs.good, f"{at}checkpoint {Path(told.path).name} ({told.bytes / 2**20:.1f} MiB)")
        case Status():
            entry = Entry("failed", glyphs.bad, f"{at}{told.state}: {told.message}")
        case End():
            entry = Entry("end", glyphs.on, at + _ended(told))
    return entry._replace(text=printable(entry.text))


def by_whom(by: str, me: str, verb: str = "by") -> str:
    """Who sent a command, as the end of a clause, where it was not `me`."""
    if by == me:
        return ""
    who = "the run's own screen" if by == "key" else by
    return f", {verb} {who}"


def done(told: Applied) -> str:
    """What was applied: the switch and its new value, or the word alone."""
    return f"{told.word} {spell(told.value)}" if told.word in WORDS else told.word


def _validated(told: Validation) -> str:
    accuracy = "" if math.isnan(told.accuracy) else f" {percent_text(told.accuracy, 2)} "
    return f"val{accuracy} loss {loss_text(told.loss)}  {told.mode} mode"


def _ended(told: End) -> str:
    accuracy = "" if told.val_accuracy is None else f", validation accuracy {percent_text(told.val_accuracy, 2)}"
    return f"end: {told.reason}{accuracy}"


def wrapped(text: str, width: int, ellipsis: str) -> list[str]:
    """`text` in rows of at most `width` cells, broken between words where that is possible; at least one row."""
    if cell_len(text) <= width:
        return [text]
    by_words = text.isascii()  # textwrap counts characters, which are not cells in every script
    rows = wrap(text, max(1, width), break_on_hyphens=False) if by_words else chop_cells(text, max(1, width))
    if len(rows) > MOST_ROWS:
        rows = [*rows[: MOST_ROWS - 1], ellipsis]
    return rows or [""]
