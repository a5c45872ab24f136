"""Passes without a backward pass, and what dropout and batch norm do in them; the modes that training steps in."""

import inspect
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import update_bn

from tuitrain.checks.judge import Judge
from tuitrain.checks.seen.sites import script_site
from tuitrain.engine.observer import Observed, Observer
from tuitrain.engine.registry import all_modules

LOOK_EVERY = 50
"""Steps after which the modes are looked at again; two steps in a row, and so after each evaluation."""
LOOKS = 3
_UPDATES = inspect.unwrap(update_bn).__code__

_sequence_number: Callable[[], int] | None = getattr(torch._C._autograd, "_get_sequence_nr", None)
"""How many nodes autograd has made on this thread; not there in older versions of torch."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A batch, or a whole pass over a DataLoader, that no backward pass belongs to."""

    batches: int
    grad: bool
    """Whether gradients were enabled all the time: then it is a whole pass."""
    nodes: int
    """Nodes of a graph that were made meanwhile, and that no backward pass went through."""
    active: Counter[str]
    """Calls of dropout and batch norm as in training, by modules in train mode."""
    always_on: Counter[str]
    """The same, by modules in eval mode."""
    site: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainingModes:
    """The models that an optimizer is about to change."""

    models: dict[str, nn.Module]
    trained_before: frozenset[str]
    """Those that were seen in train mode at an earlier step."""


@dataclass
class _Calls:
    """What was called since it was last taken."""

    active: Counter[str] = field(default_factory=Counter)
    always_on: Counter[str] = field(default_factory=Counter)

    def take(self) -> tuple[Counter[str], Counter[str]]:
        taken = self.active, self.always_on
        self.active, self.always_on = Counter(), Counter()
        return taken


class Evaluations(Observer):
    """Has evaluations judged."""

    name = "the checks of the evaluation"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._judge = judge
        self._steps = 0
        self._within: int | None = None
        """The sampler of the pass without gradients that is under way."""
        self._calls = _Calls()
        self._pass_calls = _Calls()
        self._nodes = 0
        self._batches = 0
        self._backwards = 0
        self._since_asked = 0
        """Backward passes since a batch was asked for with gradients enabled."""
        self._pending: Evaluation | None = None
        """A pass with gradients that is over, but for which a backward pass may still come."""

    def layer_called(self, name: str, data: Tensor, *, active: bool) -> None:
        """Count what is as in training, by the mode of the module that calls it."""
        if not active or not self._steps:
            return
        if torch.is_grad_enabled():
            self._pass_calls.active[name] += 1
            return
        inner, outer = _calling()
        if inner is None or outer is None:
            return
        if not inner.training:
            self._calls.always_on[name] += 1
        elif outer.training:  # else it was switched on by itself, on purpose
            self._calls.active[name] += 1

    def asked(self, iterator: Any, *, grad: bool) -> None:  # noqa: ANN401 - an iterator of a DataLoader
        """A pass begins, or a batch of it is over."""
        if grad:
            if iterator._num_yielded and not self._since_asked:  # gradients are off in the forward pass alone
                self._judge_without_gradients(iterator._num_yielded, script_site())
            self._within = None
            self._since_asked = 0
            self._speak_of_pending()
            if iterator._num_yielded == 0:
                self._begin_pass()
            self._batches += 1
            return
        key = id(iterator._index_sampler)
        if iterator._num_yielded and self._within == key:
            self._judge_without_gradients(iterator._num_yielded, script_site())
        else:
            self._calls.take()
        self._within = key

    def pass_ended(self, iterator: Any, *, grad: bool) -> None:  # noqa: ANN401
        """Whether a pass with gradients had a backward pass."""
        if not grad:
            self._within = None
            return
        active, _ = self._pass_calls.take()
        nodes = _sequence() - self._nodes
        batches = self._batches - 1  # the last one that was asked for did not come
        if not self._backwards and batches > 1 and nodes and self._steps:
            self._pending = Evaluation(
                batches=batches, grad=True, nodes=nodes, active=active, always_on=Counter(), site=script_site()
            )

    def before_backward(self, tensors: object) -> None:
        """What was no evaluation, after all."""
        self._backwards += 1
        self._since_asked += 1
        self._pending = None
        self._within = None

    def after_step(self, optimizer: Optimizer) -> None:
        """Only what comes after a step of training is an evaluation."""
        self._steps += 1
        if self._calls.active or self._calls.always_on:
            self._calls.take()

    def ended(self) -> None:
        """No backward pass will come."""
        self._speak_of_pending()

    def _begin_pass(self) -> None:
        self._backwards = self._batches = 0
        self._nodes = _sequence()
        self._pass_calls.take()

    def _speak_of_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            self._judge(pending, pending.site)

    def _judge_without_gradients(self, batches: int, site: str) -> None:
        active, always_on = self._calls.take()
        if (active or always_on) and _updates_batch_norm():
            return
        self._judge(
            Evaluation(batches=batches, grad=False, nodes=0, active=active, always_on=always_on, site=site), site
        )


class Modes(Observer):
    """Has the modes judged that training steps in: at first, after evaluations, and now and then."""

    name = "the checks of the modes"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._run = run
        self._judge = judge
        self._steps = 0
        self._due = LOOKS
        self._trained: set[str] = set()

    def pass_ended(self, iterator: object, *, grad: bool) -> None:
        """Modes change around passes."""
        self._due = LOOKS

    def before_step(self, optimizer: Optimizer, *, by_closure: bool) -> None:
        """Look, where it is due."""
        self._steps += 1
        self._due = 2 if self._steps % LOOK_EVERY == 0 else self._due
        if not self._due:
            return
        self._due -= 1
        own = {id(each) for group in optimizer.param_groups for each in group["params"]}
        models = {name: model for name, model in self._run.models.items() if _holds_one_of(model, own)}
        self._judge(TrainingModes(models=models, trained_before=frozenset(self._trained)), id(optimizer))
        self._trained.update(name for name, model in models.items() if model.training)


def depends_on_mode(module: nn.Module) -> bool:
    """Whether a module computes another thing in train mode than in eval mode."""
    match module:
        case nn.modules.dropout._DropoutNd():
            return module.p > 0
        case nn.RNNBase() | nn.MultiheadAttention():
            return module.dropout > 0
        case nn.modules.batchnorm._NormBase():
            return module.track_running_stats  # else it takes the batch's own statistics in both modes
    return isinstance(module, nn.RReLU)


def _calling() -> tuple[nn.Module | None, nn.Module | None]:
    """The module that calls a function of torch, and the outermost one that computes; None where none does."""
    inner: nn.Module | None = None
    outer: nn.Module | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "forward":
            module = frame.f_locals.get("self")
            if isinstance(module, nn.Module):
                inner, outer = inner or module, module
        frame = frame.f_back
    return inner, outer


def _updates_batch_norm() -> bool:
    """Whether torch's own update_bn is at work, which runs a model in train mode on purpose."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _UPDATES:
            return True
        frame = frame.f_back
    return False


def _holds_one_of(model: nn.Module, ids: set[int]) -> bool:
    return any(id(each) in ids for module in all_modules(model) for each in module.parameters(recurse=False))


def _sequence() -> int:
    return 0 if _sequence_number is None else _sequence_number()
