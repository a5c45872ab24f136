"""Programs in copies of a Python that has loaded torch: what `subprocess.Popen` is for a Python of their own."""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

SERVER = Path(__file__).with_name("forked.py")
ROOT = Path(__file__).parents[3]


class Copy:
    """A program at work, as `subprocess.Popen` has it."""

    def __init__(self, report: int) -> None:
        self._report = open(report, "rb", buffering=0)  # noqa: SIM115 - until it has ended
        self.pid = int(self._report.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or the negated number of what killed it; None while it is at work."""
        return self.wait() if self.returncode is not None or select.select([self._report], [], [], 0)[0] else None

    def wait(self) -> int:
        """The same, at its end."""
        if self.returncode is None:
            self.returncode = int(self._report.readline())
            self._report.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def start_copy(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int,
    stderr: int,
    pass_fds: Sequence[int] = (),
    start_new_session: bool = False,
) -> Copy:
    """Start `[python, script, *arguments]`, with these descriptors; it finds nothing on its stdin."""
    ours, theirs = os.pipe()
    with open(os.devnull) as nothing:
        request = {
            "arguments": list(arguments[1:]),
            "environment": dict(os.environ if env is None else env),
            "directory": os.getcwd(),
            "own_session": start_new_session,
            "descriptors": [0, 1, 2, *pass_fds],
        }
        descriptors = [theirs, nothing.fileno(), stdout, stderr, *pass_fds]
        socket.send_fds(_server()[0], [json.dumps(request).encode()], descriptors)
    os.close(theirs)
    return Copy(ours)


def run_copy(arguments: Sequence[str]) -> tuple[int, str]:
    """Its exit code, and all that it printed."""
    ours, theirs = os.pipe()
    copy = start_copy(arguments, stdout=theirs, stderr=theirs)
    os.close(theirs)
    with open(ours) as output:
        printed = output.read()
    return copy.wait(), printed


@cache
def _server() -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, str(SERVER), str(theirs.fileno())],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
        )
    return ours, process


@contextlib.contextmanager
def copies() -> Iterator[None]:
    """At the context's end there are no more copies to be had."""
    try:
        yield
    finally:
        if _server.cache_info().currsize:
            connection, process = _server()
            connection.close()
            process.wait(60)
            _server.cache_clear()
