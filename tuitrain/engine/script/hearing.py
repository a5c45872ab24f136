"""The host's end of the wire: what a script's process says is recorded, what viewers send goes down to it.

Loads no torch.
"""

import socket
import threading
from collections.abc import Callable

from tuitrain.engine.recorder import Recorder
from tuitrain.engine.script.wire import EventDecoder
from tuitrain.errors import UserError
from tuitrain.record.commands import AnyCommand, Stop
from tuitrain.record.events import AnyEvent, Applied, Rejected, Status, Step
from tuitrain.record.frames import FrameError, encode_frame
from tuitrain.record.link import Inbox

READ_BYTES = 65536


class ToScript(Inbox):
    """The way down to a script: what is sent here goes to the script's process."""

    def __init__(self, *, trouble: Callable[[], str | None]) -> None:
        super().__init__(trouble=trouble)
        self._socket: socket.socket | None = None
        self._sending = threading.Lock()
        self.unanswered: dict[str, AnyCommand] = {}
        """Commands to which the script has not said anything."""

    def connect(self, connection: socket.socket) -> None:
        """Send over this connection from now on."""
        self._socket = connection

    def send(self, command: AnyCommand) -> None:
        """Hand in a command from any thread. UserError if the script has ended, or does not take it."""
        with self._sending:
            if self._socket is None:
                if isinstance(command, Stop):
                    return
                raise UserError("The script has ended: it takes no more commands.")
            frame = encode_frame(command)
            try:
                sent = self._socket.send(frame, socket.MSG_DONTWAIT)
            except BlockingIOError as error:
                raise UserError(
                    "The script does not take commands at present: it is between two of its steps."
                ) from error
            except OSError as error:
                raise UserError("The script takes no more commands.") from error
            if sent < len(frame):  # the rest would be read as the beginning of the next one
                self._socket.shutdown(socket.SHUT_WR)
                raise UserError("The script does not take commands any more.")
            self.unanswered[command.id] = command

    def close(self) -> None:
        """The script has ended: take nothing more."""
        with self._sending:
            self._socket = None
        super().close()


class Hearing:
    """Records what a script's process says."""

    def __init__(self, connection: socket.socket, recorder: Recorder, inbox: ToScript) -> None:
        """Hear what comes over `connection`; what goes into `inbox` is sent over it."""
        self.stopped = False
        """Whether the script was stopped by a command."""
        self.last_status: Status | None = None
        """What the run said last of its state."""
        self._connection = connection
        self._connection.setblocking(False)
        self._recorder = recorder
        self._inbox = inbox
        self._events = EventDecoder()
        inbox.connect(connection)

    def hear(self) -> bool:
        """Record what has come; whether more may come."""
        try:
            piece = self._connection.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            piece = b""
        try:
            for event in self._events.feed(piece):
                self._take(event)
        except FrameError as error:
            self._recorder.log(f"What watches the script said what cannot be read: {error}")
            return False
        return bool(piece)

    def reject_the_unanswered(self) -> None:
        """At the script's end: answer every command that it did not."""
        for command in list(self._inbox.unanswered.values()):
            reason = "the script has ended."
            self._recorder.say(Rejected, id=command.id, word=command.word, by=command.by, reason=reason)

    def _take(self, event: AnyEvent) -> None:
        position = self._recorder.position
        if isinstance(event, Step):
            position.step, position.executed, position.epoch = event.step, event.executed, event.epoch
            self._recorder.journal.steps([event])
            return
        if isinstance(event, Applied | Rejected):
            self._inbox.unanswered.pop(event.id, None)
        self.stopped = self.stopped or (isinstance(event, Applied) and event.word == "stop")
        self.last_status = event if isinstance(event, Status) else self.last_status
        self._recorder.journal.say(event)
