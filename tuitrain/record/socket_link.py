"""The way down to a run in another process: over its control socket, without ever waiting for it."""

import contextlib
import os
import select
import socket
import sys
import time
from pathlib import Path

from tuitrain.errors import UserError
from tuitrain.record.commands import AnyCommand, Set, spell
from tuitrain.record.frames import FrameDecoder, FrameError, encode_frame
from tuitrain.record.messages import PROTOCOL, FromRun, Hello, Refused, Taken, Trouble, speaker
from tuitrain.record.unix_socket import NoSocket, connect_to, recorded_path

_PIECE_BYTES = 64 * 1024


def viewer_name() -> str:
    """What a viewer calls itself: its terminal (pts/3), or "viewer" where it has none."""
    try:
        return os.ttyname(sys.__stdin__.fileno()).removeprefix("/dev/") if sys.__stdin__ else "viewer"
    except (OSError, ValueError):
        return "viewer"


class SocketLink:
    """A link to the run in `directory`, whoever hosts it now: it connects when it is used, and again if that ended.

    What the run refuses, and what it never answered before it went, is said by `trouble` until the next command.
    For one thread alone.
    """

    def __init__(self, directory: Path, *, name: str | None = None) -> None:
        self._directory = directory
        self._name = name or viewer_name()
        self.speaker = speaker(self._name, os.getpid())
        """Whom the journal names for what is sent here."""
        self._connection: socket.socket | None = None
        self._decoder: FrameDecoder[FromRun] = FrameDecoder(FromRun)
        self._unanswered: dict[str, AnyCommand] = {}
        self._refused: list[str] = []
        self._turned_away = False
        self._trouble: str | None = None
        self._refusal: str | None = None

    @property
    def trouble(self) -> str | None:
        """What the run last said goes wrong with its recording, or why it did not take a command, in one sentence.

        None too where the run cannot be asked: that it ended, or died, is for the journal and the lease to say.
        """
        if not self._turned_away:
            with contextlib.suppress(NoSocket):
                self._connect()
        self._drain()
        return self._refusal or self._trouble

    def send(self, command: AnyCommand) -> None:
        """Hand a command to the run. UserError if it is not there to take it; see `settle` for whether it did."""
        self._drain()
        self._refusal, self._turned_away = None, False
        try:
            self._connect()
            self._write(encode_frame(command))
        except (NoSocket, FrameError) as error:
            raise UserError(f"{self._directory.name} takes no commands now: {str(error).rstrip('.')}.") from error
        self._unanswered[command.id] = command

    def take_refused(self) -> list[str]:
        """Ids of commands that the run refused, or went without an answer to, since this was last asked."""
        refused, self._refused = self._refused, []
        return refused

    def settle(self, timeout_s: float) -> None:
        """Wait until the run has taken all that was sent; UserError if it refused, went, or does not answer in time."""
        deadline_s = time.monotonic() + timeout_s
        while self._unanswered and self._connection is not None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([self._connection], [], [], left_s)[0]:
                raise UserError(f"{self._directory.name} did not answer within {timeout_s:g} seconds.")
            self._drain()
        if self._refusal:
            raise UserError(self._refusal)

    def close(self) -> None:
        """Leave; the run trains on. What was sent is read by the run all the same."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        """Connect, unless that is done, and introduce the viewer; NoSocket if there is nobody."""
        if self._connection is None:
            self._connection = connect_to(recorded_path(self._directory))
            self._decoder = FrameDecoder(FromRun)
            self._write(encode_frame(Hello(PROTOCOL, self._name)))

    def _write(self, frame: bytes) -> None:
        assert self._connection is not None
        try:
            sent = self._connection.send(frame)
        except BlockingIOError as error:
            raise NoSocket("it does not read what is sent") from error
        except OSError as error:
            self._drain()  # it may have said why
            self._lose()
            raise NoSocket(self._refusal or "it has gone") from error
        if sent < len(frame):  # what follows would be read as the rest of it
            self._lose()
            raise NoSocket("it does not read what is sent")

    def _drain(self) -> None:
        """Hear what the run has said since the last time."""
        while self._connection is not None:
            try:
                piece = self._connection.recv(_PIECE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                piece = b""
            if not piece:
                self._lose()
                return
            try:
                for message in self._decoder.feed(piece):
                    self._hear(message)
            except FrameError:
                self._lose()

    def _hear(self, message: FromRun) -> None:
        match message:
            case Taken(id=id_):
                self._unanswered.pop(id_, None)
            case Refused(id="", reason=reason):
                self._refusal, self._turned_away = reason, True
            case Refused(id=id_, reason=reason):
                command = self._unanswered.pop(id_, None)
                self._refused.append(id_)
                self._refusal = reason if command is None else f"{_spell(command)} was not taken: {reason}"
            case Trouble(text=text):
                self._trouble = text

    def _lose(self) -> None:
        """The connection has ended: what it did not answer, it may never have read."""
        self.close()
        self._trouble = None
        lost = ", ".join(_spell(command) for command in self._unanswered.values())
        self._refused += self._unanswered
        self._unanswered.clear()
        if lost and self._refusal is None:
            self._refusal = f"{self._directory.name} went without an answer to {lost}."


def _spell(command: AnyCommand) -> str:
    return f"{command.name}={spell(command.value)}" if isinstance(command, Set) else command.word
