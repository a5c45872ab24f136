"""What a viewer and a run say to each other over the control socket, besides the commands themselves.

The viewer says Hello, then commands. The run answers Welcome, then each command with Taken or Refused, and says Trouble
whenever it changes. What a command did is no matter of this talk: the journal tells it to every viewer alike.
"""

import msgspec

from tuitrain.record.commands import AnyCommand
from tuitrain.record.text import printable

PROTOCOL = 1
"""Raised when either side could no longer understand the other."""
MOST_NAME_CHARACTERS = 40


def speaker(name: str, pid: int) -> str:
    """Whom the journal names for the commands of a viewer: the name it gives itself, and the process it really is."""
    return f"{printable(name)[:MOST_NAME_CHARACTERS].strip() or 'viewer'} ({pid})"


class Hello(msgspec.Struct, frozen=True, tag_field="command", tag="hello"):
    """The first words of a viewer: the protocol it speaks, and what it calls itself (its terminal, say)."""

    protocol: int
    name: str


class Welcome(msgspec.Struct, frozen=True, tag_field="answer", tag="welcome"):
    """The answer to Hello: commands are taken from now on."""

    protocol: int


class Taken(msgspec.Struct, frozen=True, tag_field="answer", tag="taken"):
    """A command waits for the next boundary between two steps; its answer will be in the journal."""

    id: str


class Refused(msgspec.Struct, frozen=True, tag_field="answer", tag="refused"):
    """A command was not taken, or with an empty id the viewer itself was not, and why: one sentence."""

    id: str
    reason: str


class Trouble(msgspec.Struct, frozen=True, tag_field="answer", tag="trouble"):
    """What goes wrong with the recording of the run, in one sentence; None when all is well again."""

    text: str | None


FromViewer = Hello | AnyCommand
FromRun = Welcome | Taken | Refused | Trouble
