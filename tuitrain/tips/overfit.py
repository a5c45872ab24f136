"""Tip 1, overfit one batch: a model that cannot learn one batch by heart has a bug, whatever the data."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import msgspec

from tuitrain.engine.probed import Probed
from tuitrain.engine.tip import Refused, Tip
from tuitrain.record.events import Step, Value, Verdict

PASS_SHARE = 0.05
"""Passed when the loss is below this share of where it started."""

SUSPECTS = (
    ("suspect", "a layer that hides the input: follow one sample from input to loss"),
    ("", "weights frozen, unregistered (r), or not in the optimizer"),
    ("", "the loss: order of its arguments, a softmax too many, wrong targets"),
    ("", "learning rate too high or too low (+ -), dropout too strong"),
)
NOT_FINITE = ("suspect", "loss not finite: lower the learning rate (-), clip (c), look for log(0) or 0/0")


class OverfitOneBatch(Tip):
    """Holds one batch and trains on it alone; off puts everything back, keep goes on with what it made."""

    name: ClassVar[str] = "overfit"
    words: ClassVar[tuple[str, ...]] = ("overfit",)

    def __init__(self, probe: Probed) -> None:
        super().__init__(probe)
        self._first: Step | None = None
        self._last: Step | None = None
        self._outcome: Literal["pass", "fail", "none"] = "none"
        self._outcome_steps = 0

    def read(self, word: str) -> Value:
        """Whether one batch is held."""
        return self.probe.overfitting

    def needs_batch(self, word: str, value: Value) -> bool:
        """Switching on waits for the batch that will be held."""
        return value is True and not self.probe.overfitting

    def set(self, word: str, value: Value) -> None:
        """On: capture and hold. Off: restore. "keep": go on from the overfitted weights."""
        if value == "keep":
            if not self.probe.overfitting:
                raise Refused("no batch is being overfitted, so there are no weights to keep.")
            self.probe.release_batch(restore=False)
        elif value and not self.probe.overfitting:
            self._first = self._last = None
            self._outcome = "none"
            self.probe.hold_batch()
        elif not value:
            self.probe.release_batch(restore=True)

    def on_steps(self, steps: Sequence[Step]) -> None:
        """Follow the held batch's curve until the verdict."""
        for step in steps:
            if step.overfit:
                self._first = self._first or step
                self._last = step
                if self._outcome == "none":
                    self._judge(step, self._first)

    def state(self) -> dict[str, Any]:
        """The curve's two ends, and the verdict."""
        return {
            "first": msgspec.to_builtins(self._first),
            "last": msgspec.to_builtins(self._last),
            "outcome": self._outcome,
            "outcome_steps": self._outcome_steps,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on with the curve."""
        self._first = msgspec.convert(state["first"], Step | None)
        self._last = msgspec.convert(state["last"], Step | None)
        self._outcome, self._outcome_steps = state["outcome"], state["outcome_steps"]

    def report(self) -> tuple[Verdict, str, Sequence[tuple[str, str]]]:
        """PASS or FAIL, the steps it took, and where the loss went."""
        if self._first is None or self._last is None:
            return "unknown", "can it learn one batch by heart?", ()
        first, last, steps = self._first, self._last, self._last.executed - self._first.executed + 1
        rows = [
            ("loss", f"from {first.loss:.4g} to {last.loss:.3g} in {steps:,} steps"),
            *([] if math.isnan(last.accuracy) else [("accuracy", f"{100 * last.accuracy:.1f} % of this batch")]),
            (
                "passes at",
                f"loss below {PASS_SHARE * first.loss:.3g} ({100 * PASS_SHARE:.0f} % of its start), or 100 % accuracy",
            ),
        ]
        match self._outcome:
            case "pass":
                return "good", f"PASS in {_count(self._outcome_steps)}", rows
            case "fail":
                return "bad", f"FAIL after {_count(self._outcome_steps)}", [*rows, *self._suspects()]
        limit = self.probe.training.overfit_steps
        return "unknown", f"loss {last.loss:.3g}, step {steps:,} of {limit:,}", rows

    def _suspects(self) -> Sequence[tuple[str, str]]:
        return SUSPECTS if self._last and math.isfinite(self._last.loss) else (NOT_FINITE, *SUSPECTS[1:])

    def _judge(self, step: Step, first: Step) -> None:
        steps = step.executed - first.executed + 1
        finite = math.isfinite(step.loss)  # NaN logits may still score: their argmax is class 0
        if finite and (step.loss < PASS_SHARE * first.loss or step.accuracy == 1.0):
            self._outcome, self._outcome_steps = "pass", steps
        elif not finite or steps >= self.probe.training.overfit_steps:
            self._outcome, self._outcome_steps = "fail", steps


def _count(steps: int) -> str:
    return "1 step" if steps == 1 else f"{steps:,} steps"
