"""Processes that train the same thing in different ways, each halted but in its turns."""

import contextlib
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import ptyprocess

from tuitrain.record.journal import Reader
from tuitrain.record.lease import read_lease
from tuitrain.record.runs import JOURNAL

LOOP = Path(__file__).with_name("loop.py")
COUNT = struct.Struct("=qd")  # as loop.py writes it
SIZE = (48, 160)
LOOK = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class Mark(NamedTuple):
    """Where a contender stands: steps, and when the last one of them was done, on its own clock (seconds)."""

    steps: int
    time_s: float


@dataclass
class Contender:
    """One way to train: all its processes, and how far it is."""

    name: str
    pids: Sequence[int]
    mark: Callable[[], Mark]

    def halt(self) -> None:
        """Take no time from the others."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Its turn."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for process in self._processes():
            process.send_signal(number)

    def _processes(self) -> list[psutil.Process]:
        roots = [psutil.Process(pid) for pid in self.pids]
        return [process for root in roots for process in (root, *root.children(recursive=True))]

    def kill(self) -> None:
        """Leave nothing behind."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


class Workplace:
    """Starts contenders for one preset in one directory; leaving it ends them all."""

    def __init__(self, preset: str, threads: int | None, directory: Path) -> None:
        self._preset = preset
        self._threads = ["--threads", str(threads)] if threads else []
        self._directory = directory
        self._everything = ExitStack()

    def __enter__(self) -> "Workplace":
        return self

    def __exit__(self, *error: object) -> None:
        self._everything.close()

    def start(self, name: str) -> Contender:
        """Start a contender by its name; RuntimeError if it does not come to train."""
        directory = self._directory / name.replace(" ", "-")
        directory.mkdir()
        contender = self._start(name, directory)
        self._everything.callback(contender.kill)
        return contender

    def _start(self, name: str, directory: Path) -> Contender:
        counter, environment = directory / "steps", os.environ | {"XDG_STATE_HOME": str(directory)}
        loop = [str(LOOP), self._preset, "--counter", str(counter), *self._threads]
        preset = [self._preset, *self._threads]
        match name:
            case "bare":
                return Contender(name, [_in_terminal([sys.executable, *loop], environment)], counts_in(counter))
            case "headless":
                return Contender(name, [_plain(tuitrain(*preset, "--headless"), environment)], steps_in(directory))
            case "with screen":
                return Contender(name, [_in_terminal(tuitrain(*preset), environment)], steps_in(directory))
            case "detached, watched":
                return Contender(name, self._detached(preset, environment), steps_in(directory))
            case "run, headless":
                return Contender(name, [_plain(tuitrain("run", "--headless", *loop), environment)], counts_in(counter))
            case "run, with screen":
                return Contender(name, [_in_terminal(tuitrain("run", *loop), environment)], counts_in(counter))
            case peer:
                command = [sys.executable, *loop, "--peer", peer]
                return Contender(name, [_in_terminal(command, environment)], counts_in(counter))

    def _detached(self, preset: Sequence[str], environment: Mapping[str, str]) -> list[int]:
        subprocess.run(
            tuitrain(*preset, "--detach"),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        (run,) = Path(environment["XDG_STATE_HOME"]).glob("tuitrain/runs/*")
        lease = read_lease(run)
        assert lease is not None, "a run that was begun has no lease"
        return [lease.pid, _in_terminal(tuitrain("watch"), environment)]


def tuitrain(*arguments: str) -> list[str]:
    """The command line of tuitrain."""
    return [sys.executable, "-m", "tuitrain", *arguments]


def counts_in(path: Path) -> Callable[[], Mark]:
    """Reads what loop.py counts."""

    def mark() -> Mark:
        if not path.exists():
            return Mark(0, 0.0)
        seen, again = b"", path.read_bytes()
        while seen != again or len(seen) < COUNT.size:  # written between two reads
            seen, again = again, path.read_bytes()
        return Mark(*COUNT.unpack(seen))

    return mark


def steps_in(directory: Path) -> Callable[[], Mark]:
    """Reads the last step from the one journal below a directory."""
    reader: list[Reader] = []

    def mark() -> Mark:
        if not reader:
            journals = list(directory.glob(f"tuitrain/runs/*/{JOURNAL}"))
            if not journals:
                return Mark(0, 0.0)
            reader.append(Reader(journals[0]))
        last = reader[0].last_step()
        return Mark(0, 0.0) if last is None else Mark(last.executed, last.time_s)

    return mark


def _plain(command: Sequence[str], environment: Mapping[str, str]) -> int:
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid


def _in_terminal(command: Sequence[str], environment: Mapping[str, str]) -> int:
    spawn: Any = ptyprocess.PtyProcess.spawn  # type: ignore[attr-defined]
    child = spawn(list(command), env={**environment, **LOOK}, dimensions=SIZE)
    threading.Thread(target=_read_all, args=(child.fd, child), daemon=True).start()
    return int(child.pid)


def _read_all(descriptor: int, child: object) -> None:
    """Take what is drawn, as a terminal would; `child` would close its terminal if it were let go."""
    with contextlib.suppress(OSError):  # the program has gone
        while os.read(descriptor, 1 << 16):
            pass
