"""A run in a process of its own, started by --detach, and beside it what its journal says."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.e2e.terminal import ROOT, TIMEOUT_S, WIDE, Terminal, environment, tuitrain
from tuitrain.record.journal import Reader
from tuitrain.record.lease import read_lease
from tuitrain.record.runs import JOURNAL
from tuitrain.record.state import RunView


class Said(NamedTuple):
    """What a command that ended said, and its exit code."""

    code: int
    out: str
    err: str


class Detached:
    """The run as its journal tells it, and the process that trains it."""

    def __init__(self, home: Path, launched: Said, reader: Reader, directory: Path) -> None:
        self.home = home
        self.launched = launched
        self.directory = directory
        self.name = directory.name
        self._reader = reader
        self._view = RunView()

    @property
    def pid(self) -> int:
        """The process that trains, or trained."""
        lease = read_lease(self.directory)
        assert lease is not None
        return lease.pid

    @property
    def view(self) -> RunView:
        """The run as its journal tells it now."""
        self._view.update(self._reader.poll())
        return self._view

    @property
    def executed(self) -> int:
        """Steps executed so far, as far as they are in the journal."""
        step = self.view.last_step
        return step.executed if step else 0

    def viewer(self, *words: str, size: tuple[int, int] = WIDE, env: Mapping[str, str] | None = None) -> Terminal:
        """`tuitrain watch` with these words, in a terminal of its own."""
        return Terminal(tuitrain("watch", *words), environment(self.home) | dict(env or {}), size=size)

    def kill(self) -> None:
        """End the process at once, and wait until it is gone."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            process.send_signal(signal.SIGKILL)
            process.wait(TIMEOUT_S)


def say(home: Path, *words: str, env: Mapping[str, str] | None = None) -> Said:
    """Run `tuitrain` with these words to its end, without a terminal; what it keeps lies in `home`."""
    done = subprocess.run(
        tuitrain(*words),
        cwd=ROOT,
        env=environment(home) | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT_S,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def detached(home: Path, *words: str) -> Iterator[Detached]:
    """`tuitrain` with these words and --detach; leaving the context kills what is left of the run."""
    launched = say(home, *words, "--detach")
    assert launched.code == 0, launched
    (journal,) = home.rglob(JOURNAL)
    with contextlib.closing(Reader(journal)) as reader:
        run = Detached(home, launched, reader, journal.parent)
        try:
            yield run
        finally:
            run.kill()


def opened_by(pid: int) -> list[str]:
    """Where the descriptors 0, 1 and 2 of a process lead."""
    return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
