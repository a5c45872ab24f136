"""The way down: commands to a run, in this process or in another.

A viewer holds a `Link`; the run holds the `Inbox` at its other end and empties it between two steps.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from tuitrain.errors import UserError
from tuitrain.record.commands import AnyCommand, Stop
from tuitrain.record.socket_link import SocketLink

__all__ = ["MOST_WAITING", "Inbox", "Link", "ReadOnly", "SocketLink"]

MOST_WAITING = 1000
"""The most commands that wait for one boundary between two steps; more are refused."""


class Link(Protocol):
    """Where a viewer sends its commands; the answer is an Applied or Rejected event in the journal."""

    def send(self, command: AnyCommand) -> None:
        """Hand in a command; it waits for the next boundary between two steps. UserError if it cannot be delivered."""

    @property
    def trouble(self) -> str | None:
        """What goes wrong with the recording of the run, or with a command on its way, in one sentence; never blocks.

        A viewer asks at each look, and shows it as long as it is said.
        """

    def take_refused(self) -> list[str]:
        """Ids of commands that the run did not take, since this was last asked: no journal will answer them."""


class Inbox:
    """Commands waiting for the next boundary between two steps: those sent, and those scheduled.

    `scheduled` holds (executed steps, command) pairs, as given by `--at`; `trouble` is asked for what goes wrong with
    the recording of the run. Several threads may send; one takes.
    """

    def __init__(
        self,
        scheduled: Sequence[tuple[int, AnyCommand]] = (),
        *,
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._sent: queue.SimpleQueue[AnyCommand] = queue.SimpleQueue()
        self._scheduled = sorted(scheduled, key=lambda pair: pair[0])
        self._trouble = trouble
        self._closed = False
        self._closing = threading.RLock()  # reentrant: a signal handler sends, whatever its thread was just doing
        self.stop_sent = False
        """Whether a Stop was sent: what takes long between two steps looks here."""

    @property
    def trouble(self) -> str | None:
        """What goes wrong with the recording of the run, in one sentence."""
        return self._trouble()

    def take_refused(self) -> list[str]:
        """None: what is not taken here, `send` refuses at once."""
        return []

    def send(self, command: AnyCommand) -> None:
        """Hand in a command from any thread. UserError if the run has ended or too many wait; never for a Stop."""
        with self._closing:
            stop = isinstance(command, Stop)
            self.stop_sent = self.stop_sent or stop
            if self._closed and stop:
                return
            if self._closed:
                raise UserError("The run has ended: it takes no more commands.")
            if self._sent.qsize() >= MOST_WAITING and not stop:
                raise UserError(f"{MOST_WAITING:,} commands wait already: wait until the run has taken them.")
            self._sent.put(command)

    def close(self) -> None:
        """The run has ended: take nothing more. What was sent before can still be taken, and answered."""
        with self._closing:
            self._closed = True

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


class ReadOnly:
    """A link for a viewer that only looks: it passes on what the host says, and refuses every command."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def trouble(self) -> str | None:
        """What goes wrong with the recording of the run, in one sentence."""
        return self._link.trouble

    def take_refused(self) -> list[str]:
        """None: nothing is sent."""
        return []

    def send(self, command: AnyCommand) -> None:
        """Refuse: UserError."""
        raise UserError("This screen is read-only: open it again without --read-only to change the run.")
