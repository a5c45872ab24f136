"""A Python that has loaded torch, and runs each program in a copy of itself: in a tenth of the time.

A copy does what python does that runs the program: its `__main__`, its arguments, what is called at its end, its exit
code. Where the interpreter's own beginning and end matter, a test has to start a real one.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import types
from collections.abc import Sequence
from typing import Any

LOADED = ("torch._dynamo", "tuitrain.engine.script.beginning", "tuitrain.tips")
"""What every copy has at hand; nothing of it is begun."""
_MOST_BYTES = 1 << 20
_ASIDE = 500
"""Descriptors from here on are in nobody's way."""


def serve(connection: socket.socket) -> dict[str, Any]:
    """Make a copy for every request; returns in the copy alone, with what it has to run."""
    connection = socket.socket(fileno=_aside(connection.detach()))
    ended, woken = socket.socketpair()
    for end in (ended, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(ended.fileno())
    reports: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is woken:
                    woken.recv(_MOST_BYTES)
                    _report_the_ended(reports)
                elif (request := _copied(connection, reports)) is not None:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for each in (ended, woken, connection):
                        each.close()
                    return request


def _copied(connection: socket.socket, reports: dict[int, int]) -> dict[str, Any] | None:
    """Take a request, and make a copy of this process for it: None here, the request there."""
    message, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 16)
    if not message:
        for child in reports:  # the tests are over, or were killed
            os.kill(child, signal.SIGKILL)
        os._exit(0)
    request: dict[str, Any] = json.loads(message)
    report, *passed = map(_aside, descriptors)
    child = os.fork()
    if not child:
        for descriptor in (report, *reports.values()):
            os.close(descriptor)
        for descriptor, number in zip(passed, request["descriptors"], strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return request
    for descriptor in passed:
        os.close(descriptor)
    os.write(report, f"{child}\n".encode())
    reports[child] = report
    return None


def _report_the_ended(reports: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            report = reports.pop(ended[0])
            with contextlib.suppress(BrokenPipeError):  # nobody waited for it
                os.write(report, f"{os.waitstatus_to_exitcode(ended[1])}\n".encode())
            os.close(report)


def _aside(descriptor: int) -> int:
    """The same file, under a number that nobody asks for."""
    moved: int = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ASIDE)
    os.close(descriptor)
    return moved


def run(request: dict[str, Any]) -> int:
    """Run a script as python does; what python leaves with, negated if by a signal."""
    script: str = request["arguments"][0]
    main = types.ModuleType("__main__")
    vars(main).update(__file__=script, __builtins__=__builtins__, __spec__=None)
    try:
        _begin(request)
        sys.modules["__main__"] = main
        with open(script, "rb") as source:
            code = compile(source.read(), script, "exec")
        exec(code, vars(main))
    except BaseException as error:
        return _shown(error)
    return 0


def _begin(request: dict[str, Any]) -> None:
    """Become what python is before it runs a script."""
    arguments: Sequence[str] = request["arguments"]
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    if request["own_session"]:
        os.setsid()
    sys.argv[:] = arguments
    sys.path[0] = os.path.dirname(arguments[0])
    if "TUITRAIN_SCRIPT" in os.environ:  # what a Python of its own would find there as it starts
        sys.path.insert(1, os.environ["PYTHONPATH"].partition(os.pathsep)[0])
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")


def _shown(error: BaseException) -> int:
    """Show what ended a script, as far as it is to be shown; the exit code."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as end:
        return _shown(end)
    return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


def leave(code: int) -> None:
    """End with what is to be done at the end, but without taking torch apart, which takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()
    leave(run(serve(socket.socket(fileno=int(sys.argv[1])))))
