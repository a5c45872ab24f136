"""A terminal with a program in it: a real pseudo-terminal, its screen as a person would see it, keys, sizes, signals.

Nothing here sleeps: `wait_until` reads what the program draws until a condition holds, or a deadline is over.
"""

import array
import errno
import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte
from textual.keys import key_to_character

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60
"""For what must come, however busy the machine is."""

HELD_BYTES = 4000
"""So much of what is not read, at the least, the kernel owns up to when it holds all it can."""

POLL_S = 0.05
WIDE, NARROW = (160, 48), (60, 20)
"""Columns and rows."""

MODES = {"mouse": (1000, 1003, 1006, 1015), "focus reports": (1004,), "pasting": (2004,), "alternate screen": (1049,)}
"""Private modes that must be off when a program has left."""

BYTES = {
    "escape": "\x1b", "tab": "\t", "shift+tab": "\x1b[Z", "enter": "\r", "ctrl+c": "\x03", "ctrl+p": "\x10",
    "ctrl+z": "\x1a", "home": "\x1b[H", "plus": "+", "minus": "-",
}  # fmt: skip

_LAUNCH = 'tty=$1; shift; exec "$@" <>"$tty" >&0 2>&0'
"""The leader of a new session opens the terminal, which thereby becomes the one that controls it."""

_BURST_BYTES = 1 << 16
"""About what a full frame takes: it is drawn in one go."""

_KITTY_POP = b"\x1b[<u"
"""Pops the keyboard protocol; the emulator would draw the u."""


class Glass(pyte.Screen):
    """What is seen. The alternate screen begins empty, and so does what lies behind it."""

    def set_mode(self, *modes: int, **kwargs: bool) -> None:
        super().set_mode(*modes, **kwargs)
        if kwargs.get("private") and 1049 in modes:
            self._clear()

    def reset_mode(self, *modes: int, **kwargs: bool) -> None:
        super().reset_mode(*modes, **kwargs)
        if kwargs.get("private") and 1049 in modes:
            self._clear()

    def seen(self) -> list[str]:
        """The rows without the blanks at their ends; quicker than `display`, which measures every character."""
        rows = (self.buffer[y] for y in range(self.lines))
        return ["".join(row[x].data for x in range(self.columns)).rstrip() for row in rows]

    def _clear(self) -> None:
        self.erase_in_display(2)
        self.cursor_position()


def tuitrain(*words: str) -> list[str]:
    """The command that starts tuitrain with these words; a warning in it is an error."""
    return [sys.executable, "-W", "error", "-m", "tuitrain", *words]


def environment(home: Path) -> dict[str, str]:
    """That of a person at a terminal with colours, with all that tuitrain keeps in `home`."""
    foreign = re.compile(r"TUITRAIN_|TEXTUAL|LC_|LANG|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|PYTEST|ENV$|PS1")
    ours = {name: value for name, value in os.environ.items() if not foreign.match(name)}
    places = {"XDG_STATE_HOME": str(home / "state"), "XDG_CACHE_HOME": str(home / "cache")}
    return ours | places | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}


class Terminal:
    """A program in a pseudo-terminal of its own. Leaving the context kills what is left of it."""

    def __init__(self, program: Sequence[str], env: Mapping[str, str], *, size: tuple[int, int] = WIDE) -> None:
        self.raw = bytearray()
        """All that the program wrote."""
        self._glass = Glass(*size)
        self._stream = pyte.ByteStream(self._glass)
        self._text: str | None = None
        self._pending = b""
        self._master, self._slave = pty.openpty()
        self._set_size(*size)
        self.settings = termios.tcgetattr(self._master)
        """As they were before the program began."""
        self.process = subprocess.Popen(
            ["sh", "-c", _LAUNCH, "sh", os.ttyname(self._slave), *program],
            cwd=ROOT,
            env=env,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._close_slave()
        self.hang_up()

    @property
    def text(self) -> str:
        """The rows of the screen, one a line."""
        if self._text is None:
            self._text = "\n".join(self._glass.seen())
        return self._text

    @property
    def rows(self) -> list[str]:
        """The rows of the screen."""
        return self.text.split("\n")

    @property
    def unread(self) -> int:
        """How many bytes the program wrote that were not yet taken in."""
        count = array.array("i", [0])
        fcntl.ioctl(self._master, termios.FIONREAD, count)
        return count[0]

    def shows(self, *texts: str) -> bool:
        """Whether all of these stand on the screen."""
        text = self.text
        return all(part in text for part in texts)

    def press(self, *keys: str) -> None:
        """Press keys, by Textual's names."""
        self.write("".join(BYTES[key] if key in BYTES else key_to_character(key) or "" for key in keys))

    def write(self, text: str) -> None:
        """Type text as it is."""
        os.write(self._master, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size; the program is told by a signal."""
        self._text = None
        self._glass.resize(rows, columns)
        self._set_size(columns, rows)

    def wait_until(self, condition: Callable[[], bool], what: str = "") -> None:
        """Take in what the program writes until the condition holds."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not condition():
            over = self._over  # what it wrote last is on the screen by now
            self._take_in(POLL_S)
            if (over and not condition()) or time.monotonic() > deadline_s:
                why = f"it ended with {self.process.poll()}" if over else "it did not come"
                raise AssertionError(f"waited for {what or condition}: {why}. The screen:\n{self.text}")

    def wait_for(self, *texts: str) -> None:
        """Wait until all of these stand on the screen."""
        self.wait_until(lambda: self.shows(*texts), " and ".join(map(repr, texts)))

    def wait_gone(self, text: str) -> None:
        """Wait until this stands on the screen no more."""
        self.wait_until(lambda: not self.shows(text), f"{text!r} to go")

    def wait_end(self) -> int:
        """Take in what the program writes until it has ended; its exit code (minus the signal that killed it)."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not self._over:
            assert time.monotonic() < deadline_s, f"it did not end. The screen:\n{self.text}"
            self._take_in(POLL_S)
        return self.process.wait(TIMEOUT_S)

    def hang_up(self) -> None:
        """Close the terminal: what a closed window or a lost connection does."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        self._close_slave()

    def unrestored(self) -> list[str]:
        """What the program changed of the terminal and did not put back."""
        left = [name for name, modes in MODES.items() if any(self._is_set(mode) for mode in modes)]
        left += ["hidden cursor"] if not self._is_set(25, before=True) else []
        left += ["no line wrap"] if not self._is_set(7, before=True) else []
        left += (
            ["keyboard protocol"] if len(re.findall(rb"\x1b\[>\d+u", self.raw)) != self.raw.count(_KITTY_POP) else []
        )
        return left + (["settings"] if termios.tcgetattr(self._master) != self.settings else [])

    def _is_set(self, mode: int, *, before: bool = False) -> bool:
        switched = re.findall(rb"\x1b\[\?%d([hl])" % mode, self.raw)
        return bool(switched[-1] == b"h") if switched else before

    def _take_in(self, timeout_s: float) -> None:
        """Wait for output at most so long, and draw it."""
        data = b""
        while len(data) < _BURST_BYTES and not self._over and select.select([self._master], [], [], timeout_s)[0]:
            data += self._read()
            timeout_s = 0
        if data:
            self._draw(data)
        elif self.process.poll() is not None:
            self._close_slave()

    def _read(self) -> bytes:
        try:
            data = os.read(self._master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # nobody has the other end open any more
                raise
            data = b""
        self._over = not data
        self._close_slave()  # the program has it: from now on its end is the end
        return data

    def _draw(self, data: bytes) -> None:
        self.raw += data
        self._text = None
        data = (self._pending + data).replace(_KITTY_POP, b"")
        cut = next((n for n in range(len(_KITTY_POP) - 1, 0, -1) if data.endswith(_KITTY_POP[:n])), 0)
        self._pending = data[len(data) - cut :]
        self._stream.feed(data[: len(data) - cut])

    def _set_size(self, columns: int, rows: int) -> None:
        termios.tcsetwinsize(self._master, (rows, columns))

    def _close_slave(self) -> None:
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1
