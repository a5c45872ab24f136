"""Tip 4, train and eval mode: the mode that really holds, and what it makes of validation.

Eval mode changes what dropout and batch norm do; `torch.no_grad` saves memory: two different things.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec
from torch import nn

from tuitrain.engine.modes import census
from tuitrain.engine.probed import Probed
from tuitrain.engine.registry import all_modules
from tuitrain.engine.tip import Tip
from tuitrain.record.events import Validation, Value, Verdict


class _Pair(NamedTuple):
    """The same weights, validated in both modes."""

    eval: Validation
    train: Validation

    @property
    def gap(self) -> float:
        """In points of accuracy: what train mode takes away."""
        return 100 * (self.eval.accuracy - self.train.accuracy)


class Modes(Tip):
    """Whether validation runs in eval mode, and the gap between the two modes where both were measured."""

    name: ClassVar[str] = "modes"
    words: ClassVar[tuple[str, ...]] = ("eval",)

    def __init__(self, probe: Probed) -> None:
        super().__init__(probe)
        self._last: dict[Literal["eval", "train"], Validation] = {}
        self._pair: _Pair | None = None

    def read(self, word: str) -> Value:
        """Whether the next validation runs in eval mode."""
        return bool(self.probe.eval_in_validation)

    def set(self, word: str, value: Value) -> None:
        """Acts on the next validation."""
        self.probe.set_eval_in_validation(bool(value))

    def on_validation(self, validation: Validation) -> None:
        """Keep the last result of each mode, and the last two of the same weights."""
        self._last[validation.mode] = validation
        evaluated, trained = self._last.get("eval"), self._last.get("train")
        if evaluated and trained and evaluated.executed == trained.executed:
            self._pair = _Pair(evaluated, trained)

    def state(self) -> dict[str, Any]:
        """The results kept."""
        return {"last": msgspec.to_builtins(self._last), "pair": msgspec.to_builtins(self._pair)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from the results kept."""
        self._last = msgspec.convert(state["last"], dict[Literal["eval", "train"], Validation])
        self._pair = msgspec.convert(state["pair"], _Pair | None)

    def report(self) -> tuple[Verdict, str, Sequence[tuple[str, str]]]:
        """The gap in points of accuracy between the modes, where both were measured on the same weights."""
        depends = _mode_dependent(self.probe.training.model)
        rows = [("mode changes", depends or "no module of this model: both modes give the same"), *self._disagreement()]
        rows += [(f"{mode} mode", _result(validation)) for mode, validation in self._last.items()]
        rows += self.probe.facts(self.name)
        in_eval = self.probe.eval_in_validation
        if in_eval is None:
            return "unknown", "no validation seen yet", rows
        gap = self._pair.gap if self._pair else 0.0
        verdict: Verdict = "good" if in_eval or not (depends or gap) else "bad"
        if self._pair and (depends or gap):
            return verdict, f"gap {gap:+.1f} pts at step {self._pair.eval.step:,}", rows
        if not depends:
            return verdict, "both modes give the same", rows
        if not in_eval:
            return verdict, "validates in train mode: press e", rows
        return verdict, f"validates in eval mode{'; v: the gap' if self.probe.validates_on_demand else ''}", rows

    def _disagreement(self) -> list[tuple[str, str]]:
        root, _, disagree = census(self.probe.training.model)
        if not disagree:
            return []
        more = f" and {len(disagree) - 3} more" if len(disagree) > 3 else ""
        verb = "is" if len(disagree) == 1 else "are"
        return [
            (f"{len(disagree)} disagree", f"{', '.join(disagree[:3])}{more} {verb} not in {root} mode as the model is")
        ]


def _result(validation: Validation) -> str:
    accuracy = "" if math.isnan(validation.accuracy) else f"{100 * validation.accuracy:.2f} %, "
    return f"{accuracy}loss {validation.loss:.4g}, at step {validation.step:,}"


def _mode_dependent(model: nn.Module) -> str:
    """The modules whose result depends on their mode, counted by type."""
    names = [type(module).__name__ for module in all_modules(model) if _depends_on_mode(module)]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def _depends_on_mode(module: nn.Module) -> bool:
    match module:
        case nn.modules.dropout._DropoutNd():
            return module.p > 0
        case nn.RNNBase() | nn.MultiheadAttention():
            return module.dropout > 0
        case nn.modules.batchnorm._NormBase():
            return module.track_running_stats  # else it takes the batch's own statistics in both modes
    return isinstance(module, nn.RReLU)
