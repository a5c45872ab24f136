"""The graph that a backward pass begins from, and the losses in it: read before the pass, names and shapes only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tuitrain.checks.judge import Judge
from tuitrain.checks.seen.nodes import kind, origin, walk
from tuitrain.checks.seen.sites import script_site
from tuitrain.engine.observer import Observed, Observer

MOST_GRAPHS = 4
"""Backward passes at a line of the script whose graph is looked at."""
MOST_LINES = 10
MOST_NODES = 2000

LOSSES = {
    "NllLoss": "nll_loss",
    "NllLoss2D": "nll_loss",
    "BinaryCrossEntropy": "binary_cross_entropy",
    "BinaryCrossEntropyWithLogits": "binary_cross_entropy_with_logits",
    "MseLoss": "mse_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "HuberLoss": "huber_loss",
    "KlDiv": "kl_div",
}
"""Nodes of losses, and what the functions are called that make them; each is given (prediction, target)."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A loss of torch in the graph."""

    name: str
    node: Any

    @property
    def prediction(self) -> Any:  # noqa: ANN401 - a node of autograd
        """The node that its first argument comes from; None where that has none."""
        return self.node.next_functions[0][0]

    @property
    def target(self) -> Any:  # noqa: ANN401
        """The same of its second argument."""
        functions = self.node.next_functions
        return functions[1][0] if len(functions) > 1 else None

    @property
    def made_by(self) -> Any:  # noqa: ANN401
        """The node that computed the numbers of the prediction."""
        return origin(self.prediction)

    @property
    def target_is_spread(self) -> bool:
        """Whether the target was expanded to more numbers than it has."""
        target: Tensor | None = getattr(self.node, "_saved_target", None)
        return target is not None and any(
            stride == 0 and size > 1 for stride, size in zip(target.stride(), target.shape, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What a backward pass is about to go through."""

    root: Tensor
    nodes: Sequence[Any]
    """The latest first."""

    @property
    def losses(self) -> list[Loss]:
        """The losses of torch in it."""
        return [Loss(name=LOSSES[kind(node)], node=node) for node in self.nodes if kind(node) in LOSSES]


class Graphs(Observer):
    """Has the first graphs judged that backward passes begin from, those of each line of the script by themselves."""

    name = "the checks of the loss"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._run = run
        self._judge = judge
        self._seen: dict[str, int] = {}
        self._left = MOST_LINES * MOST_GRAPHS

    def before_backward(self, tensors: Any) -> None:  # noqa: ANN401 - what torch.autograd.backward takes
        """Judge where it begins."""
        if self._left <= 0:
            return
        self._left -= 1
        site = script_site()
        seen = self._seen[site] = self._seen.get(site, 0) + 1
        roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        if seen > MOST_GRAPHS or not roots or not isinstance(roots[0], Tensor):
            return
        root = roots[0]
        nodes = [] if root.grad_fn is None else list(walk(root.grad_fn, MOST_NODES))
        self._judge(Graph(root=root, nodes=nodes), site)
