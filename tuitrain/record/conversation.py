"""One viewer's connection, as the run sees it: what it says, what it is told, and when it has to go."""

import math
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from tuitrain.record.commands import AnyCommand
from tuitrain.record.frames import FrameDecoder, FrameError, encode_frame
from tuitrain.record.messages import FromRun, FromViewer, Hello, speaker

_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What viewers are allowed; who asks for more is dropped, alone."""

    viewers: int = 32
    patience_s: float = 5.0
    """How long a viewer may take to say who it is, to finish a message it began, and to read what it is told."""
    unread_bytes: int = 64 * 1024
    """The most that waits for a viewer that does not read."""
    messages_per_s: float = 500
    """More than any hand sends: applying a command takes the run about as long as a step."""


class Dropped(Exception):
    """The viewer has left, or has to; one clause says why."""


class Conversation:
    """A viewer's connection. Nothing here waits; whatever is wrong with the viewer raises Dropped."""

    def __init__(self, connection: socket.socket, pid: int, limits: Limits, now_s: float) -> None:
        self.connection = connection
        self.speaker = ""
        """Who is there, once that was said: its name and the process that really speaks."""
        self._pid = pid
        self._limits = limits
        self._decoder: FrameDecoder[Hello | AnyCommand] = FrameDecoder(FromViewer)
        self._unread = bytearray()
        self._hear_by_s = now_s + limits.patience_s
        self._read_by_s = math.inf
        self._second, self._heard = now_s, 0

    def greeted(self, name: str) -> None:
        """It said its name: whatever it says from now on is said in this one."""
        self.speaker = speaker(name, self._pid)

    def hear(self, now_s: float) -> Iterator[Hello | AnyCommand]:
        """The messages that have come since the last time."""
        try:
            piece = self.connection.recv(_PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise Dropped(f"its connection broke ({error})") from error
        if not piece:
            raise Dropped("it left")
        try:
            for message in self._decoder.feed(piece):
                self._count(now_s)
                self._hear_by_s = math.inf
                yield message
        except FrameError as error:
            raise Dropped(str(error)) from error
        if self._decoder.unfinished:
            self._hear_by_s = min(self._hear_by_s, now_s + self._limits.patience_s)

    def say(self, message: FromRun, now_s: float) -> None:
        """Tell it something."""
        self._unread += encode_frame(message)
        self.flush(now_s)
        if len(self._unread) > self._limits.unread_bytes:
            raise Dropped("it does not read")

    def flush(self, now_s: float) -> None:
        """Hand over what waits, as far as it goes."""
        try:
            sent = self.connection.send(self._unread) if self._unread else 0
        except BlockingIOError:
            sent = 0
        except OSError:  # it reads no more; what it said before it left is heard all the same
            sent = len(self._unread)
        del self._unread[:sent]
        self._read_by_s = min(self._read_by_s, now_s + self._limits.patience_s) if self._unread else math.inf

    def drop_if_late(self, now_s: float) -> None:
        """Dropped, if it lets the run wait for too long."""
        if now_s > self._hear_by_s:
            raise Dropped("it does not finish what it says")
        if now_s > self._read_by_s:
            raise Dropped("it does not read")

    def _count(self, now_s: float) -> None:
        if now_s - self._second >= 1:
            self._second, self._heard = now_s, 0
        self._heard += 1
        if self._heard > self._limits.messages_per_s:
            raise Dropped(f"more than {self._limits.messages_per_s:,} messages a second")
