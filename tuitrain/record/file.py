"""The file of a journal: its tables, how it is opened to be written or read, and what is said where it is damaged."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from tuitrain.errors import UserError
from tuitrain.record.committed import note_path
from tuitrain.record.packing import Damaged
from tuitrain.record.rows import Head, write_head

SCHEMA_VERSION = 2
_APPLICATION_ID = 0x74756974  # "tuit": how readers know a journal of ours

_SCHEMA = """
CREATE TABLE head (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE steps (number INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE buckets (level INTEGER, number INTEGER, body BLOB NOT NULL, PRIMARY KEY (level, number))
    STRICT, WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE lines (number INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
"""

_PASSES = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
)
"""Errors of SQLite that say nothing about the file: locked, or the disk does not answer."""


def create(path: Path) -> sqlite3.Connection:
    """A connection that writes a new journal: in WAL where the file system carries it, else with a rollback journal.

    The file takes its name when it is whole. sqlite3.Error if there is one of that name.
    """
    if path.exists():
        raise sqlite3.OperationalError(f"{path} is there already")
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # left by a process that was killed just here
    note_path(path).unlink(missing_ok=True)  # of a journal that was there before
    with contextlib.closing(_connect(new)) as database, transaction(database):
        for statement in _SCHEMA.split(";"):
            database.execute(statement)
        write_head(database, Head())
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    new.replace(path)
    return _connect_to_write(path)


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection that goes on writing a journal; sqlite3.Error or UserError if the file is none."""
    open_to_read(path).close()
    return _connect_to_write(path)


def _connect_to_write(path: Path) -> sqlite3.Connection:
    with contextlib.ExitStack() as undo:
        database = undo.enter_context(contextlib.closing(_connect(path)))
        _begin(database)
        undo.pop_all()
    return database


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _begin(database: sqlite3.Connection) -> None:
    try:
        _set_mode(database, "WAL")
    except sqlite3.OperationalError:  # some file systems accept WAL and fail at the first write
        _set_mode(database, "DELETE")


def _set_mode(database: sqlite3.Connection, mode: str) -> None:
    database.execute(f"PRAGMA journal_mode = {mode}")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that reads a journal of this schema; sqlite3.Error or UserError if the file is none."""
    with contextlib.ExitStack() as undo:
        database = undo.enter_context(contextlib.closing(_connect_in(path, "ro")))
        application, version = _marks(database, path)
        if application != _APPLICATION_ID:
            raise UserError(f"{path} is not a journal of tuitrain.")
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{path} has schema {version}, this tuitrain reads schema {SCHEMA_VERSION}: "
                "use the version that wrote it."
            )
        undo.pop_all()
    return database


def _connect_in(path: Path, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)


def _marks(database: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """The id of the application that wrote the file, and its version."""
    try:
        (application,) = database.execute("PRAGMA application_id").fetchone()
    except sqlite3.OperationalError as error:
        if not _take_back_half_a_commit(path, error):
            raise
        (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return application, version


def _take_back_half_a_commit(path: Path, error: sqlite3.Error) -> bool:
    """Where that is the error: what a writer without WAL left that was killed in a commit; whether it was done.

    A connection that may only read sees it, and may not do it.
    """
    if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_READONLY_ROLLBACK:
        return False
    try:
        with contextlib.closing(_connect_in(path, "rw")) as database:
            database.execute("PRAGMA user_version")
    except sqlite3.OperationalError:  # this user may not write it either
        return False
    return True


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All that is written inside, or nothing of it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """UserError where what is read is not what was written; sqlite3.OperationalError passes if it says only that the
    file could not be read just now.
    """
    try:
        yield
    except (sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError, Damaged) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if isinstance(error, sqlite3.OperationalError) and code & 0xFF in _PASSES:
            _take_back_half_a_commit(path, error)  # so that it can be read at the next look
            raise
        raise UserError(f"The journal {path} is damaged ({error}): what it holds cannot be shown.") from error
