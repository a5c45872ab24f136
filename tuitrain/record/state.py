"""The state of a run as a viewer knows it: what the journal says, folded event by event. Nothing here is a guess."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tuitrain.record.commands import AnyCommand, Set
from tuitrain.record.curves import STEP_COLUMNS, table_of
from tuitrain.record.events import (
    AnyEvent,
    Applied,
    Capabilities,
    Capability,
    Checkpoint,
    End,
    Finding,
    GradientNorms,
    LinesBegun,
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
from tuitrain.record.reader import News
from tuitrain.record.traces import Traces

Column = npt.NDArray[np.float64]

TIMELINE_LENGTH = 1000

Told = LogLine | Validation | Applied | Rejected | Checkpoint | Status | End
"""What is worth a line to read, each at its moment; of Status only that the run failed."""


class Curve:
    """The newest executed steps as columns, one float64 array a field, growing at the end.

    Holds at least the last KEPT steps, and at most twice as many. `column(name)` is a view of shape [len(curve)]; it
    stays valid, and unchanged, when the curve grows.
    """

    KEPT = 8192
    COLUMNS = STEP_COLUMNS

    def __init__(self) -> None:
        self._length = 0
        self._table = np.empty((len(self.COLUMNS), 2 * self.KEPT))

    def __len__(self) -> int:
        """How many steps are held."""
        return self._length

    def extend(self, table: Column) -> None:
        """Append steps, in order, as a table (11, N)."""
        if self._length + table.shape[1] > self._table.shape[1]:
            table = np.concatenate([self._table[:, : self._length], table], axis=1)[:, -self.KEPT :]
            self._table, self._length = np.empty_like(self._table), 0
        end = self._length + table.shape[1]
        self._table[:, self._length : end] = table
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
        self.pending: dict[str, Pending] = {}
        self.told = 0
        """How much was ever put on the timeline; it holds the last of it."""
        self.life = 0
        """How often all that was known became void, because the run went on from a checkpoint."""
        self._begin()

    def _begin(self) -> None:
        """Know nothing of the run."""
        self.curve = Curve()
        """The newest steps."""
        self.traces = Traces()
        """The curves of the whole run, for drawing."""
        self.run: Run | None = None
        self.status = Status(state="loading")
        self.switches: dict[str, Value] = {}
        self.changes: list[Applied] = []
        self.validations: list[Validation] = []
        self.reports: dict[str, TipReport] = {}
        self.capabilities: tuple[Capability, ...] = ()
        """What can be had of a script, and what not; nothing of a run that is no script."""
        self.lines_begun = ""
        """What was printed last and may still change."""
        self.tree: ModuleTree | None = None
        self.gradient_norms: GradientNorms | None = None
        self.mode: Mode | None = None
        self.findings: list[Finding] = []
        self.timeline: deque[Told] = deque(maxlen=TIMELINE_LENGTH)
        self.vitals: Vitals | None = None
        self.checkpoint: Checkpoint | None = None
        self.end: End | None = None
        self.last_step: Step | None = None
        self.died = False
        """Whether the process that trained was found gone although the run had not ended: set by whoever looks."""

    def sent(self, command: AnyCommand) -> None:
        """Remember a command as pending until the journal answers it."""
        self.pending[command.id] = Pending(command.word, command.value if isinstance(command, Set) else None)

    def not_taken(self, ids: Iterable[str]) -> None:
        """Forget commands that never reached the run: it will not answer them."""
        for id_ in ids:
            self.pending.pop(id_, None)

    def pending_value(self, word: str) -> Value | None:
        """The value last sent for a switch and not yet answered, or None."""
        values = [pending.value for pending in self.pending.values() if pending.word == word]
        return values[-1] if values else None

    def wanted(self, word: str) -> Value | None:
        """What a switch is, or will be once what is pending was applied; None while the run has not said."""
        pending = self.pending_value(word)
        return self.switches.get(word) if pending is None else pending

    def unavailable(self, word: str) -> str | None:
        """Why something cannot be had of this script, by its word or name; None if it can, or nothing is known."""
        reasons = (each.text for each in self.capabilities if (each.kind, each.name) == ("unavailable", word))
        return next(reasons, None)

    def update(self, news: News) -> None:
        """Fold in what a reader found."""
        if news.anew:
            self.life += 1
            self._begin()
        if news.overview is not None:
            self.curve, self.traces = Curve(), Traces(news.overview)
        if news.steps:
            table = table_of(news.steps)
            self.curve.extend(table)
            self.traces.extend(table)
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
            case Validation():
                self.validations.append(event)
            case TipReport():
                self.reports[event.tip] = event
            case Capabilities():
                self.capabilities = event.rows
            case LinesBegun():
                self.lines_begun = event.text
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
