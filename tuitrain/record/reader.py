"""The reading end of a journal: what is new since the last look, at a bounded price however long that is ago."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from tuitrain.errors import UserError
from tuitrain.record import file, rows
from tuitrain.record.committed import Missing, Note
from tuitrain.record.curves import Before, cut, steps_of
from tuitrain.record.events import AnyEvent, Event, Step
from tuitrain.record.pyramid import (
    CHUNK,
    FINEST,
    Curves,
    chained,
    level_for,
    merged,
    stride_of,
    whole_groups,
)
from tuitrain.record.rows import Head
from tuitrain.record.traces import Overview, stride_for

MOST_STEPS = 20_000
"""Where more steps than this are new, only the newest come one by one."""

NEWEST_STEPS = CHUNK
"""How many steps come one by one after an overview, at least; less than twice as many at most."""

MOST_LINES = 1000
"""Log lines given at one poll, the newest."""

_E = TypeVar("_E", bound=Event)


class News(NamedTuple):
    """What a reader had not seen yet."""

    steps: list[Step]
    """Executed steps, in order."""
    events: list[AnyEvent]
    """Every other event, in order."""
    overview: Overview | None = None
    """All curves up to the first of `steps`: in the place of all steps that were given before."""
    anew: bool = False
    """Whether all that was given before is void, and this is the whole of the run."""


class Reader:
    """A reading end: polls the journal of a live or a finished run.

    Raises UserError where the file is no journal of ours, or is damaged.
    """

    def __init__(self, path: Path, *, whole: bool = False, steps: bool = True) -> None:
        """Read the journal at `path`.

        With `whole` every step and every log line comes one by one, however many; without `steps` no step comes.
        """
        self._path = path
        self._whole = whole
        self._steps = steps
        self._seen = Head(life=0)
        self.missing: Missing | None = None
        """What the journal lacks of what was once committed to it, as of the last look."""
        try:
            self._database = file.open_to_read(path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read as a journal of tuitrain ({error}).") from error

    def poll(self) -> News:
        """Everything since the last poll; empty if nothing happened.

        Where the run went on from a checkpoint since then, all comes anew.
        sqlite3.OperationalError where it cannot be read just now; the next poll then misses nothing.
        """
        with self._looking() as head:
            anew = self._seen.life not in (0, head.life)
            seen = Head() if anew else self._seen
            overview = self._overview(head, seen)
            after = seen.executed if overview is None else overview.before.executed
            after = after if self._steps else head.executed
            steps = rows.read_steps(self._database, head, after, head.executed)
            first_line = seen.lines if self._whole else max(seen.lines, head.lines - MOST_LINES)
            stored = rows.read_events(self._database, head, seen.event_id) if head.event_id > seen.event_id else []
            stored += rows.read_lines(self._database, head, first_line)
            news = News(steps_of(steps), [event for _, event in sorted(stored, key=lambda row: row[0])], overview, anew)
        self._seen = head
        return news

    def skip(self) -> None:
        """What is recorded so far counts as seen."""
        with self._looking() as head:
            self._seen = head

    def last_step(self) -> Step | None:
        """The last executed step, without reading those before it."""
        with self._looking() as head:
            block = rows.last_block(self._database, head)
            return None if block is None else steps_of(block.steps[:, -1:])[0]

    def last(self, kind: type[_E]) -> _E | None:
        """The last event of a kind (any but Step), or None."""
        with self._looking() as head:
            event = rows.read_last(self._database, head, kind.__name__)
            return event if isinstance(event, kind) else None

    @contextlib.contextmanager
    def _looking(self) -> Iterator[Head]:
        """One moment of the journal, and what stands at its head then."""
        note = Note.beside(self._path)  # before the journal, which then holds at least what is noted
        with file.damage_told(self._path), self._database:
            self._database.execute("BEGIN")
            head = rows.read_head(self._database)
            self.missing = note.missing_in(head, self._path)
            yield head

    def _overview(self, head: Head, seen: Head) -> Overview | None:
        """The curves up to the newest steps, where there is too much to give step by step."""
        if self._whole or not self._steps or head.executed - seen.executed <= MOST_STEPS:
            return None
        return read_overview(self._database, head, (head.executed - NEWEST_STEPS) // CHUNK * CHUNK)

    def close(self) -> None:
        """Give the file back; the reader is of no more use."""
        self._database.close()


def read_overview(database: sqlite3.Connection, head: Head, until: int) -> Overview:
    """All curves up to `until`, which ends a chunk: from the widest level that is fine enough, and where that is not
    yet written from the next finer one; from the steps themselves while the run is short.
    """
    stride = stride_for(until)
    if stride < FINEST and not head.rolled:
        steps = rows.read_steps(database, head, 0, until)
        return Overview(until, stride, merged(cut(steps, Before()), stride), Before.after(steps))
    level = level_for(stride)
    while head.dropped.get(level):
        level += 1
    stride = max(stride, stride_of(level))
    curves = chained(list(_coarse_to_fine(database, until, level, stride)))
    return Overview(until, stride, curves, rows.read_before(database, until))


def _coarse_to_fine(database: sqlite3.Connection, until: int, widest: int, stride: int) -> Iterator[Curves]:
    for level in range(widest, -1, -1):
        numbers = whole_groups(until, level, None if level == widest else level + 1)
        groups = rows.read_groups(database, level, numbers)
        yield merged(chained([group.curves for group in groups]), stride // stride_of(level))
