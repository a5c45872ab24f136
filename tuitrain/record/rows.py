"""The rows of a journal: what stands at its head, and how steps, buckets, events and log lines are written and read.

Every row is sealed with a checksum, and rows are chained or counted, so that it is seen when a row changed or went
missing. Whatever reads here runs inside the caller's transaction.
"""

import contextlib
import sqlite3
import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

import msgspec
import numpy as np

from tuitrain.record.curves import STEP_COLUMNS, Before, column, no_steps
from tuitrain.record.events import AnyEvent
from tuitrain.record.packing import Damaged, Floats, pack, seal, unpack, unseal
from tuitrain.record.pyramid import Group

BLOCK = 64
"""Executed steps stored in one row: block n holds those of the steps 64 n + 1 to 64 (n + 1) that were recorded."""

_INTEGER = struct.Struct("<q")
_DECODER = msgspec.msgpack.Decoder(AnyEvent)


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What the tables hold: written with every commit, so that readers know what they must find."""

    life: int = 1
    """Counts from 1; one more each time the journal was opened again and rows were removed."""
    executed: int = 0
    """The last executed step that is recorded."""
    event_id: int = 0
    """The highest id an event ever had; log lines count too."""
    events: int = 0
    """How many events there are, log lines apart."""
    lines: int = 0
    """How many log lines there are, numbered from 1."""
    latest: dict[str, int] = {}
    """The id of the last event of each kind, log lines apart."""
    slots: dict[str, int] = {}
    """The id of the event in each slot."""
    rolled: int = 0
    """Of how many chunks only some steps are kept."""
    dropped: dict[int, int] = {}
    """How many groups of a level of the table of buckets are no longer there, from the first on."""


class Said(NamedTuple):
    """An event, ready to be stored."""

    kind: str
    slot: str | None
    body: bytes


class Block(NamedTuple):
    """Steps stored in one row: those of one block, or what is kept of a whole chunk under the number of its first."""

    number: int
    previous: int
    """The executed step recorded before these; 0 for none."""
    steps: Floats
    """(11, n), n > 0"""

    @property
    def last(self) -> int:
        """The last executed step in it."""
        return int(column(self.steps, "executed")[-1])

    def row(self) -> tuple[int, bytes]:
        """As a row of the table."""
        return self.number, seal("steps", self.number, _INTEGER.pack(self.previous) + pack(self.steps))

    @classmethod
    def of_row(cls, number: int, body: object) -> Self:
        """What `row` gave, back; Damaged if it is not that."""
        payload = unseal("steps", number, body)
        (previous,) = _INTEGER.unpack_from(payload)
        return cls(number, previous, unpack(payload[_INTEGER.size :], len(STEP_COLUMNS)))


def blocks_of(steps: Floats, previous: int) -> list[Block]:
    """Steps (11, N) cut into blocks; `previous` is the executed step recorded before them."""
    executed = column(steps, "executed")
    numbers = (executed.astype(np.int64) - 1) // BLOCK
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    parts = np.split(steps, starts[1:], axis=1) if len(starts) else []
    blocks = list[Block]()
    for start, part in zip(starts, parts, strict=True):
        blocks.append(Block(int(numbers[start]), blocks[-1].last if blocks else previous, part))
    return blocks


def read_head(database: sqlite3.Connection) -> Head:
    """What stands at the head."""
    row = database.execute("SELECT body FROM head WHERE id = 1").fetchone()
    if row is None:
        raise Damaged("its head is missing")
    return msgspec.msgpack.decode(unseal("head", 1, row[0]), type=Head)


def write_head(database: sqlite3.Connection, head: Head) -> None:
    """Replace what stands at the head."""
    database.execute("INSERT OR REPLACE INTO head VALUES (1, ?)", (seal("head", 1, msgspec.msgpack.encode(head)),))


_BLOCKS = """
SELECT number, body FROM steps
WHERE number >= coalesce((SELECT max(number) FROM steps WHERE number <= ?), 0) ORDER BY number
"""


def read_steps(database: sqlite3.Connection, head: Head, after: int, until: int) -> Floats:
    """The recorded steps (11, N) with after < executed <= until; `after` is one that was recorded, or 0."""
    if until <= after:
        return no_steps()
    blocks = list(_chained(database, head, after, until))
    steps = np.concatenate([no_steps(), *(block.steps for block in blocks)], axis=1)
    executed = column(steps, "executed")
    return steps[:, np.searchsorted(executed, after, "right") : np.searchsorted(executed, until, "right")]


def _chained(database: sqlite3.Connection, head: Head, after: int, until: int) -> Iterator[Block]:
    """The blocks from the one after `after` to the first that reaches past `until`: each must follow the one before."""
    last = after
    with contextlib.closing(database.execute(_BLOCKS, (after // BLOCK,))) as rows:
        for row in rows:
            block = Block.of_row(*row)
            spans_after = last == after and block.previous < after <= block.last
            if block.previous != last and not spans_after:
                break
            yield block
            last = block.last
            if last > until:
                return
    if last != head.executed:
        raise Damaged(f"steps after {last:,} are missing")


def last_block(database: sqlite3.Connection, head: Head) -> Block | None:
    """The block with the last recorded step, None before the first."""
    if not head.executed:
        return None
    row = database.execute("SELECT number, body FROM steps ORDER BY number DESC LIMIT 1").fetchone()
    block = None if row is None else Block.of_row(*row)
    if block is None or block.last != head.executed:
        raise Damaged("the last steps are missing")
    return block


def block_before(database: sqlite3.Connection, until: int) -> Block | None:
    """The block of step `until`, or the last one before it; None if there is none."""
    row = database.execute(
        "SELECT number, body FROM steps WHERE number <= ? ORDER BY number DESC LIMIT 1", ((until - 1) // BLOCK,)
    ).fetchone()
    return None if row is None else Block.of_row(*row)


def read_before(database: sqlite3.Connection, until: int) -> Before:
    """What the last step recorded up to the end of a block, `until`, leaves to know for those after it."""
    block = block_before(database, until)
    return Before() if block is None else Before.after(block.steps)


def last_recorded(database: sqlite3.Connection, until: int) -> int:
    """The last recorded step up to `until`, 0 if there is none."""
    block = block_before(database, until)
    if block is None:
        return 0
    executed = column(block.steps, "executed")
    count = int(np.searchsorted(executed, until, "right"))
    return int(executed[count - 1]) if count else block.previous


def write_blocks(database: sqlite3.Connection, blocks: list[Block]) -> None:
    """Store blocks, in the place of those of the same number."""
    database.executemany("INSERT OR REPLACE INTO steps VALUES (?, ?)", [block.row() for block in blocks])


def read_groups(database: sqlite3.Connection, level: int, numbers: range) -> list[Group]:
    """Groups of a level of the table of buckets: every one of `numbers`."""
    rows = database.execute(
        "SELECT number, body FROM buckets WHERE level = ? AND number >= ? AND number < ? ORDER BY number",
        (level, numbers.start, numbers.stop),
    ).fetchall()
    if [number for number, _ in rows] != list(numbers):
        raise Damaged(f"buckets of level {level} are missing")
    return [Group.unpacked(level, number, unseal(f"level {level}", number, body)) for number, body in rows]


def write_groups(database: sqlite3.Connection, groups: list[Group]) -> None:
    """Store groups of the table of buckets."""
    rows = [(group.level, group.number, seal(f"level {group.level}", group.number, group.packed())) for group in groups]
    database.executemany("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?)", rows)


class Stored(NamedTuple):
    """An event and its id."""

    id: int
    event: AnyEvent


def read_events(database: sqlite3.Connection, head: Head, after: int) -> list[Stored]:
    """The events with a higher id than `after`, log lines apart, in order."""
    rows = database.execute("SELECT id, body FROM events WHERE id > ? ORDER BY id", (after,)).fetchall()
    if not after and len(rows) != head.events:
        raise Damaged(f"it should hold {head.events:,} events, and holds {len(rows):,}")
    return [Stored(id_, _DECODER.decode(unseal("events", id_, body))) for id_, body in rows]


def read_lines(database: sqlite3.Connection, head: Head, after: int) -> list[Stored]:
    """The log lines of a higher number than `after`, in order."""
    rows = database.execute("SELECT number, body FROM lines WHERE number > ? ORDER BY number", (after,)).fetchall()
    if [number for number, _ in rows] != list(range(after + 1, head.lines + 1)):
        raise Damaged("log lines are missing")
    return [_line(number, body) for number, body in rows]


def _line(number: int, body: object) -> Stored:
    payload = unseal("lines", number, body)
    (id_,) = _INTEGER.unpack_from(payload)
    return Stored(id_, _DECODER.decode(payload[_INTEGER.size :]))


def read_last(database: sqlite3.Connection, head: Head, kind: str) -> AnyEvent | None:
    """The last event of a kind, or None."""
    if kind == LINES:
        lines = read_lines(database, head, max(0, head.lines - 1))
        return lines[-1].event if lines else None
    if kind not in head.latest:
        return None
    row = database.execute("SELECT body FROM events WHERE id = ?", (head.latest[kind],)).fetchone()
    if row is None:
        raise Damaged(f"the last {kind} is missing")
    event: AnyEvent = _DECODER.decode(unseal("events", head.latest[kind], row[0]))
    return event


LINES = "LogLine"
"""The kind of event that has a table of its own: there may be very many."""


def write_events(database: sqlite3.Connection, head: Head, said: list[Said]) -> Head:
    """Store what was said, in order; gives the head that then holds.

    An event that takes a slot replaces the one before it, under a new id: new to readers, and the file does not grow.
    """
    events, lines, gone = list[tuple[int, bytes]](), list[tuple[int, bytes]](), list[tuple[int]]()
    latest, slots = dict(head.latest), dict(head.slots)
    for id_, (kind, slot, body) in enumerate(said, head.event_id + 1):
        if kind == LINES:
            number = head.lines + len(lines) + 1
            lines.append((number, seal("lines", number, _INTEGER.pack(id_) + body)))
            continue
        events.append((id_, seal("events", id_, body)))
        latest[kind] = id_
        if slot is not None:
            gone += [(slots[slot],)] if slot in slots else []
            slots[slot] = id_
    database.executemany("INSERT INTO events VALUES (?, ?)", events)
    database.executemany("DELETE FROM events WHERE id = ?", gone)
    database.executemany("INSERT INTO lines VALUES (?, ?)", lines)
    return msgspec.structs.replace(
        head,
        event_id=head.event_id + len(said),
        events=head.events + len(events) - len(gone),
        lines=head.lines + len(lines),
        latest=latest,
        slots=slots,
    )
