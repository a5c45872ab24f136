"""The writing end of a journal's file: commits, and the table of buckets that grows with them."""

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import numpy as np

from tuitrain.record import file, rows
from tuitrain.record.committed import NoteWriter
from tuitrain.record.curves import column
from tuitrain.record.packing import Floats
from tuitrain.record.pyramid import Growth
from tuitrain.record.reopen import go_on_after
from tuitrain.record.rollup import rolled_up
from tuitrain.record.rows import BLOCK, Head, Said


class Store:
    """A journal's file, open for writing. Raises sqlite3.Error where that fails; the file is then as it was."""

    def __init__(
        self,
        path: Path,
        database: sqlite3.Connection,
        head: Head,
        growth: Growth,
        keep_every: int | None,
        missing: str | None = None,
    ) -> None:
        self.missing = missing
        """A sentence where the file did not have all that was once committed to it, when it was opened again."""
        self._database = database
        self._head = head
        self._growth = growth
        self._keep_every = keep_every
        self._note = NoteWriter(path)
        self._note.write(head)

    @classmethod
    def create(cls, path: Path, keep_every: int | None) -> "Store":
        """A new file; sqlite3.Error if there is a journal already."""
        return cls(path, file.create(path), Head(), Growth(), keep_every)

    @classmethod
    def reopen(cls, path: Path, executed: int, keep_every: int | None, checkpoint: str | None = None) -> "Store":
        """The file of a journal, without what was recorded after a step; UserError if it is none, or damaged."""
        database, head, growth, missing = go_on_after(path, executed, checkpoint)
        return cls(path, database, head, growth, keep_every, missing)

    @property
    def executed(self) -> int:
        """The last executed step that is recorded."""
        return self._head.executed

    def commit(self, steps: Floats, said: list[Said]) -> None:
        """Write steps (11, N), all after the last one, and events, in one transaction."""
        growth, groups = self._growth.extended(steps)
        with file.transaction(self._database):
            rows.write_blocks(self._database, rows.blocks_of(*self._open_block_with(steps)))
            rows.write_groups(self._database, groups)
            head = rows.write_events(self._database, self._head, said)
            if steps.shape[1]:
                head = msgspec.structs.replace(head, executed=int(column(steps, "executed")[-1]))
            if self._keep_every is not None:
                head = rolled_up(self._database, head, self._keep_every)
            rows.write_head(self._database, head)
        self._note.write(head)  # only now: it may say less than the file holds, and never more
        self._head, self._growth = head, growth

    def close(self) -> None:
        """Close the file, with all that was committed in it: it can be copied, and every byte of it is checked."""
        with contextlib.closing(self._database), contextlib.closing(self._note):
            # Else it stays in the log beside it wherever a viewer is there to the last, as it does on a full disk: that
            # is read as well, but of what is damaged there SQLite drops the rest, and only the note tells.
            if self._emptied_its_log():
                self._note.remove()

    def _emptied_its_log(self) -> bool:
        try:
            (is_blocked, *_) = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError:
            return False
        return not is_blocked

    def _open_block_with(self, steps: Floats) -> tuple[Floats, int]:
        """The steps of the block that is not full yet and those that follow; and the executed step before them."""
        held = self._growth.steps
        if not steps.shape[1]:
            return steps, 0
        start = (int(column(steps, "executed")[0]) - 1) // BLOCK * BLOCK
        first = int(np.searchsorted(column(held, "executed"), start, "right"))
        previous = int(column(held, "executed")[first - 1]) if first else self._growth.before.executed
        return np.concatenate([held[:, first:], steps], axis=1), previous
