"""A run's journal: one SQLite file, one writer thread, any number of readers.

The writer is handed events and appends them to a queue, which costs the training thread no more than that; its own
thread commits what has gathered several times a second. Readers poll for rows newer than those they have.
"""

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tuitrain.record.events import Event, Step
from tuitrain.record.file import SCHEMA_VERSION
from tuitrain.record.reader import News, Reader
from tuitrain.record.rows import Said
from tuitrain.record.store import Store
from tuitrain.record.waiting import StepRow, Waiting

__all__ = ["SCHEMA_VERSION", "Journal", "News", "Reader"]

COMMIT_INTERVAL_S = 0.1
RETRY_INTERVAL_S = 1.0
COMMIT_PATIENCE_S = 2.0


class Journal:
    """The writing end. Safe to call from any thread; a full or failing disk never raises into the caller.

    What could not be written waits in memory, within bounds, and is tried again; `trouble` says so meanwhile, and for
    good if something was lost.
    """

    def __init__(
        self, path: Path, *, keep_every: int | None = None, resumed_at: int | None = None, checkpoint: str | None = None
    ) -> None:
        """A new journal at `path`; sqlite3.Error if that cannot be.

        Args:
            path: The file.
            keep_every: Of steps older than the newest 262,144 keep only every so many-th; None keeps all.
            resumed_at: Go on with the journal that is there, as `reopen` does.
            checkpoint: See there.
        """
        if keep_every is not None and keep_every < 1:
            raise ValueError(f"keep_every is {keep_every}: it must be at least 1")
        self.path = path
        self.trouble: str | None = None
        self._store = (
            Store.create(path, keep_every)
            if resumed_at is None
            else Store.reopen(path, resumed_at, keep_every, checkpoint)
        )
        self.missing = self._store.missing
        """A sentence where its end was missing when it was opened again."""
        self._queue: queue.SimpleQueue[Said | list[StepRow] | threading.Event | None] = queue.SimpleQueue()
        self._awaited: list[threading.Event] = []
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    @classmethod
    def reopen(cls, path: Path, *, executed: int, keep_every: int | None = None, checkpoint: str | None = None) -> Self:
        """Go on with the journal of a run that continues after executed step `executed`.

        What was recorded after that step is removed: steps, events other than log lines, and any End; with the SHA-256
        of a `checkpoint` also what was said after it was written, between the same two steps. Readers that were
        polling get all anew. UserError where the file is no journal, is damaged, or cannot be written.
        """
        return cls(path, keep_every=keep_every, resumed_at=executed, checkpoint=checkpoint)

    def say(self, event: Event) -> None:
        """Record an event (any but Step). TypeError if it holds what its type does not allow."""
        self._queue.put(Said(type(event).__name__, event.slot, _encoded(event)))

    def steps(self, steps: Sequence[Step]) -> None:
        """Record executed steps, in order."""
        self._queue.put([msgspec.structs.astuple(step) for step in steps])

    def commit(self) -> None:
        """Have all that was handed in committed now; waits for it, but not for long where the disk takes nothing."""
        tried = threading.Event()
        self._queue.put(tried)
        tried.wait(COMMIT_PATIENCE_S)

    def close(self) -> None:
        """Commit all that was handed in, and stop the writer."""
        self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self) -> None:
        with contextlib.closing(self._store):
            waiting = Waiting(self._store.executed)
            open_ = True
            while open_:
                open_ = self._gather(waiting)
                self.trouble = self._commit(waiting)
                while self._awaited:
                    self._awaited.pop().set()

    def _commit(self, waiting: Waiting) -> str | None:
        """Write what waits, part by part; gives what is wrong, None if nothing is."""
        failure: sqlite3.Error | None = None
        try:
            while waiting:
                part = waiting.next()
                self._store.commit(*part)
                waiting.written(part)
        except sqlite3.Error as error:
            failure = error
        lost = f"Lost for good: {waiting.lost}." if waiting.lost else ""
        if failure is not None:
            return f"The journal {self.path} cannot be written ({failure}); training goes on. {lost}".rstrip()
        return f"The journal {self.path} is not complete. {lost}" if lost else None

    def _gather(self, waiting: Waiting) -> bool:
        """Wait for an event, then gather what comes within one commit interval; False once the journal was closed.

        With something left over from a commit that failed it waits for a second at most, so that it is tried again.
        """
        try:
            item = self._queue.get(timeout=RETRY_INTERVAL_S if waiting else None)
            deadline_s = time.monotonic() + COMMIT_INTERVAL_S
            while item is not None:
                if isinstance(item, threading.Event):
                    self._awaited.append(item)
                    return True
                if isinstance(item, Said):
                    waiting.add_said(item)
                else:
                    waiting.add_steps(item)
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return True
                item = self._queue.get(timeout=left_s)
        except queue.Empty:
            return True
        return False


def _encoded(event: Event) -> bytes:
    try:
        return msgspec.msgpack.encode(event)
    except UnicodeEncodeError:  # a lone surrogate: part of the name of a file that is no UTF-8, say
        return msgspec.msgpack.encode(_replace_surrogates(msgspec.to_builtins(event)))


def _replace_surrogates(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_replace_surrogates(key): _replace_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [_replace_surrogates(item) for item in value]
    return value
