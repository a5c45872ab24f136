"""A training in the user's own process, watched from one line of his code to another: `tuitrain.watch`.

What records it is a process beside this one (`alongside.py`), at the other end of a wire as `tuitrain run` has it.
"""

import contextlib
import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import msgspec
from torch import nn
from torch.optim import Optimizer

from tuitrain.engine.script import batches
from tuitrain.engine.script.beginning import add_checks, fitting_tips
from tuitrain.engine.script.frames import no_further_than, script_frames
from tuitrain.engine.script.messages import Briefing, Recorded
from tuitrain.engine.script.patches import install
from tuitrain.engine.script.stopped import Stopped
from tuitrain.engine.script.watch import Watch
from tuitrain.engine.script.wire import Wire
from tuitrain.record.events import RunState

HOST = "tuitrain.engine.script.alongside"
PATIENCE_S = 30.0
"""For how long the host may take to say where it records."""
LEAVE_WITHIN_S = 5.0
"""For how long the training's end waits for the host to have recorded it."""


class Order(NamedTuple):
    """What is to be watched."""

    name: str
    """What the run is called: letters, digits, dots and dashes."""
    models: Sequence[nn.Module]
    """Those that are shown; none: all there are."""
    optimizers: Sequence[Optimizer]
    """Those whose steps are the run's; none: all there are."""
    tips: str
    """Where the tips are found, as "module:name" of a sequence of classes."""
    checks: str
    """Where the checks are found, as "module:name" of what makes observers of a training; empty: none."""


@contextlib.contextmanager
def watching(order: Order) -> Iterator[None]:
    """Watch this thread's training; it ends quietly at the context's end where it is told to stop.

    Where it is watched already, that goes on. Where it cannot be recorded, stderr says so, and it is left alone.
    """
    host = None if batches.next_batch is not None else _begin(order)
    if host is None:
        yield
        return
    watch = _PartlyWatch(order, host)
    _watching.add(watch)
    end = _Ending("finished", "")
    with contextlib.ExitStack() as undo:
        undo.callback(install(watch))
        undo.enter_context(no_further_than(_users_frame()))
        try:
            yield
        except Stopped:
            end = _Ending("stopped", f"{order.name} was stopped")
        except BaseException as error:
            end = _how(error)
            raise
        finally:
            if watch.on:  # else this is a process forked from the one that is watched
                watch.leave(end)
                undo.callback(host.wait)


class _Ending(NamedTuple):
    """How a training ended."""

    state: RunState
    message: str


class _Host(NamedTuple):
    """The process that records."""

    process: "subprocess.Popen[bytes]"
    directory: Path
    wire: Wire

    def wait(self) -> None:
        """Wait until it has recorded the end."""
        try:
            self.process.wait(LEAVE_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.returncode = 0  # it goes on by itself: not to be warned of


class _PartlyWatch(Watch):
    """Watches those models and optimizers that the user has named."""

    def __init__(self, order: Order, host: _Host) -> None:
        told = Briefing(
            descriptor=-1, directory=str(host.directory), name=order.name, attended=True, checks=order.checks
        )
        super().__init__(told, host.wire, fitting_tips(order.tips))
        add_checks(self, told)
        self._named = weakref.WeakSet(order.optimizers) if order.optimizers else None
        self.models.named_by_user.update(order.models)
        self.trained.know(list(order.optimizers))

    def before_step(self, optimizer: Optimizer, *, by_closure: bool) -> None:
        """One that was not named steps unseen."""
        if self._named is None or optimizer in self._named:
            super().before_step(optimizer, by_closure=by_closure)

    def after_step(self, optimizer: Optimizer) -> None:
        """The same."""
        if self._named is None or optimizer in self._named:
            super().after_step(optimizer)
        else:
            self.trained.steps += 1

    def leave(self, end: _Ending) -> None:
        """Put back what is held, and say how the training ended."""
        if self.probe.overfitting:
            self.probe.loop_was_left()
        self.end()
        self.probe.say_state(end.state, end.message)
        self.wire.farewell()
        self.wire.close()


def _begin(order: Order) -> _Host | None:
    """Start the host, and say on stderr which run it records; None where it cannot."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = _start(theirs.fileno(), order.name)
        except OSError as error:
            ours.close()
            _regret(f"no process can be started that would record it ({error}).")
            return None
    recorded = _first_words(ours)
    if not recorded.directory:
        ours.close()
        process.wait()
        _regret(recorded.trouble)
        return None
    directory = Path(recorded.directory)
    sys.stderr.write(f"tuitrain: watch this training from any terminal: tuitrain watch {directory.name}\n")
    return _Host(process, directory, Wire(ours.detach()))


def _start(descriptor: int, name: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", HOST, str(descriptor), name],
        env=os.environ | {"PYTHONPATH": _path_with_us()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[descriptor],
        start_new_session=True,  # ctrl+c is for the training
    )


def _regret(trouble: str) -> None:
    sys.stderr.write(f"tuitrain: this training is not watched, and goes on: {trouble}\n")


def _first_words(connection: socket.socket) -> Recorded:
    """What the host says first, and nothing beyond it."""
    said = bytearray()
    connection.settimeout(PATIENCE_S)
    with contextlib.suppress(OSError):
        while not said.endswith(b"\n") and (piece := connection.recv(1)):
            said += piece
    try:
        return msgspec.json.decode(said, type=Recorded)
    except msgspec.MsgspecError:
        return Recorded(trouble="the process that would record it does not start.")


def _users_frame() -> FrameType:
    """Where the context was entered."""
    return next(frame for frame in script_frames() if frame.f_globals.get("__name__") != "contextlib")


def _path_with_us() -> str:
    """PYTHONPATH, with the place where this package is."""
    here = str(Path(__file__).parents[3])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def _how(error: BaseException) -> _Ending:
    """How a training ends that an exception leaves."""
    match error:
        case KeyboardInterrupt():
            return _Ending("stopped", "It was interrupted.")
        case SystemExit(code=None | 0):
            return _Ending("finished", "")
        case SystemExit(code=code):
            return _Ending("failed", f"It exited with code {code if isinstance(code, int) else 1}.")
    return _Ending("failed", f"{type(error).__name__}: {error}")


_watching: "weakref.WeakSet[Watch]" = weakref.WeakSet()


def _leave_to_parent() -> None:
    for watch in list(_watching):
        watch.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
