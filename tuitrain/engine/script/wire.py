"""The way between a script's process and its host: events up, commands down, over one socket, without a thread.

Nothing here waits for the host while the script runs. Loads no torch.
"""

import collections
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence

import msgspec

from tuitrain.record.commands import AnyCommand
from tuitrain.record.events import AnyEvent, Event, LogLine, Step
from tuitrain.record.frames import FrameDecoder, FrameError

MOST_WAITING_BYTES = 16 * 2**20
"""The most that waits in the script's process for a host that does not read; what comes beyond it is lost, counted."""
MOST_EVENT_BYTES = 64 * 2**20
"""The most bytes of one event: a very large model's tree has some."""
FAREWELL_S = 2.0
"""For how long the script's end waits for a host that does not read."""
_PIECE_BYTES = 64 * 1024
_LENGTH = struct.Struct(">I")


class Wire:
    """The script's end. Takes events as a journal does; for one thread alone."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: FrameDecoder[AnyCommand] = FrameDecoder(AnyCommand)
        self._waiting: collections.deque[bytes] = collections.deque()
        self._bytes = 0
        self.lost = 0
        """Events for which there was no room."""
        self.is_open = True
        """Whether the host is there."""

    def say(self, event: Event) -> None:
        """Have an event recorded."""
        body = self._encoder.encode(event)
        if not self.is_open or self._bytes > MOST_WAITING_BYTES or len(body) > MOST_EVENT_BYTES:
            self.lost += self.is_open
            return
        self._waiting.append(_LENGTH.pack(len(body)) + body)
        self._bytes += _LENGTH.size + len(body)

    def steps(self, steps: Sequence[Step]) -> None:
        """Have executed steps recorded, in order."""
        for step in steps:
            self.say(step)

    def flush(self) -> None:
        """Hand over what waits, as far as the host takes it."""
        if self.lost and self._bytes < MOST_WAITING_BYTES // 2:
            lost, self.lost = self.lost, 0
            self.say(LogLine(stream="run", text=f"{lost:,} events are lost: they were not read in time."))
        while self._waiting and self.is_open:
            piece = b"".join(self._waiting)
            try:
                sent = self._socket.send(piece)
            except BlockingIOError:
                return
            except OSError:  # the host has gone; the script goes on
                self.close()
                return
            self._bytes -= sent
            self._waiting.clear()
            if sent < len(piece):
                self._waiting.append(piece[sent:])

    def farewell(self) -> None:
        """Hand over all that waits, at the end, unless the host does not read for `FAREWELL_S` seconds."""
        deadline_s = time.monotonic() + FAREWELL_S
        self.flush()
        while self._waiting and self.is_open and (left_s := deadline_s - time.monotonic()) > 0:
            select.select([], [self._socket], [], left_s)
            self.flush()

    def commands(self) -> list[AnyCommand]:
        """The commands that have come."""
        if not self.is_open:
            return []
        try:
            piece = self._socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            piece = b""
        if not piece:
            self.close()
            return []
        try:
            return list(self._decoder.feed(piece))
        except FrameError:
            self.close()
            return []

    def wait(self, timeout_s: float) -> list[AnyCommand]:
        """The commands that come, after at most `timeout_s` seconds. A signal's exception is raised from here."""
        if self.is_open:
            select.select([self._socket], [], [], timeout_s)
        return self.commands()

    def close(self) -> None:
        """Break off: nothing is said or heard any more."""
        self.is_open = False
        self._waiting.clear()
        self._bytes = 0
        self._socket.close()


class EventDecoder:
    """The host's end: pieces of any length to events. FrameError where something is no event."""

    def __init__(self) -> None:
        self._decoder = msgspec.msgpack.Decoder(AnyEvent)
        self._pieces = bytearray()

    def feed(self, piece: bytes) -> Iterator[AnyEvent]:
        """Add what has come; then the events that are complete, one by one."""
        self._pieces += piece
        begin = 0
        try:
            while len(self._pieces) - begin >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._pieces, begin)
                if length > MOST_EVENT_BYTES:
                    raise FrameError(f"an event claims {length:,} bytes: {MOST_EVENT_BYTES:,} are the most.")
                end = begin + _LENGTH.size + length
                if len(self._pieces) < end:
                    return
                body = self._pieces[begin + _LENGTH.size : end]
                begin = end
                try:
                    yield self._decoder.decode(body)
                except msgspec.MsgspecError as error:
                    raise FrameError(f"an event cannot be read ({error}).") from error
        finally:
            del self._pieces[:begin]
