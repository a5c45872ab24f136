"""A run in a process of its own, started by --detach, and beside it what its journal says."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.e2e.followed import Followed, only_journal
from tests.e2e.terminal import ROOT, TIMEOUT_S, WIDE, Terminal, environment, tuitrain
from tuitrain.record.journal import Reader


class Said(NamedTuple):
    """What a command that ended said, and its exit code."""

    code: int
    out: str
    err: str


class Detached(Followed):
    """The run as its journal tells it, and the process that trains it."""

    def __init__(self, home: Path, launched: Said, directory: Path, reader: Reader) -> None:
        super().__init__(directory, reader)
        self.home = home
        self.launched = launched
        self.name = directory.name

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
    with only_journal(home) as (directory, reader):
        run = Detached(home, launched, directory, reader)
        try:
            yield run
        finally:
            run.kill()


def opened_by(pid: int) -> list[str]:
    """Where the descriptors 0, 1 and 2 of a process lead."""
    return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
