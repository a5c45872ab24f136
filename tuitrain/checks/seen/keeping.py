"""Losses that are kept with their graphs: sums and lists in the script's variables that span several steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from tuitrain.checks.judge import Judge
from tuitrain.checks.seen.nodes import before, kind
from tuitrain.checks.seen.sites import script_frame
from tuitrain.engine.observer import Observed, Observer
from tuitrain.engine.script.frames import variables_of

LOOKS = (10, 11, 12)
"""Steps, of all optimizers together, after which the variables are looked at; and as many of each so many."""
LOOK_EVERY = 500
MOST_NODES = 50
FEWEST_IN_LIST = 8
"""A list with fewer losses may belong to one step."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A variable that holds the graphs of several steps."""

    variable: str
    what: str
    """ "a sum" or "a list"."""


class Keeping(Observer):
    """Has variables judged whose graph, or list of losses, goes on from step to step."""

    name = "the checks of what is kept"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._judge = judge
        self._steps = 0
        self._sums: dict[str, Any] = {}
        """By variable, the node of a sum at the last look."""
        self._lists: dict[str, tuple[Any, int]] = {}
        """By variable, the first node in a list at the last look, and how many there were."""

    def before_step(self, optimizer: Optimizer, *, by_closure: bool) -> None:
        """Look at the variables around the call, where it is time."""
        self._steps += 1
        at = self._steps % LOOK_EVERY
        if at in LOOKS and not by_closure:
            self._look()
        elif at == LOOKS[-1] + 1:
            self._sums, self._lists = {}, {}

    def _look(self) -> None:
        frame = script_frame()
        sums: dict[str, Any] = {}
        lists: dict[str, tuple[Any, int]] = {}
        for name, value in {} if frame is None else variables_of(frame).items():
            for variable, held in _within(name, value):
                if isinstance(held, Tensor):
                    sums[variable] = held.grad_fn
                else:
                    lists[variable] = held[0].grad_fn, len(held)
        for variable, node in sums.items():
            if (earlier := self._sums.get(variable)) is not None and _adds_up(node, earlier):
                self._judge(Kept(variable=variable, what="a sum"), variable)
        for variable, (node, count) in lists.items():
            first, fewer = self._lists.get(variable, (None, 0))
            if first is node and count > fewer >= FEWEST_IN_LIST:
                self._judge(Kept(variable=variable, what="a list"), variable)
        self._sums, self._lists = sums, lists


def _within(name: str, value: object) -> Iterator[tuple[str, Any]]:
    """The single losses, and the lists of them, in a variable or the attributes of its object."""
    if _is_loss(value) or _are_losses(value):
        yield name, value
    elif name == "self":
        for key, held in vars(value).items() if hasattr(value, "__dict__") else ():
            if _is_loss(held) or _are_losses(held):
                yield f"{name}.{key}", held


def _is_loss(value: object) -> bool:
    return isinstance(value, Tensor) and value.grad_fn is not None and value.dim() == 0


def _are_losses(value: object) -> bool:
    return type(value) is list and len(value) >= FEWEST_IN_LIST and _is_loss(value[0]) and _is_loss(value[-1])


def _adds_up(node: Any, earlier: Any) -> bool:  # noqa: ANN401 - nodes of autograd
    """Whether a node is a sum that an earlier one is a part of."""
    waiting, left = [node], MOST_NODES
    while waiting and left:
        left -= 1
        for each in before(waiting.pop()):
            if each is earlier:
                return True
            if kind(each) in ("Add", "Div", "Mul"):
                waiting.append(each)
    return False
