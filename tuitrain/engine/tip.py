"""What a tip is to the probe: the words it answers, what it looks at, and what it reports."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from tuitrain.record.events import Step, TipReport, Validation, Value, Verdict

if TYPE_CHECKING:
    from tuitrain.engine.probed import Probed


class Refused(Exception):
    """A command cannot be applied; the message is one sentence that says why."""


class Tip:
    """One habit: its switches, its measurements, its report. Subclasses override what they need.

    All methods are called on the training thread, between steps or, for `on_batch`, within a sampled step.
    """

    name: ClassVar[str]
    words: ClassVar[tuple[str, ...]] = ()
    """The words of tuitrain.record.commands.WORDS that this tip answers."""

    def __init__(self, probe: "Probed") -> None:
        self.probe = probe
        self._said: tuple[Verdict, str, tuple[tuple[str, str], ...]] | None = None

    def read(self, word: str) -> Value:
        """The value of a switch, read from where it really holds."""
        raise NotImplementedError

    def set(self, word: str, value: Value) -> None:
        """Give a switch a value; raises Refused where it cannot be."""
        raise NotImplementedError

    def needs_batch(self, word: str, value: Value) -> bool:
        """Whether `set` must wait until the next batch was fetched."""
        return False

    def on_batch(self, inputs: Tensor, targets: Tensor) -> None:
        """Look at a batch [B, ...] as the model receives it: a few times a second, reading nothing (see read_later)."""

    def on_steps(self, steps: Sequence[Step]) -> None:
        """Look at executed steps, now that their scalars are on the host."""

    def on_validation(self, validation: Validation) -> None:
        """Look at the result of a validation."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the tip: plain data and tensors, for torch.load(weights_only=True)."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave; the model is still as it was built."""

    def report(self) -> tuple[Verdict, str, Sequence[tuple[str, str]]]:
        """Verdict, a summary of a few words, and the evidence as rows of name and text."""
        raise NotImplementedError

    @property
    def said(self) -> tuple[Verdict, str, tuple[tuple[str, str], ...]] | None:
        """The report that was said last."""
        return self._said

    def publish(self) -> None:
        """Say the report if it differs from the last one said."""
        verdict, summary, rows = self.report()
        if self._said != (said := (verdict, summary, tuple(rows))):
            self._said = said
            self.probe.recorder.say(TipReport, tip=self.name, verdict=verdict, summary=summary, rows=said[2])
