"""The raw log of a run without a terminal: all that its process writes to descriptors 1 and 2, in a file of the run.

While the process lives a thread of it reads the file and records its lines in the journal, where viewers find them.
What C code writes as the process crashes is in the file alone.
"""

import io
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tuitrain.record.lines import Lines, OnLine
from tuitrain.record.text import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOG = "log"
POLL_INTERVAL_S = 0.2
MOST_UNRECORDED = 50
"""Lines of a raw log that are shown where it is not known which of them the journal has."""
_READ_BYTES = 65536


class RawLog:
    """Within the context this process's output goes to the log in `directory`, and its lines to `on_line`.

    Both streams share the file, so that their order is kept; which of them a line came by is not known: they are handed
    on as "stdout". OSError if the log cannot be opened; once it is, output that cannot be written is lost, and whoever
    prints is not disturbed. There is no way back: a process without a terminal has no other place to write to.
    """

    def __init__(self, directory: Path, on_line: OnLine) -> None:
        self._path = directory / LOG
        self._lines = Lines("stdout", on_line)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log", daemon=True)

    def __enter__(self) -> Self:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._begin = os.lseek(descriptor, 0, os.SEEK_END)
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        sys.stdout, sys.stderr = _writer(1), _writer(2)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._begin)
            stopping = False
            while not stopping:
                stopping = self._stop.wait(POLL_INTERVAL_S)
                while data := file.read(_READ_BYTES):
                    self._lines.feed(data)
        self._lines.finish()


def unrecorded(directory: Path, recorded: Sequence[str]) -> list[str]:
    """The lines of the raw log in `directory` that come after those `recorded`; none if there is no such log.

    Where the log does not begin with those (the run was resumed, say), its last lines.
    """
    lines: list[str] = []
    splitter = Lines("stdout", lambda stream, text: lines.append(printable(text)))
    try:
        splitter.feed((directory / LOG).read_bytes())
    except FileNotFoundError:
        return []
    splitter.finish()
    begins_so = lines[: len(recorded)] == list(recorded)
    return lines[len(recorded) :] if begins_so else lines[-MOST_UNRECORDED:]


def _writer(descriptor: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_Unfailing(descriptor, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


class _Unfailing(io.FileIO):
    """A file; what a full disk does not take is lost, so that a print in a model does not end its training."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes
