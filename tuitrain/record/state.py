"""The state of a run as a viewer knows it: what the journal says, folded event by event. Nothing here is a guess."""

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tuitrain.record.commands import AnyCommand, Set
from tuitrain.record.events import (
    AnyEvent,
    Applied,
    Checkpoint,
    End,
    Finding,
    GradientNorms,
    LogLine,
    Mode,
    ModuleTree,
    Rejected,
    Run,
    Status,
    Step,
    Switches,
    TipReport,
    Validation,
    Value,
    Vitals,
)
from tuitrain.record.journal import News

Column = npt.NDArray[np.float64]

TIMELINE_LENGTH = 1000

Told = LogLine | Validation | Applied | Rejected | Checkpoint | Status | End
"""What is worth a line to read, each at its moment; of Status only that the run failed."""


class Curve:
    """The executed steps as columns, one float64 array a field, growing at the end.

    `column(name)` is a view of shape [len(curve)]; it stays valid, and unchanged, when the curve grows.
    """

    COLUMNS = (
        "executed", "step", "time_s", "loss", "norm_before", "norm_after", "max_norm", "lr", "accuracy", "overfit",
    )  # fmt: skip

    def __init__(self) -> None:
        self._length = 0
        self._table = np.empty((len(self.COLUMNS), 1024))

    def __len__(self) -> int:
        return self._length

    def extend(self, steps: list[Step]) -> None:
        """Append steps, in order."""
        end = self._length + len(steps)
        if end > self._table.shape[1]:
            grown = np.empty((len(self.COLUMNS), max(end, 2 * self._table.shape[1])))
            grown[:, : self._length] = self._table[:, : self._length]
            self._table = grown
        for row, name in enumerate(self.COLUMNS):
            self._table[row, self._length : end] = [getattr(step, name) for step in steps]
        self._length = end

    def column(self, name: str) -> Column:
        """All values of one field, in order of execution."""
        return self._table[self.COLUMNS.index(name), : self._length]


class Pending(NamedTuple):
    """A command that was sent and not yet answered."""

    word: str
    value: Value | None


class RunView:
    """Everything a viewer shows of one run."""

    def __init__(self) -> None:
        self.curve = Curve()
        self.run: Run | None = None
        self.status = Status(state="loading")
        self.switches: dict[str, Value] = {}
        self.pending: dict[str, Pending] = {}
        self.changes: list[Applied] = []
        self.rejected: Rejected | None = None
        self.validations: list[Validation] = []
        self.reports: dict[str, TipReport] = {}
        self.tree: ModuleTree | None = None
        self.gradient_norms: GradientNorms | None = None
        self.mode: Mode | None = None
        self.findings: list[Finding] = []
        self.timeline: deque[Told] = deque(maxlen=TIMELINE_LENGTH)
        self.told = 0
        """How much was ever put on the timeline; it holds the last of it."""
        self.vitals: Vitals | None = None
        self.checkpoint: Checkpoint | None = None
        self.end: End | None = None
        self.last_step: Step | None = None

    def sent(self, command: AnyCommand) -> None:
        """Remember a command as pending until the journal answers it."""
        self.pending[command.id] = Pending(command.word, command.value if isinstance(command, Set) else None)

    def pending_value(self, word: str) -> Value | None:
        """The value last sent for a switch and not yet answered, or None."""
        values = [pending.value for pending in self.pending.values() if pending.word == word]
        return values[-1] if values else None

    def wanted(self, word: str) -> Value | None:
        """What a switch is, or will be once what is pending was applied; None while the run has not said."""
        pending = self.pending_value(word)
        return self.switches.get(word) if pending is None else pending

    def update(self, news: News) -> None:
        """Fold in what a reader found."""
        self.curve.extend(news.steps)
        if news.steps:
            self.last_step = news.steps[-1]
        for event in news.events:
            self._fold(event)

    def _fold(self, event: AnyEvent) -> None:
        if isinstance(event, Told) and not (isinstance(event, Status) and event.state != "failed"):
            self.timeline.append(event)
            self.told += 1
        match event:
            case Run():
                self.run = event
            case Status():
                self.status = event
            case Switches():
                self.switches = event.values
            case Applied():
                self.pending.pop(event.id, None)
                self.changes.append(event)
            case Rejected():
                self.pending.pop(event.id, None)
                self.rejected = event
            case Validation():
                self.validations.append(event)
            case TipReport():
                self.reports[event.tip] = event
            case ModuleTree():
                self.tree = event
            case GradientNorms():
                self.gradient_norms = event
            case Mode():
                self.mode = event
            case Finding():
                self.findings.append(event)
            case LogLine():
                pass  # stands on the timeline alone
            case Vitals():
                self.vitals = event
            case Checkpoint():
                self.checkpoint = event
            case End():
                self.end = event
            case Step():
                raise TypeError("steps come in the table of steps, not among the events")
