"""Tip 3, clip gradients: the total norm before and after, and how many steps the threshold touches.

Clipping by norm scales all gradients by one factor when their total norm exceeds max_norm (Pascanu et al. 2013,
https://arxiv.org/abs/1211.5063). It does not clamp each value into [-max_norm, max_norm]: that is clipping by value.
"""

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Any, ClassVar

import msgspec

from tuitrain.engine.probed import Probed
from tuitrain.engine.tip import Tip
from tuitrain.record.events import Step, Value, Verdict

WINDOW_STEPS = 200
ALWAYS_SHARE = 0.99
HEAVY_FACTOR = 10.0
"""Clipping every step by more than this factor makes max_norm, not the gradient, decide the step's size under SGD."""
EXPLODING_FACTOR = 10.0
"""A norm above this many times the median of those before it is called a spike."""
ENOUGH_STEPS = 20
"""How many norms make a median worth comparing with."""
MANY_SPIKES = 3


class GradientClipping(Tip):
    """Clipping on or off, by norm or by value, and its threshold."""

    name: ClassVar[str] = "clipping"
    words: ClassVar[tuple[str, ...]] = ("clip", "max_norm", "clip_by")

    def __init__(self, probe: Probed) -> None:
        super().__init__(probe)
        self._recent: deque[Step] = deque(maxlen=WINDOW_STEPS)
        self._spikes: deque[int] = deque(maxlen=WINDOW_STEPS)
        """Steps, as executed, whose norm stood out from those before it."""

    def read(self, word: str) -> Value:
        """The setting that the next step is clipped with."""
        clipping = self.probe.clipping
        return {"clip": clipping.on, "max_norm": clipping.max_norm, "clip_by": clipping.by}[word]

    def set(self, word: str, value: Value) -> None:
        """Acts on the next step."""
        clipping = self.probe.clipping
        match word, value:
            case "clip", bool():
                clipping.on = value
            case "max_norm", float():
                clipping.max_norm = value
            case "clip_by", "norm" | "value" as by:
                clipping.by = by
        self._forget()

    def on_steps(self, steps: Sequence[Step]) -> None:
        """Keep the last steps; those of an overfitted batch and the run's own are not mixed."""
        typical = self._typical_norm()  # once for all of them: they come several times a second
        for step in steps:
            if self._recent and self._recent[-1].overfit != step.overfit:
                self._forget()
                typical = math.inf
            if not math.isfinite(step.norm_before) or step.norm_before > EXPLODING_FACTOR * typical:
                self._spikes.append(step.executed)
            self._recent.append(step)

    def state(self) -> dict[str, Any]:
        """The steps kept, and which of them stood out."""
        return {"recent": msgspec.to_builtins(list(self._recent)), "spikes": list(self._spikes)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from the steps kept."""
        self._recent.extend(msgspec.convert(state["recent"], list[Step]))
        self._spikes.extend(state["spikes"])

    def report(self) -> tuple[Verdict, str, Sequence[tuple[str, str]]]:
        """The share of clipped steps, the typical norm, and whether it explodes."""
        if not self._recent:
            return "unknown", "no step seen yet", ()
        norms = [step.norm_before for step in self._recent]
        spikes = sum(executed >= self._recent[0].executed for executed in self._spikes)
        finite = [norm for norm in norms if math.isfinite(norm)]
        typical = median(finite) if finite else math.nan
        rows = [
            ("norm", f"median {typical:.3g}, highest {max(norms, key=_size):.3g} in {len(norms)} steps"),
            ("clipping", self._meaning()),
        ]
        if all(step.norm_before == 0.0 < step.loss for step in self._recent):
            return "bad", "no gradient reaches the weights", rows
        if spikes >= MANY_SPIKES or len(finite) < len(norms):
            return "bad", f"norm explodes: {spikes} of {len(norms)} steps", rows
        if not self.probe.clipping.on:
            return "unknown", f"off; norm {typical:.2g}", rows
        if self.probe.clipping.by == "value":
            changed = sum(step.norm_after < step.norm_before for step in self._recent)
            return "good", f"{100 * changed / len(norms):.0f} % of steps clamped", rows
        return self._report_by_norm(rows)

    def _typical_norm(self) -> float:
        """The median of the norms kept, above which a spike is looked for; infinite while they are too few."""
        norms = [step.norm_before for step in self._recent if math.isfinite(step.norm_before)]
        return median(norms) if len(norms) >= ENOUGH_STEPS and median(norms) > 0 else math.inf

    def _forget(self) -> None:
        self._recent.clear()
        self._spikes.clear()

    def _report_by_norm(self, rows: list[tuple[str, str]]) -> tuple[Verdict, str, Sequence[tuple[str, str]]]:
        clipped = [step for step in self._recent if step.norm_before > step.max_norm]
        share = len(clipped) / len(self._recent)
        heavy = share >= ALWAYS_SHARE and all(step.norm_before > HEAVY_FACTOR * step.max_norm for step in clipped)
        plain_sgd = type(self.probe.training.optimizer).__name__ == "SGD"
        if heavy and plain_sgd:
            rows.append(("so", "with SGD, max_norm alone now sets how far a step goes: raise it with ]"))
        return "warning" if heavy and plain_sgd else "good", f"{100 * share:.0f} % of steps", rows

    def _meaning(self) -> str:
        clipping = self.probe.clipping
        if not clipping.on:
            return "off: gradients reach the optimizer as they are"
        if clipping.by == "value":
            bound = f"{clipping.max_norm:g}"
            return f"clamps each value into [-{bound}, {bound}]; this turns the gradient's direction"
        return f"scales all by one factor where the total norm is above {clipping.max_norm:g}; none is clamped"


def _size(norm: float) -> float:
    return math.inf if math.isnan(norm) else norm
