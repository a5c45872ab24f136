"""What a run says: frozen values, one class a kind of event.

Every event carries where in the run it belongs: `executed` (steps executed so far, overfit ones too), `step` (the run's
own steps so far) and `time_s` (seconds since the run began). On the wire an event is one JSON or MessagePack object
whose field "event" names its kind.
"""

from typing import Literal

import msgspec

Value = bool | float | str
"""The value of a switch: on or off, a number, or a choice by name."""

Verdict = Literal["good", "warning", "bad", "unknown"]
RunState = Literal["loading", "running", "paused", "validating", "finished", "stopped", "failed"]

LIVE_STATES = frozenset[RunState]({"loading", "running", "paused", "validating"})


def _tag(class_name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in class_name).lstrip("_")


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=_tag):
    """Something that happened in a run, and where in the run it happened."""

    executed: int = 0
    step: int = 0
    time_s: float = 0.0

    @property
    def slot(self) -> str | None:
        """For what is said again and again and of which only the latest counts: the place it takes in the journal."""
        return None


class Run(Event, frozen=True, kw_only=True):
    """What is being trained, on what; said once, when the model and the data are ready.

    `epochs`, `steps_per_epoch`, `total_steps` and `batch_size` are 0 where a script does not say them.
    """

    preset: str
    title: str
    about: str
    device: str
    data: str
    model: str
    optimizer: str
    parameters: int
    epochs: int
    steps_per_epoch: int
    total_steps: int
    batch_size: int
    seed: int
    threads: int
    torch: str


class Switches(Event, frozen=True, kw_only=True):
    """The value of every switch as the run reads it back; said at the start and after every command."""

    values: dict[str, Value]


class Step(Event, frozen=True, kw_only=True):
    """One executed training step. NaN stands for what was not measured.

    `norm_before` and `norm_after` are the total gradient norms before and after clipping; `max_norm` is the threshold
    in force, NaN where clipping by norm is off; `accuracy` is measured only while overfitting one batch.
    """

    epoch: int
    loss: float
    norm_before: float
    norm_after: float
    max_norm: float
    lr: float
    accuracy: float
    overfit: bool


class Validation(Event, frozen=True, kw_only=True):
    """The loss and the accuracy (0 to 1) over the whole validation set, in one mode."""

    epoch: int
    mode: Literal["eval", "train"]
    loss: float
    accuracy: float
    samples: int
    seconds: float
    cause: Literal["epoch", "asked", "end"]


class TipReport(Event, frozen=True, kw_only=True):
    """What a tip measured: one short summary for its row, and the evidence as rows of name and text."""

    tip: str
    verdict: Verdict
    summary: str
    rows: tuple[tuple[str, str], ...] = ()

    @property
    def slot(self) -> str:
        """One place for each tip."""
        return f"tip {self.tip}"


class Capability(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is observed or steered in a run, or is not, and why."""

    kind: Literal["observed", "steered", "unavailable", "switched_off"]
    name: str
    """What it is; for what is steered or unavailable the switch's or the command's own word, where there is one."""
    text: str = ""
    """How, or why not."""


class Capabilities(Event, frozen=True, kw_only=True):
    """What is observed of an unmodified script, what can be steered in it, and what cannot be had and why."""

    rows: tuple[Capability, ...]

    @property
    def slot(self) -> str:
        """One place."""
        return "capabilities"


class ModuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the model tree: a module, a parameter or a buffer, or one that is used but was never registered."""

    path: str
    kind: Literal["module", "parameter", "buffer"]
    type: str
    registered: bool = True
    shape: tuple[int, ...] = ()
    dtype: str = ""
    device: str = ""
    count: int = 0
    """Number of elements; for a module, of all parameters below it, each counted once."""
    trainable: bool = False
    in_optimizer: bool = False
    training: bool | None = None
    """The module's own training flag; None for parameters and buffers."""
    tied_to: str = ""
    """Path of the first place where the same tensor or module stands, if this is a later one."""
    used: bool | None = None
    """For what is not registered: whether a backward pass reached it; None where it was not yet seen."""


class ModuleTree(Event, frozen=True, kw_only=True):
    """The model as it is registered, in depth-first order; said at the start and after each change."""

    rows: tuple[ModuleRow, ...]


class GradientNorms(Event, frozen=True, kw_only=True):
    """L2 norm of the gradient of each parameter before clipping, by path, sampled about once a second."""

    norms: dict[str, float]

    @property
    def slot(self) -> str:
        """One place."""
        return "gradient norms"


class Mode(Event, frozen=True, kw_only=True):
    """The mode that really holds, read from the modules' own flags."""

    phase: Literal["train", "validation"]
    root: Literal["train", "eval"]
    modules: int
    disagree: tuple[str, ...]
    """Paths of modules whose flag differs from the root's."""


class Finding(Event, frozen=True, kw_only=True):
    """Something that is wrong, the evidence for it, and what to do."""

    rule: str
    severity: Literal["error", "warning", "hint"]
    message: str
    where: str = ""
    remedy: str = ""
    key: str = ""


class Applied(Event, frozen=True, kw_only=True):
    """A command took effect between two steps; `value` was read back from where it holds."""

    id: str
    word: str
    value: Value
    by: str


class Rejected(Event, frozen=True, kw_only=True):
    """A command did not take effect, and why."""

    id: str
    word: str
    by: str
    reason: str


class LogLine(Event, frozen=True, kw_only=True):
    """A line of text: from the run itself ("run"), or what was printed to stdout or stderr."""

    stream: Literal["run", "stdout", "stderr"]
    text: str


class LinesBegun(Event, frozen=True, kw_only=True):
    """What stands on those lines of what is printed that may still change, a progress bar say; empty once none may."""

    text: str

    @property
    def slot(self) -> str:
        """One place."""
        return "lines begun"


class Status(Event, frozen=True, kw_only=True):
    """The state of the run, with one sentence where there is something to say; progress is 0 to 1 or NaN."""

    state: RunState
    message: str = ""
    progress: float = float("nan")


class Vitals(Event, frozen=True, kw_only=True):
    """What the process and the device use, about once a second."""

    memory_bytes: int
    device_memory_bytes: int | None = None

    @property
    def slot(self) -> str:
        """One place."""
        return "vitals"


class Checkpoint(Event, frozen=True, kw_only=True):
    """A checkpoint was written whole and its digest recorded."""

    path: str
    sha256: str
    bytes: int


class End(Event, frozen=True, kw_only=True):
    """The last event of a run."""

    steps: int
    executed_steps: int
    val_accuracy: float | None
    val_loss: float | None
    weights_sha256: str | None
    """SHA-256 over the bytes of all parameters and buffers in state_dict order."""
    reason: str


AnyEvent = (
    Run
    | Switches
    | Step
    | Validation
    | TipReport
    | Capabilities
    | ModuleTree
    | GradientNorms
    | Mode
    | Finding
    | Applied
    | Rejected
    | LogLine
    | LinesBegun
    | Status
    | Vitals
    | Checkpoint
    | End
)
