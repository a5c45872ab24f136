"""The control socket of a run: commands from viewers in other processes of the same user.

One thread answers them all. Whatever a viewer sends, or does not, it alone is dropped; nothing here waits for a viewer,
and the training thread finds commands in its inbox as if a key had been pressed.
"""

import contextlib
import os
import selectors
import socket
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import msgspec

from tuitrain.errors import UserError
from tuitrain.record.commands import AnyCommand, Stop, check
from tuitrain.record.conversation import Conversation, Dropped, Limits
from tuitrain.record.lease import own_lease, read_lease
from tuitrain.record.link import Inbox
from tuitrain.record.messages import PROTOCOL, Hello, Refused, Taken, Trouble, Welcome
from tuitrain.record.unix_socket import NoSocket, listen_at, peer_of, record_path, socket_path

TROUBLE_POLL_S = 0.25
LEASE_POLL_S = 1.0
ENDED = "The run has ended: it takes no more commands."


class ControlSocket:
    """Listens for viewers of the run in `directory`, and puts their commands into `inbox`.

    Never raises for want of a socket: `trouble` then says why there is none, and the run goes on without. Where this
    process holds the run's lease, it listens as long as it does: another that takes the lease takes its place.
    """

    def __init__(
        self,
        directory: Path,
        inbox: Inbox,
        *,
        trouble: Callable[[], str | None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Listen from now on.

        Args:
            directory: The run's directory, where the socket's path is recorded.
            inbox: Where commands go.
            trouble: Asked a few times a second for what viewers are to be told; by default the inbox is.
            limits: What viewers are allowed.
        """
        self.path: Path | None = None
        self.trouble: str | None = None
        """Why viewers in other terminals can give no commands, in one sentence; None if they can."""
        self._inbox = inbox
        self._ask_trouble = trouble or (lambda: inbox.trouble)
        self._limits = limits or Limits()
        self._viewers: list[Conversation] = []
        self._told: str | None = None
        self.closing = False
        """Whether this comes to its end: commands are refused from then on."""
        self._accept_again_s: float | None = None
        self._look_at_lease_s = 0.0
        self._thread: threading.Thread | None = None
        try:
            self._listen(directory)
        except (OSError, NoSocket) as error:
            self.trouble = f"No other terminal can command this run: {error}."

    def close(self) -> None:
        """Take nothing more, answer what has come, and go. Safe to call again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self.closing = True
            with contextlib.suppress(OSError):  # its thread has ended on an error
                self._waker.send(b"!")
            thread.join()

    def _listen(self, directory: Path) -> None:
        path, lease = socket_path(directory), own_lease()
        with contextlib.ExitStack() as undo:
            self._listener = undo.enter_context(listen_at(path, even_if_live=read_lease(directory) == lease))
            undo.callback(path.unlink)
            status = path.lstat()
            self._inode = (status.st_dev, status.st_ino)
            record_path(directory, path)
            self._waker, self._woken = socket.socketpair()
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._selector.register(self._woken, selectors.EVENT_READ)
            undo.pop_all()
        self.path, self._directory, self._lease = path, directory, lease
        _listening.add(self)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            while not self.closing:
                self._turn()
            for viewer in list(self._viewers):
                self._hear(viewer)
        except OSError as error:
            self.trouble = f"No other terminal can command this run any more: {error}."
        finally:
            self._leave()

    def _turn(self) -> None:
        """Wait until someone says something, or it is time to look round, and answer."""
        idle = not self._viewers and self._accept_again_s is None
        ready = self._selector.select(LEASE_POLL_S if idle else min(TROUBLE_POLL_S, self._limits.patience_s))
        for key, _ in ready:
            if isinstance(key.data, Conversation):
                self._hear(key.data)
            elif key.fileobj is self._listener:
                self._accept()
        self._listen_again()
        self._leave_if_the_run_has_ended()
        self._say_trouble()
        for viewer in list(self._viewers):
            self._look_after(viewer)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # no descriptor is left, say: it would be reported again at once
            self._selector.unregister(self._listener)
            self._accept_again_s = time.monotonic() + self._limits.patience_s
            return
        connection.setblocking(False)
        try:
            peer = peer_of(connection)
        except NoSocket:
            connection.close()
            return
        if peer.uid != os.geteuid():
            connection.close()
            return
        viewer = Conversation(connection, peer.pid, self._limits, time.monotonic())
        self._viewers.append(viewer)
        self._selector.register(connection, selectors.EVENT_READ, viewer)
        if len(self._viewers) > self._limits.viewers:
            self._drop(viewer, f"{self._limits.viewers} viewers are there already")

    def _listen_again(self) -> None:
        if self._accept_again_s is not None and time.monotonic() > self._accept_again_s:
            self._accept_again_s = None
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _leave_if_the_run_has_ended(self) -> None:
        """The process may stay, to show how the run ended, while another one resumes it."""
        if time.monotonic() < self._look_at_lease_s:
            return
        self._look_at_lease_s = time.monotonic() + LEASE_POLL_S
        lease = read_lease(self._directory)
        self.closing = self.closing or (lease is not None and lease != self._lease)

    def _hear(self, viewer: Conversation) -> None:
        try:
            for message in viewer.hear(time.monotonic()):
                self._answer(viewer, message)
        except Dropped as dropped:
            self._drop(viewer, str(dropped))

    def _answer(self, viewer: Conversation, message: Hello | AnyCommand) -> None:
        now_s = time.monotonic()
        match message:
            case Hello(protocol=protocol) if protocol != PROTOCOL:
                raise Dropped(f"it speaks protocol {protocol}, this run {PROTOCOL}: use the same version of tuitrain")
            case Hello(name=name) if not viewer.speaker:
                viewer.greeted(name)
                viewer.say(Welcome(PROTOCOL), now_s)
                viewer.say(Trouble(self._told), now_s)
            case Hello():
                raise Dropped("it said who it is already")
            case _ if not viewer.speaker:
                raise Dropped("it did not say who it is")
            case command:
                viewer.say(self._take(msgspec.structs.replace(command, by=viewer.speaker)), now_s)

    def _take(self, command: AnyCommand) -> Taken | Refused:
        """Hand a command on to the run; the answer to who sent it."""
        if self.closing and not isinstance(command, Stop):
            return Refused(command.id, ENDED)
        try:
            check(command)
            self._inbox.send(command)
        except UserError as error:
            return Refused(command.id, str(error))
        return Taken(command.id)

    def _say_trouble(self) -> None:
        trouble = self._ask_trouble()
        if trouble == self._told:
            return
        self._told = trouble
        for viewer in [viewer for viewer in self._viewers if viewer.speaker]:
            try:
                viewer.say(Trouble(trouble), time.monotonic())
            except Dropped as dropped:
                self._drop(viewer, str(dropped))

    def _look_after(self, viewer: Conversation) -> None:
        """Hand over what it did not read yet; drop it if it lets the run wait."""
        try:
            viewer.flush(time.monotonic())
            viewer.drop_if_late(time.monotonic())
        except Dropped as dropped:
            self._drop(viewer, str(dropped))

    def _drop(self, viewer: Conversation, why: str) -> None:
        with contextlib.suppress(Dropped):  # told why, if it listens
            viewer.say(Refused("", f"This run broke off with this screen: {why}."), time.monotonic())
        self._selector.unregister(viewer.connection)
        viewer.connection.close()
        self._viewers.remove(viewer)

    def _leave(self) -> None:
        """Remove the socket, if it is still this run's own, and close everything; nobody finds it half closed."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                status = self.path.lstat()
                if (status.st_dev, status.st_ino) == self._inode:
                    self.path.unlink()
        self.forget()

    def forget(self) -> None:
        """Close what a forked child of the run has inherited: else it would go on listening after the run's death."""
        for viewer in self._viewers:
            viewer.connection.close()
        for held in (self._listener, self._waker, self._woken, self._selector):
            held.close()


_listening: "weakref.WeakSet[ControlSocket]" = weakref.WeakSet()


def _forget_all() -> None:
    for control in list(_listening):
        control.forget()


os.register_at_fork(after_in_child=_forget_all)
