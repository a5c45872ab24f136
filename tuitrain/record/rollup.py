"""Rolling up: of steps long ago only every N-th is kept, and of the table of buckets only what a viewer still reads."""

import sqlite3

import msgspec
import numpy as np

from tuitrain.record.curves import column
from tuitrain.record.packing import Damaged, Floats
from tuitrain.record.pyramid import CHUNK, FAN, FINEST, span_of, stride_of
from tuitrain.record.rows import BLOCK, Block, Head, write_blocks
from tuitrain.record.traces import BUCKETS, stride_for

NEWEST_KEPT = BUCKETS * FINEST
"""The newest steps, 262,144, are all kept: of a run that is no longer a viewer reads the steps themselves."""

CHUNKS_AT_ONCE = 8
GROUPS_AT_ONCE = 64
"""What one commit rolls up at most, so that none takes long."""


def rolled_up(database: sqlite3.Connection, head: Head, keep_every: int) -> Head:
    """Roll up a little more of what is old, inside a transaction; gives the head that then holds."""
    settled = head.executed - NEWEST_KEPT
    if settled < CHUNK:
        return head
    chunks = range(head.rolled, min(settled // CHUNK, head.rolled + CHUNKS_AT_ONCE))
    for chunk in chunks:
        _roll_up_chunk(database, chunk, keep_every)
    dropped = _drop_groups(database, head.dropped, settled)
    return msgspec.structs.replace(head, rolled=max(head.rolled, chunks.stop), dropped=dropped)


def _roll_up_chunk(database: sqlite3.Connection, chunk: int, keep_every: int) -> None:
    """Keep every N-th step of a chunk, and its last, in one row."""
    first = chunk * CHUNK // BLOCK
    rows = database.execute(
        "SELECT number, body FROM steps WHERE number >= ? AND number < ? ORDER BY number",
        (first, first + CHUNK // BLOCK),
    ).fetchall()
    if not rows:
        return
    try:
        blocks = [Block.of_row(*row) for row in rows]
    except Damaged:  # no reason to stop writing: it stays as it is, and readers say so
        return
    steps = _thinned(np.concatenate([block.steps for block in blocks], axis=1), keep_every)
    database.executemany("DELETE FROM steps WHERE number = ?", [(block.number,) for block in blocks])
    write_blocks(database, [Block(first, blocks[0].previous, steps)])


def _thinned(steps: Floats, keep_every: int) -> Floats:
    """Every N-th step, and the last: what follows is chained to it. (11, n) to (11, m)"""
    kept = column(steps, "executed") % keep_every == 0
    kept[-1] = True
    return steps[:, kept]


def _drop_groups(database: sqlite3.Connection, dropped: dict[int, int], settled: int) -> dict[int, int]:
    """Drop groups that no viewer reads any more: of levels finer than the one it reads, where that one is written."""
    dropped, level = dict(dropped), 0
    while stride_of(level + 1) <= stride_for(settled):
        first = dropped.get(level, 0)
        end = max(first, min(settled // span_of(level + 1) * FAN, first + GROUPS_AT_ONCE))
        database.execute("DELETE FROM buckets WHERE level = ? AND number >= ? AND number < ?", (level, first, end))
        if end:
            dropped[level] = end
        level += 1
    return dropped
