"""A run's journal: one SQLite file, one writer thread, any number of readers.

The writer is handed events and appends them to a queue, which costs the training thread no more than that; its own
thread commits what has gathered several times a second. Readers poll for rows newer than those they have.
"""

import contextlib
import math
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import msgspec

from tuitrain.errors import UserError
from tuitrain.record.events import AnyEvent, Event, Step

SCHEMA_VERSION = 1
COMMIT_INTERVAL_S = 0.1
RETRY_INTERVAL_S = 1.0
_APPLICATION_ID = 0x74756974  # "tuit": how readers know a journal of ours

_SCHEMA = f"""
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE steps (
    executed INTEGER PRIMARY KEY, step INTEGER, epoch INTEGER, time_s REAL, loss REAL, norm_before REAL,
    norm_after REAL, max_norm REAL, lr REAL, accuracy REAL, overfit INTEGER
) STRICT;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, slot TEXT UNIQUE, body BLOB NOT NULL
) STRICT;
CREATE INDEX events_by_kind ON events (kind, id);
"""
_STEP_COLUMNS = (
    "executed", "step", "epoch", "time_s", "loss", "norm_before", "norm_after", "max_norm", "lr", "accuracy", "overfit",
)  # fmt: skip
_INSERT_STEP = f"INSERT INTO steps ({', '.join(_STEP_COLUMNS)}) VALUES ({', '.join('?' * len(_STEP_COLUMNS))})"
_SELECT_STEP = f"SELECT {', '.join(_STEP_COLUMNS)} FROM steps"
_NEW_STEPS = f"{_SELECT_STEP} WHERE executed > ? ORDER BY executed"
_LAST_STEP = f"{_SELECT_STEP} ORDER BY executed DESC LIMIT 1"
# An event that takes a slot replaces the one before it, under a new id: new to readers, and the file does not grow.
_INSERT_EVENT = "INSERT OR REPLACE INTO events (kind, slot, body) VALUES (?, ?, ?)"
_NEW_EVENTS = "SELECT id, body FROM events WHERE id > ? ORDER BY id"
_LAST_EVENT = "SELECT body FROM events WHERE kind = ? ORDER BY id DESC LIMIT 1"
_E = TypeVar("_E", bound=Event)
_StepRow = tuple[float, ...]
_EventRow = tuple[str, str | None, bytes]
_DECODER = msgspec.msgpack.Decoder(AnyEvent)


class Journal:
    """The writing end. Safe to call from any thread; a full or failing disk never raises into the caller.

    What could not be written waits in memory and is tried again; `trouble` says so meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble: str | None = None
        self._database = _create(path)
        self._queue: queue.SimpleQueue[_EventRow | list[_StepRow] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def say(self, event: Event) -> None:
        """Record an event (any but Step). TypeError if it holds what its type does not allow."""
        self._queue.put((type(event).__name__, event.slot, _encoded(event)))

    def steps(self, steps: Sequence[Step]) -> None:
        """Record executed steps, in order."""
        self._queue.put([_row(step) for step in steps])

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
        with contextlib.closing(self._database):
            waiting = _Waiting([], [])
            open_ = True
            while open_:
                open_ = self._gather(waiting)
                try:
                    _commit(self._database, waiting)
                except sqlite3.Error as error:
                    self.trouble = f"The journal {self.path} cannot be written ({error}); training goes on."
                else:
                    waiting.steps.clear()
                    waiting.events.clear()
                    self.trouble = None

    def _gather(self, waiting: "_Waiting") -> bool:
        """Wait for an event, then gather what comes within one commit interval; False once the journal was closed.

        With events left over from a commit that failed it waits for a second at most, so that they are tried again.
        """
        try:
            item = self._queue.get(timeout=RETRY_INTERVAL_S if any(waiting) else None)
            deadline_s = time.monotonic() + COMMIT_INTERVAL_S
            while item is not None:
                if isinstance(item, list):
                    waiting.steps.extend(item)
                else:
                    waiting.events.append(item)
                item = self._queue.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            return True
        return False


class _Waiting(NamedTuple):
    """Rows for the next commit."""

    steps: list[_StepRow]
    events: list[_EventRow]


class News(NamedTuple):
    """What a reader had not seen yet: executed steps, and every other event, each in order."""

    steps: list[Step]
    events: list[AnyEvent]


class Reader:
    """A reading end: polls the journal of a live or a finished run.

    Raises UserError where the file is no journal of ours, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executed = 0
        self._event_id = 0
        try:
            self._database = _open_existing(path)
        except sqlite3.Error as error:
            raise UserError(f"{path} cannot be read as a journal of tuitrain ({error}).") from error

    def poll(self) -> News:
        """Everything since the last poll; empty if nothing happened.

        sqlite3.OperationalError where it cannot be read just now; the next poll then misses nothing.
        """
        with self._damage_told():
            with self._database:  # one transaction: steps and events of the same moment
                self._database.execute("BEGIN")
                rows = self._database.execute(_NEW_STEPS, (self._executed,)).fetchall()
                bodies = self._database.execute(_NEW_EVENTS, (self._event_id,)).fetchall()
            news = News([_step(row) for row in rows], [_DECODER.decode(body) for _, body in bodies])
        if rows:
            self._executed = rows[-1][0]
        if bodies:
            self._event_id = bodies[-1][0]
        return news

    def last_step(self) -> Step | None:
        """The last executed step, without reading those before it."""
        with self._damage_told():
            row = self._database.execute(_LAST_STEP).fetchone()
            return None if row is None else _step(row)

    def last(self, kind: type[_E]) -> _E | None:
        """The last event of a kind (any but Step), or None."""
        with self._damage_told():
            row = self._database.execute(_LAST_EVENT, (kind.__name__,)).fetchone()
            return None if row is None else msgspec.msgpack.decode(row[0], type=kind)

    @contextlib.contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError:  # locked, or the disk does not answer: this may pass
            raise
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            raise UserError(f"The journal {self._path} is damaged ({error}): what it holds cannot be shown.") from error

    def close(self) -> None:
        """Give the file back; the reader is of no more use."""
        self._database.close()


def _create(path: Path) -> sqlite3.Connection:
    """A connection that writes a new journal: in WAL where the file system carries it, else with a rollback journal."""
    with contextlib.ExitStack() as undo:
        database = undo.enter_context(
            contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        )
        try:
            _begin(database, "WAL")
        except sqlite3.OperationalError:  # some file systems accept WAL and fail at the first write
            _begin(database, "DELETE")
        database.executescript(_SCHEMA)
        undo.pop_all()
    return database


def _begin(database: sqlite3.Connection, mode: str) -> None:
    database.execute(f"PRAGMA journal_mode = {mode}")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")


def _open_existing(path: Path) -> sqlite3.Connection:
    """A connection that reads a journal of this schema; sqlite3.Error or UserError if the file is none."""
    with contextlib.ExitStack() as undo:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        database = undo.enter_context(contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)))
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION_ID:
            raise UserError(f"{path} is not a journal of tuitrain.")
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{path} has schema {version}, this tuitrain reads schema {SCHEMA_VERSION}: "
                "use the version that wrote it."
            )
        undo.pop_all()
    return database


def _commit(database: sqlite3.Connection, waiting: _Waiting) -> None:
    if not any(waiting):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        database.executemany(_INSERT_STEP, waiting.steps)
        database.executemany(_INSERT_EVENT, waiting.events)
        database.execute("COMMIT")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


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


def _row(step: Step) -> _StepRow:
    return tuple(getattr(step, column) for column in _STEP_COLUMNS)


def _step(row: tuple[float | int | None, ...]) -> Step:
    # SQLite stores NaN as NULL.
    values = dict(zip(_STEP_COLUMNS, (math.nan if value is None else value for value in row), strict=True))
    return Step(**(values | {"overfit": bool(values["overfit"])}))  # type: ignore[arg-type]
