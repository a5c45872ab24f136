"""The way down: commands to a run in this process.

A viewer holds a `Link`; the run holds the `Inbox` at its other end and empties it between two steps.
"""

import queue
from collections.abc import Sequence
from typing import Protocol

from tuitrain.record.commands import AnyCommand, Stop


class Link(Protocol):
    """Where a viewer sends its commands; the answer is an Applied or Rejected event in the journal."""

    def send(self, command: AnyCommand) -> None:
        """Hand in a command; it waits for the next boundary between two steps."""


class Inbox:
    """Commands waiting for the next boundary between two steps: those sent, and those scheduled.

    `scheduled` holds (executed steps, command) pairs, as given by `--at`. Several threads may send; one takes.
    """

    def __init__(self, scheduled: Sequence[tuple[int, AnyCommand]] = ()) -> None:
        self._sent: queue.SimpleQueue[AnyCommand] = queue.SimpleQueue()
        self._scheduled = sorted(scheduled, key=lambda pair: pair[0])
        self.stop_sent = False
        """Whether a Stop was sent: what takes long between two steps looks here."""

    def send(self, command: AnyCommand) -> None:
        """Hand in a command from any thread."""
        self._sent.put(command)
        self.stop_sent = self.stop_sent or isinstance(command, Stop)

    def due(self, executed: int) -> list[AnyCommand]:
        """Take what is to be applied now that `executed` steps were executed, in order; usually nothing."""
        commands: list[AnyCommand] = []
        while self._scheduled and self._scheduled[0][0] <= executed:
            commands.append(self._scheduled.pop(0)[1])
        while not self._sent.empty():
            commands.append(self._sent.get())
        return commands

    def wait(self, timeout_s: float) -> list[AnyCommand]:
        """Wait for a command to be sent, at most `timeout_s` seconds; an empty list if none was."""
        try:
            return [self._sent.get(timeout=timeout_s)]
        except queue.Empty:
            return []

    @property
    def scheduled(self) -> list[tuple[int, AnyCommand]]:
        """What is scheduled and was not yet due."""
        return list(self._scheduled)
