"""Going on with a journal from a step of it: what was recorded after that step is removed."""

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

import msgspec

from tuitrain.errors import UserError
from tuitrain.record import file, rows
from tuitrain.record.committed import Note
from tuitrain.record.curves import Before, column, cut
from tuitrain.record.events import Checkpoint, End, LogLine
from tuitrain.record.packing import Floats
from tuitrain.record.pyramid import (
    CHUNK,
    FAN,
    Curves,
    Group,
    Growth,
    chained,
    merged,
    span_of,
    stride_of,
    whole_groups,
)
from tuitrain.record.rows import Head, Said
from tuitrain.record.text import printable


class Reopened(NamedTuple):
    """A journal open for writing once more, and what its writer must remember."""

    database: sqlite3.Connection
    head: Head
    growth: Growth
    missing: str | None
    """A sentence where the journal did not have all that was once committed to it."""


def go_on_after(path: Path, executed: int, checkpoint: str | None = None) -> Reopened:
    """The journal without what came after `executed`.

    Steps and buckets after that step are removed, events other than log lines, and any End; with the SHA-256 of a
    `checkpoint` also what was said after it was written, between the same two steps. Where its end was missing, a log
    line says so from now on. UserError where the file is no journal, is damaged, or cannot be written.
    """
    note = Note.beside(path)
    with contextlib.ExitStack() as undo:
        try:
            database = undo.enter_context(contextlib.closing(file.open_to_write(path)))
            with file.damage_told(path), file.transaction(database):
                missing = note.missing_in(rows.read_head(database), path)
                head, growth = _cut_back(database, executed, checkpoint)
                if missing is not None:
                    head = _with_line(database, head, missing.sentence)
                rows.write_head(database, head)
        except sqlite3.Error as error:
            raise UserError(f"The journal {path} cannot be written ({error}): the run cannot go on in it.") from error
        undo.pop_all()
    return Reopened(database, head, growth, missing.sentence if missing else None)


def _cut_back(database: sqlite3.Connection, executed: int, checkpoint: str | None) -> tuple[Head, Growth]:
    head = _without_events_after(database, rows.read_head(database), executed, checkpoint)
    chunk, before, steps = _cut_steps(database, head, executed)
    last = int(column(steps, "executed")[-1]) if steps.shape[1] else before.executed
    head = msgspec.structs.replace(head, life=head.life + 1, executed=last, rolled=min(head.rolled, chunk))
    head = msgspec.structs.replace(head, dropped=_cut_buckets(database, head))
    return head, Growth(steps, before, chunk, _pending(database, last))


def _with_line(database: sqlite3.Connection, head: Head, text: str) -> Head:
    """With a log line, where the last step left the run."""
    block = rows.last_block(database, head)
    step, time_s = (float(column(block.steps, name)[-1]) if block else 0.0 for name in ("step", "time_s"))
    line = LogLine(executed=head.executed, step=int(step), time_s=time_s, stream="run", text=printable(text))
    return rows.write_events(database, head, [Said(rows.LINES, None, msgspec.msgpack.encode(line))])


def _without_events_after(database: sqlite3.Connection, head: Head, executed: int, checkpoint: str | None) -> Head:
    events = rows.read_events(database, head, 0)
    written = [id_ for id_, event in events if isinstance(event, Checkpoint) and event.sha256 == checkpoint]
    gone, latest, slots, count = list[tuple[int]](), dict[str, int](), dict[str, int](), 0
    for id_, event in events:
        if event.executed > executed or isinstance(event, End) or (written and id_ > written[-1]):
            gone.append((id_,))
            continue
        count += 1
        latest[type(event).__name__] = id_
        if event.slot is not None:
            slots[event.slot] = id_
    database.executemany("DELETE FROM events WHERE id = ?", gone)
    return msgspec.structs.replace(head, events=count, latest=latest, slots=slots)


def _cut_steps(database: sqlite3.Connection, head: Head, executed: int) -> tuple[int, Before, Floats]:
    """Remove the steps after `executed`; gives the chunk that is being filled, what is known of the step before it,
    and its steps.
    """
    until = rows.last_recorded(database, executed)
    chunk = until // CHUNK
    before = rows.read_before(database, chunk * CHUNK) if chunk else Before()
    steps = rows.read_steps(database, head, before.executed, until)
    database.execute("DELETE FROM steps WHERE number >= ?", (chunk * CHUNK // rows.BLOCK,))
    rows.write_blocks(database, rows.blocks_of(steps, before.executed))
    return chunk, before, steps


def _cut_buckets(database: sqlite3.Connection, head: Head) -> dict[int, int]:
    """Remove the groups that reach past the last step, and make those anew that were dropped and are needed again."""
    dropped, executed = dict[int, int](), head.executed
    for (level,) in database.execute("SELECT DISTINCT level FROM buckets ORDER BY level").fetchall():
        database.execute("DELETE FROM buckets WHERE level = ? AND number >= ?", (level, executed // span_of(level)))
    for level, count in head.dropped.items():
        needed = whole_groups(executed, level, level + 1)
        missing = range(needed.start, min(needed.stop, count))
        rows.write_groups(database, [_group_from_steps(database, head, level, number) for number in missing])
        if left := min(count, needed.start):
            dropped[level] = left
    return dropped


def _group_from_steps(database: sqlite3.Connection, head: Head, level: int, number: int) -> Group:
    """A group made of the steps that are kept: without the spikes of those that are not."""
    start = number * span_of(level)
    before = rows.read_before(database, start) if start else Before()
    steps = rows.read_steps(database, head, before.executed, start + span_of(level))
    return Group(level, number, merged(cut(steps, before), stride_of(level)))


def _pending(database: sqlite3.Connection, executed: int) -> dict[int, Curves]:
    """The whole buckets of each level, from 1 on, that are in no whole group yet: from the groups of a finer level."""
    pending, level = dict[int, Curves](), 0
    while executed >= span_of(level):
        groups = rows.read_groups(database, level, whole_groups(executed, level, level + 1))
        pending[level + 1] = merged(chained([group.curves for group in groups]), FAN)
        level += 1
    return pending
