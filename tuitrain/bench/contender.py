"""One way to train: its processes, halted but in its turns, and how far it is."""

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from tuitrain.engine.script.counting import Mark
from tuitrain.record.journal import Reader
from tuitrain.record.runs import JOURNAL

SIZE = (48, 160)
"""Of the terminal a contender is shown in: lines and columns."""
_LOOK = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class Contender:
    """A training that can be halted."""

    def __init__(self, name: str, processes: Sequence[int], mark: Callable[[], Mark]) -> None:
        """`processes` are those that were started for it, by number; their children belong to it, too."""
        self.name = name
        self.mark = mark
        """Reads how far it is."""
        self.pids = tuple(processes)
        self._roots = [psutil.Process(number) for number in processes]

    @property
    def lives(self) -> bool:
        """Whether none of its processes has ended."""
        return all(root.is_running() and root.status() != psutil.STATUS_ZOMBIE for root in self._roots)

    def halt(self) -> None:
        """Take no time from the others."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """Its turn."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """Leave nothing behind. What is halted first cannot start anything meanwhile."""
        self._send(signal.SIGSTOP)
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        everyone = list(self._everyone())
        for process in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _everyone(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                yield from root.children(recursive=True)
                yield root


@contextmanager
def in_terminal(command: Sequence[str], environment: Mapping[str, str], output: Path) -> Iterator[int]:
    """The number of a process in a terminal of its own, of SIZE; what it draws goes into a file.

    `environment` is added to this process's own.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment, **_LOOK},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    taking = threading.Thread(target=_take, args=(ours, output), daemon=True)
    taking.start()
    try:
        yield process.pid
    finally:
        _end(process)
        taking.join()
        os.close(ours)


@contextmanager
def without_terminal(command: Sequence[str], environment: Mapping[str, str], output: Path) -> Iterator[int]:
    """The number of a process that has no terminal; what it prints goes into a file.

    `environment` is added to this process's own.
    """
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it and all that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        Contender("", [process.pid], lambda: Mark(0, 0.0)).kill()
    process.wait()


def _take(descriptor: int, output: Path) -> None:
    """Read what is drawn, as a terminal would, until nobody is left to draw."""
    with output.open("wb") as file, contextlib.suppress(OSError):  # EIO: the last one has gone
        while piece := os.read(descriptor, 1 << 16):
            file.write(piece)


class Journalled:
    """Reads how far the only run is that is recorded below a directory."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def __call__(self) -> Mark:
        """Its last recorded step."""
        for journal in self._state.glob(f"tuitrain/runs/*/{JOURNAL}"):
            with closing(Reader(journal)) as reader:
                last = reader.last_step()
            if last is not None:
                return Mark(last.executed, last.time_s)
        return Mark(0, 0.0)
