"""What a script prints, and its workers and subprocesses: one stream, in order, into the run's log and its journal."""

import contextlib
import fcntl
import os
import pty
import struct
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tuitrain.record.lines import OnLine
from tuitrain.record.redrawn import RedrawnLines

LOG = "log"
READ_BYTES = 65536
LINES = 24
"""How high a terminal a script finds: there is no other that is as high for it."""
SETTLE_S = 0.05
SAY_BEGUN_S = 0.25
"""A progress bar is said anew at most this often."""


class Output:
    """The reading end: bytes to the log as they are, lines to `on_line`. OSError if there can be no log.

    What stands on the lines that may still change, a progress bar say, goes to `on_begun` when it changes.

    Both of the script's streams lead here, so that their order is kept; which of them a line came by is not known: they
    are handed on as "stdout".
    """

    def __init__(self, directory: Path, on_line: OnLine, on_begun: Callable[[str], None], *, columns: int) -> None:
        """The script finds a terminal of so many columns at the other end; 0: a pipe."""
        self._log = os.open(directory / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._log_fails = False
        self._lines = RedrawnLines("stdout", on_line)
        self._on_begun = on_begun
        self._begun = ""
        self._next_settle_s = self._next_begun_s = 0.0
        self.descriptor, self._other_end = _terminal(columns) if columns else os.pipe()
        os.set_blocking(self.descriptor, False)

    @contextlib.contextmanager
    def for_script(self) -> Iterator[int]:
        """The descriptor for the script to write to; it is closed here as the context is left."""
        try:
            yield self._other_end
        finally:
            os.close(self._other_end)

    def read(self) -> bool:
        """Take in what has come; whether more may come."""
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:  # what a terminal says when its other end is closed
            data = b""
        self._keep(data)
        self._lines.feed(data)
        return bool(data)

    def settle(self) -> None:
        """Hand on what is due; to be called as often as there is time for it."""
        now_s = time.monotonic()
        if now_s >= self._next_settle_s:
            self._next_settle_s = now_s + SETTLE_S
            self._lines.settle()
            if now_s >= self._next_begun_s:
                self._say_begun(now_s)

    def _say_begun(self, now_s: float) -> None:
        begun = self._lines.begun
        if begun != self._begun:
            self._begun = begun
            self._next_begun_s = now_s + SAY_BEGUN_S
            self._on_begun(begun)

    def close(self) -> None:
        """Hand on a line that was begun and never ended, and close the log."""
        self._lines.finish()
        self._say_begun(time.monotonic())
        os.close(self._log)
        os.close(self.descriptor)

    def _keep(self, data: bytes) -> None:
        """Write to the log; a full disk does not disturb the script, and its lines are in the journal all the same."""
        try:
            os.write(self._log, data)
        except OSError as error:
            if not self._log_fails:
                self._log_fails = True
                self._lines.feed(f"tuitrain: the run's log cannot be written ({error}).\n".encode())


def _terminal(columns: int) -> tuple[int, int]:
    """Both ends of a new terminal of so many columns that leaves what is printed as it is."""
    ours, theirs = pty.openpty()
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    return ours, theirs
