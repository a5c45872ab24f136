"""What is registered where, and which of it training reaches: looked at when the first steps were made, and seldom."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn
from torch.optim import Optimizer

from tuitrain.checks.judge import Judge
from tuitrain.engine.gradients import optimized
from tuitrain.engine.observer import Observed, Observer
from tuitrain.engine.registry import Loose, all_modules, loose_attributes
from tuitrain.engine.script.finding import living

LOOKS = (3, 4, 21, 22, 101, 102)
"""Steps of an optimizer before which the structure is looked at, in pairs: a thing is said when it is seen twice."""


@dataclass(frozen=True, kw_only=True)
class Structure:
    """All models and all optimizers, when an optimizer is about to step."""

    models: dict[str, nn.Module]
    optimizers: Sequence[Optimizer]
    stepping: Optimizer
    steps: int
    """Steps of this optimizer, this one included."""
    reached: frozenset[int]
    """Ids of those parameters of this optimizer and its models that ever had a gradient, at these looks."""

    @cached_property
    def optimized(self) -> frozenset[int]:
        """Ids of all parameters that some optimizer holds."""
        return frozenset(id(parameter) for optimizer in self.optimizers for parameter in optimized(optimizer))

    @cached_property
    def trained_models(self) -> dict[str, nn.Module]:
        """The models of which the stepping optimizer holds a part."""
        own = set(map(id, optimized(self.stepping)))
        return {
            name: model
            for name, model in self.models.items()
            if any(id(each) in own for module in all_modules(model) for each in module.parameters(recurse=False))
        }

    @cached_property
    def loose(self) -> list[tuple[str, Loose]]:
        """What those models hold without registering it, with the model's name."""
        return [(name, each) for name, model in self.trained_models.items() for each in loose_attributes(model)]

    @cached_property
    def registered(self) -> frozenset[int]:
        """Ids of the parameters of all modules that are alive."""
        modules = living(nn.Module)
        return frozenset(id(each) for module in modules for each in (vars(module).get("_parameters") or {}).values())

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Every registered parameter of the trained models, with its path."""
        for name, model in self.trained_models.items():
            for path, parameter in model.named_parameters():
                yield joined(name, path), parameter


def joined(name: str, path: str) -> str:
    """A path below a model of this name."""
    return f"{name}.{path}" if name and path else name or path


def parameters_in(loose: Loose) -> list[Tensor]:
    """All trainable tensors in what is held loosely."""
    found = [item.parameters() if isinstance(item, nn.Module) else iter([item]) for _, item in loose.held]
    return list({id(each): each for some in found for each in some if each.requires_grad}.values())


class Structures(Observer):
    """Has the structure judged now and then."""

    name = "the checks of the structure"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._run = run
        self._judge = judge
        self._steps: dict[int, int] = {}
        self._reached: set[int] = set()

    def before_step(self, optimizer: Optimizer, *, by_closure: bool) -> None:
        """Gradients are there: what they have reached is known."""
        steps = self._steps[id(optimizer)] = self._steps.get(id(optimizer), 0) + 1
        if steps > LOOKS[-1] or not self._run.models or (steps > LOOKS[3] and steps not in LOOKS):
            return
        models = self._run.models
        for model in models.values():
            for module in all_modules(model):
                self._reached.update(id(each) for each in module.parameters(recurse=False) if each.grad is not None)
        self._reached.update(id(each) for each in optimized(optimizer) if each.grad is not None)
        for model in models.values():
            for loose in loose_attributes(model):
                self._reached.update(id(each) for each in parameters_in(loose) if each.grad is not None)
        if steps in LOOKS and not by_closure:
            self._judge(
                Structure(
                    models=models,
                    optimizers=self._run.optimizers,
                    stepping=optimizer,
                    steps=steps,
                    reached=frozenset(self._reached),
                ),
                id(optimizer),
            )
