"""What the tests of sockets share: places of their own for them, a run to command, and a viewer that says anything."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from tuitrain.record import unix_socket
from tuitrain.record.control import ControlSocket
from tuitrain.record.conversation import Limits
from tuitrain.record.frames import FrameDecoder, encode_frame
from tuitrain.record.link import Inbox
from tuitrain.record.messages import PROTOCOL, FromRun, Hello, Trouble, Welcome

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30.0
"""No test waits for it: what has not happened by then never will."""

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
PATIENT = Limits(patience_s=TIMEOUT_S * 2)
HASTY = Limits(patience_s=0.5)


@contextlib.contextmanager
def own_places() -> Iterator[Path]:
    """A short directory in which this test's sockets lie, whatever the user's environment says."""
    with tempfile.TemporaryDirectory(prefix="tt", dir="/tmp") as name, pytest.MonkeyPatch.context() as patch:
        place = Path(name)
        (place / "runtime").mkdir(mode=0o700)
        (place / "temporary").mkdir(mode=0o700)
        (place / "last").mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(place / "runtime"))
        patch.setattr(tempfile, "tempdir", str(place / "temporary"))
        patch.setenv("TMPDIR", str(place / "temporary"))  # platformdirs takes only what the environment names, too
        patch.setattr(unix_socket, "LAST_RESORT", place / "last")
        yield place


class Hosted(NamedTuple):
    """A run that can be commanded: its directory, its inbox, its socket, and what it says of its recording."""

    directory: Path
    inbox: Inbox
    control: ControlSocket
    troubles: list[str]

    @property
    def path(self) -> Path:
        assert self.control.trouble is None
        assert self.control.path is not None
        return self.control.path


@contextlib.contextmanager
def hosted(directory: Path, limits: Limits = PATIENT) -> Iterator[Hosted]:
    """A run in this process, under `directory`."""
    directory.mkdir(exist_ok=True)
    inbox, troubles = Inbox(), list[str]()
    control = ControlSocket(
        directory, inbox, trouble=lambda: troubles[-1] if troubles and troubles[-1] else None, limits=limits
    )
    try:
        yield Hosted(directory, inbox, control, troubles)
    finally:
        control.close()


class Viewer:
    """A connection to a run on which anything can be said."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(TIMEOUT_S)
        try:
            self.socket.connect(os.fspath(path))
        except OSError:
            self.socket.close()
            raise
        self._decoder: FrameDecoder[FromRun] = FrameDecoder(FromRun)
        self._heard: list[FromRun] = []

    def say(self, *messages: msgspec.Struct) -> None:
        self.send(b"".join(map(encode_frame, messages)))

    def send(self, raw: bytes) -> None:
        """Send bytes, unless the run has closed the connection."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(raw)

    def hear(self) -> FromRun | None:
        """The next thing the run says; None when it closed the connection."""
        while not self._heard:
            try:
                piece = self.socket.recv(65536)
            except ConnectionError:
                piece = b""
            if not piece:
                return None
            self._heard.extend(self._decoder.feed(piece))
        return self._heard.pop(0)

    def hear_all(self) -> list[FromRun]:
        """All that the run says until it closes the connection."""
        return list(iter(self.hear, None))

    def greet(self, name: str = "here") -> None:
        """Say Hello, and be welcome."""
        self.say(Hello(PROTOCOL, name))
        assert self.hear() == Welcome(PROTOCOL)
        assert isinstance(self.hear(), Trouble)


@contextlib.contextmanager
def connected(path: Path) -> Iterator[Viewer]:
    """A viewer that has not yet said anything."""
    viewer = Viewer(path)
    with viewer.socket:
        yield viewer


@contextlib.contextmanager
def greeted(path: Path, name: str = "here") -> Iterator[Viewer]:
    """A viewer that is welcome."""
    with connected(path) as viewer:
        viewer.greet(name)
        yield viewer


@contextlib.contextmanager
def child(code: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """Another Python process that runs `code`; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


HOST = """
import os, resource, signal, socket, sys
from pathlib import Path
from tuitrain.record.control import ControlSocket
from tuitrain.record.conversation import Limits
from tuitrain.record.link import Inbox
inbox = Inbox()
control = ControlSocket(Path(sys.argv[1]), inbox, limits=Limits(patience_s=float(sys.argv[2])))
print(control.path, flush=True)
"""
"""A run as a `child`, given its directory and how patient it is: it prints where its socket lies."""


def line(process: "subprocess.Popen[str]") -> str:
    """The next line that a child prints; empty when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def tell(process: "subprocess.Popen[str]", text: str) -> None:
    """Hand a child a line."""
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def until(holds: Callable[[], bool]) -> None:
    """Look again and again until it holds; AssertionError if it never does."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline_s
