"""The terminal, kept for the screen alone.

Textual draws on the process's own stderr and catches only Python's print. Here it gets a private duplicate of the
terminal, while descriptors 1 and 2 lead into pipes: what C code, CUDA, loggers or subprocesses write comes out as lines
of text instead of across the screen.
"""

import contextlib
import errno
import io
import os
import selectors
import sys
import termios
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from tuitrain.record.lines import Lines, OnLine, Stream

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

GIVEN_UP_POLL_S = 0.1
WIDE = 120
"""Columns from which on the panes stand in two columns."""
FEWEST_COLUMNS = 20
TAKE_LEAVE = (
    b"\x18\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?1004l\x1b[?7h\x1b[<u\x1b[?1049l\x1b[?25h"
)
"""Ends what was begun of a sequence, then all that Textual switched on."""
_READ_BYTES = 65536
_PIPE_BYTES = 1 << 20
"""The largest capacity a pipe has without privileges."""


def is_terminal() -> bool:
    """Whether there is a screen to draw on: stdin and stdout are terminals, and TERM names one that can be drawn on."""
    return os.isatty(0) and os.isatty(1) and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def console_columns(columns: int) -> int:
    """Columns that a line of the console has on a screen of so many: see app.tcss, and ConsolePane."""
    pane = columns * 3 // 7 - 2 if columns >= WIDE else columns
    return max(FEWEST_COLUMNS, pane - 5)


class OwnTerminal:
    """Within the context Textual has the terminal to itself, and `on_line(stream, text)` gets what others write.

    There must be one: see `is_terminal`. `on_line` is called from a thread of its own, once a line, without the line's
    end; the lines of each stream come in order. Of a progress bar that returns to the start of its line only the last
    state is handed on. A stderr that is not the terminal (2>file) is left alone. Leaving restores the descriptors and
    the terminal's settings, and hands on all that was written until then; an exception from `on_line` is raised there.
    """

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._prints: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)

    def __enter__(self) -> Self:
        self._prints = (sys.stdout, sys.stderr)
        with contextlib.ExitStack() as undo:
            _flush(*self._prints)
            undo.enter_context(_kept_settings(0))
            self._screen = undo.enter_context(_private_terminal())
            self._reader = undo.enter_context(_LineReader(self._on_line))
            for fd, stream in self._streams_on_terminal():
                undo.enter_context(_redirected(fd, self._reader.pipe(stream)))
                undo.callback(_flush, *self._prints)
            self._reader.start()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.__exit__(kind, error, trace)

    def catch_prints(self) -> None:
        """Send Python's print the same way. To be called once Textual runs: it takes sys.stdout when it starts."""
        sys.stdout, sys.stderr = self._prints

    def give_up(self, left: threading.Event) -> None:
        """Draw no more, and take back what nobody reads, so that a terminal that is never read holds up no one.

        Returns when Textual has `left`; a screen that is read again before finds itself as it was before the start.
        """
        self._screen.given_up = True
        while not left.wait(GIVEN_UP_POLL_S):
            _take_back_output(self._screen)

    @staticmethod
    def _streams_on_terminal() -> list[tuple[int, Stream]]:
        streams: list[tuple[int, Stream]] = [(1, "stdout")]
        return [*streams, (2, "stderr")] if os.isatty(2) else streams


class _LineReader:
    """Reads pipes in a thread and hands on their lines; leaving hands on what is left and joins the thread."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._error: Exception | None = None
        self._selector = selectors.DefaultSelector()
        self._stop_end, self._stop = os.pipe()
        self._selector.register(self._stop_end, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="terminal-output", daemon=True)

    def pipe(self, stream: Stream) -> int:
        """A new descriptor to write to; what is written comes out as lines of `stream`."""
        end, write_end = os.pipe()
        os.set_blocking(end, False)
        self._selector.register(end, selectors.EVENT_READ, Lines(stream, self._hand_on))
        return write_end

    def start(self) -> None:
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """By now nobody here can write any more. A child that survives may: the end of the pipes is not awaited."""
        os.write(self._stop, b"!")
        os.close(self._stop)
        if self._thread.is_alive():
            self._thread.join()
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        stopping = False
        while not stopping:
            for key, _ in self._selector.select():
                if key.data is None:
                    stopping = True
                else:
                    self._feed(key.fd, key.data)
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                self._drain(key.fd, key.data)

    def _drain(self, fd: int, lines: Lines) -> None:
        """Hand on what the pipe holds, which is at most its capacity; who still writes is not waited for."""
        for _ in range(_PIPE_BYTES // _READ_BYTES + 1):
            if not self._feed(fd, lines):
                break
        lines.finish()

    def _feed(self, fd: int, lines: Lines) -> bool:
        """Hand on what one read gives; False when there is nothing more, now or ever."""
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        lines.feed(data)
        if not data:
            lines.finish()
            self._selector.unregister(fd)
            os.close(fd)
        return bool(data)

    def _hand_on(self, stream: Stream, text: str) -> None:
        if self._error is not None:  # keep reading: a full pipe would block whoever writes
            return
        try:
            self._on_line(stream, text)
        except Exception as error:  # raised again where the context is left
            self._error = error


@contextlib.contextmanager
def _kept_settings(fd: int) -> Iterator[None]:
    """Restore the terminal's settings (echo, line mode) on leaving."""
    settings = termios.tcgetattr(fd)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal is gone: nothing is left to restore
            termios.tcsetattr(fd, termios.TCSANOW, settings)


@contextlib.contextmanager
def _private_terminal() -> "Iterator[_Screen]":
    """Bind sys.__stdout__ (asked for the size) and sys.__stderr__ (drawn on) to a duplicate of stdout's terminal."""
    originals = sys.__stdout__, sys.__stderr__
    encoding = originals[0].encoding if originals[0] else "utf-8"
    terminal = _Screen(os.dup(1), "w")
    screen = io.TextIOWrapper(
        io.BufferedWriter(terminal), encoding=encoding, errors="backslashreplace", line_buffering=True
    )
    sys.__stdout__ = sys.__stderr__ = screen  # type: ignore[misc]
    try:
        yield terminal
    finally:
        sys.__stdout__, sys.__stderr__ = originals  # type: ignore[misc]
        screen.flush()
        if terminal.given_up:
            _take_back_output(terminal)  # which makes room for this
            os.write(terminal.fileno(), TAKE_LEAVE)
        screen.close()


class _Screen(io.FileIO):
    """A terminal; what is drawn on one that is gone, or given up, goes nowhere: Textual can still take its leave."""

    given_up = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.given_up:
            return memoryview(data).nbytes
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return memoryview(data).nbytes


def _take_back_output(terminal: _Screen) -> None:
    """Throw away what was written and not yet read; whoever waits to write more goes on."""
    with contextlib.suppress(termios.error):  # the terminal is gone
        termios.tcflush(terminal.fileno(), termios.TCOFLUSH)
        for action in (termios.TCOOFF, termios.TCOON):  # Linux tells who waits to write only of this
            termios.tcflow(terminal.fileno(), action)


@contextlib.contextmanager
def _redirected(fd: int, target: int) -> Iterator[None]:
    """Let `fd` lead where `target` leads, which is closed; on leaving it leads where it led before."""
    saved = os.dup(fd)
    inheritable = os.get_inheritable(fd)
    os.dup2(target, fd)
    os.close(target)
    try:
        yield
    finally:
        os.dup2(saved, fd, inheritable)
        os.close(saved)


def _flush(*streams: TextIO) -> None:
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):  # gone, or closed by whoever else holds it
            stream.flush()
