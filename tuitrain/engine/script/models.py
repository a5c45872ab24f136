"""The models of a script: their trees and their modes, however many there are. Held weakly: they are the script's."""

import sys
import weakref
from collections.abc import Iterator, Sequence
from types import FrameType, SimpleNamespace
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuitrain.engine.gradients import optimized
from tuitrain.engine.modes import Census, census
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.registry import Loose, loose_attributes
from tuitrain.engine.script.finding import named, root_models
from tuitrain.engine.tip import Refused
from tuitrain.engine.tree import TreeReader
from tuitrain.record.events import Mode


class Models:
    """All models that are alive, named by the script's own variables."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._roots: weakref.WeakValueDictionary[str, nn.Module] = weakref.WeakValueDictionary()
        self._paths: dict[int, str] = {}
        self._said: tuple[str, Census] | None = None
        self.loose: list[Loose] = []
        """What the leading optimizer's model holds without registering it, at the last look."""
        self.names: tuple[str, ...] = ()
        """Their names at the last look."""
        self.modes: dict[str, str] = {}
        """The mode last seen in each phase."""
        self.named_by_user: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        """Those that are to be shown, where not all that are alive are."""

    @property
    def roots(self) -> dict[str, nn.Module]:
        """The models, by name."""
        return dict(self._roots)

    def parameters(self) -> Iterator[Tensor]:
        """All parameters of all models, each once."""
        return nn.ModuleList(self.roots.values()).parameters()

    def look(self, optimizers: Sequence[Optimizer], frames: list[FrameType]) -> None:
        """Look for all models anew, and say their tree: of one model its own, of several one over all."""
        models = [*self.named_by_user] or root_models()
        self._roots = weakref.WeakValueDictionary(named(models, frames))
        self.names = tuple(self._roots)
        if not self.names:
            return
        leading = next(map(self._trained_by, optimizers), None)
        self.loose = [] if leading is None else loose_attributes(leading)
        groups = [{"params": parameters} for parameters in map(optimized, optimizers)]
        every_optimizer = cast(Optimizer, SimpleNamespace(param_groups=groups))
        reader = TreeReader(self._as_one(), every_optimizer, self._recorder)
        reader.publish()
        parameters = list(self.parameters())
        self._paths = dict(zip(map(id, parameters), reader.paths_of(parameters), strict=True))

    def trained_by(self, optimizer: Optimizer) -> nn.Module:
        """The first model of which an optimizer trains a parameter; Refused if there is none."""
        model = self._trained_by(optimizer)
        if model is None:
            raise Refused("the script holds no model whose parameters it optimizes.")
        return model

    def paths_of(self, parameters: Sequence[Tensor]) -> list[str]:
        """Where each parameter stands in the tree; those that stand nowhere are named by their shape."""
        return [self._paths.get(id(parameter), f"unknown {tuple(parameter.shape)}") for parameter in parameters]

    def say_modes(self, phase: Literal["train", "validation"]) -> Literal["", "train", "eval"]:
        """Say the mode that holds, if it is another than before: the first model's, and who differs from it."""
        found = self._census()
        if found is None:
            return ""
        self.modes[phase] = found.root
        if self._said != (phase, found):
            self._said = (phase, found)
            self._recorder.say(Mode, phase=phase, **found._asdict())
        return found.root

    def _trained_by(self, optimizer: Optimizer) -> nn.Module | None:
        trained = {id(parameter) for parameter in optimized(optimizer)}
        models = self.roots.values()
        return next((model for model in models if any(id(each) in trained for each in model.parameters())), None)

    def _census(self) -> Census | None:
        """Over all models that train: those that are frozen may well be in eval mode."""
        roots = {name: model for name, model in self.roots.items() if any(p.requires_grad for p in model.parameters())}
        if len(roots) == 1:
            return census(next(iter(roots.values())))
        counts = {name: census(model) for name, model in roots.items()}
        if not counts:
            return None
        first = next(iter(counts.values())).root
        disagree = [
            f"{name}.{path}" if path else name
            for name, model in roots.items()
            for path, module in model.named_modules()
            if module.training != (first == "train")
        ]
        return Census(first, sum(count.modules for count in counts.values()), tuple(disagree))

    def _as_one(self) -> nn.Module:
        roots = self.roots
        return next(iter(roots.values())) if len(roots) == 1 else nn.ModuleDict(roots)


def is_compiled(model: nn.Module) -> bool:
    """Whether a model, or a part of it, is compiled as a module."""
    compiled = torch._dynamo.OptimizedModule if "torch._dynamo" in sys.modules else ()
    return any(isinstance(part, compiled) or part._compiled_call_impl is not None for part in model.modules())
