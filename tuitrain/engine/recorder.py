"""The run's voice: events stamped with where the run is, handed to the journal."""

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Literal

from tuitrain.record.events import AnyEvent, LogLine, Step
from tuitrain.record.journal import Journal
from tuitrain.record.text import printable


@dataclass
class Position:
    """Where the run is: its own steps, the executed ones (overfit steps too), and the epoch, counted from 1."""

    step: int = 0
    executed: int = 0
    epoch: int = 0


@dataclass
class Recorder:
    """Stamps events and hands them to the journal; safe to call from any thread."""

    journal: Journal
    position: Position = field(default_factory=Position)
    _began_s: float = field(default_factory=time.perf_counter)

    @property
    def now_s(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._began_s

    def go_on_from(self, position: Position, time_s: float) -> None:
        """Be at a position of the run, so many seconds after it began."""
        self.position.step, self.position.executed, self.position.epoch = astuple(position)
        self._began_s = time.perf_counter() - time_s

    def say(self, kind: type[AnyEvent], **fields: Any) -> None:  # noqa: ANN401 - the fields of the event
        """Record an event of a kind (any but Step) as of now."""
        position = self.position
        self.journal.say(kind(executed=position.executed, step=position.step, time_s=self.now_s, **fields))

    def log(self, text: str) -> None:
        """Record text of the run itself, a LogLine a line."""
        for line in text.splitlines():
            self.say(LogLine, stream="run", text=printable(line))

    def printed(self, stream: Literal["stdout", "stderr"], text: str) -> None:
        """Record a line that something in this process printed."""
        self.say(LogLine, stream=stream, text=printable(text))

    def steps(self, steps: Sequence[Step]) -> None:
        """Record executed steps, in order."""
        self.journal.steps(steps)
