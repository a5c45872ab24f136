"""The loss: what is fed to it, and in which shape."""

from typing import Any

import torch

from tuitrain.checks.rule import Rule, Trouble, Troubles, rule
from tuitrain.checks.seen.losses import Graph
from tuitrain.checks.seen.nodes import before, kind, origin, shape_of

RAW = frozenset(
    {"Addmm", "Mm", "Bmm", "Convolution", "Linear", "MkldnnConvolution", "NativeBatchNorm", "CudnnBatchNorm"}
)
"""What computes scores of any size: no probabilities and no logarithms of them."""
SQUASHED = {"Softmax": "softmax", "Sigmoid": "a sigmoid"}
UNEQUAL = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div"})
"""Losses that are not the same when their arguments are swapped, and that can be."""
DIFFERENCES = frozenset({"Sub", "Rsub", "Pow", "Abs", "Mul", "Mean", "Sum", "Div", "Add", "Sqrt"})
"""What a loss by hand is made of."""
NEAR_THE_ROOT = 12
"""Nodes from the root of a backward pass on that belong to the loss."""


@rule(
    slug="softmax-before-cross-entropy",
    number=43,
    family="loop",
    severity="error",
    cost="G",
    title="softmax or sigmoid before cross-entropy",
    why="F.cross_entropy applies log_softmax itself. On probabilities it cannot fall below ln(e + K - 1) - 1 (1.46 "
    "for ten "
    "classes), and its gradients are small.",
    silent="log_softmax before it, which changes nothing.",
    remedy="Give it the raw scores: leave out the softmax in training.",
    within=2,
    bad="loss = F.cross_entropy(torch.softmax(model(x), dim=1), y)",
    good="loss = F.cross_entropy(model(x), y)",
)
def softmax_before_cross_entropy(graph: Graph) -> Troubles:
    """A log_softmax of what a softmax or a sigmoid made."""
    for node in graph.nodes:
        squashed = SQUASHED.get(kind(origin(next(iter(before(node)), None)))) if kind(node) == "LogSoftmax" else None
        if squashed:
            shape = shape_of(node)
            classes = f" ({shape[1]} classes)" if len(shape) > 1 else ""
            yield Trouble(message=f"Cross-entropy gets what {squashed} made{classes}: it squashes once more.")


@rule(
    slug="loss-expects-other",
    number=44,
    family="loop",
    severity="error",
    cost="G",
    title="the loss expects another kind of number",
    why="nll_loss and kl_div take log-probabilities: with raw scores the loss has no lower end and goes to minus "
    "infinity. "
    "binary_cross_entropy_with_logits applies the sigmoid itself.",
    silent="Whatever is neither the raw result of a layer nor of a softmax or a sigmoid.",
    remedy="nll_loss and kl_div after log_softmax; binary_cross_entropy_with_logits, or cross_entropy, on raw scores.",
    within=2,
    bad="loss = F.nll_loss(model(x), y)",
    good="loss = F.nll_loss(F.log_softmax(model(x), dim=1), y)",
)
def loss_expects_other(graph: Graph) -> Troubles:
    """Raw scores or probabilities where logarithms are due; a sigmoid before one that has its own."""
    for loss in graph.losses:
        made = kind(loss.made_by)
        if loss.name in ("nll_loss", "kl_div"):
            if made in SQUASHED:
                yield Trouble(message=f"{loss.name} gets what {SQUASHED[made]} made: it expects logarithms.")
            elif made in RAW and loss.name == "nll_loss":
                yield Trouble(message=f"{loss.name} gets raw scores (of {made}): it expects log-probabilities.")
        elif loss.name == "binary_cross_entropy_with_logits" and made in SQUASHED:
            yield Trouble(message=f"{loss.name} gets what {SQUASHED[made]} made: it applies a sigmoid itself.")


@rule(
    slug="softmax-over-one",
    number=45,
    family="loop",
    severity="error",
    cost="E",
    title="softmax over a dimension of size 1",
    why="It is 1 whatever goes in: no gradient comes out.",
    silent="Softmax that is not the model's last layer: attention over one token.",
    remedy="Use a sigmoid for one output, or take the dimension of the classes.",
    within=2,
    bad="F.binary_cross_entropy(torch.softmax(model(x), dim=1), y)  # model(x): [N, 1]",
    good="F.binary_cross_entropy_with_logits(model(x), y)",
)
def softmax_over_one(graph: Graph) -> Troubles:
    """What a loss is given is a softmax over one class."""
    for loss in graph.losses:
        node = loss.made_by
        if kind(node) in ("Softmax", "LogSoftmax") and _size_of_softmax(node) == 1:
            what = "cross_entropy over one class" if kind(node) == "LogSoftmax" else "a softmax over one class"
            yield Trouble(message=f"{loss.name} gets {what}, {list(shape_of(node))}: the same whatever goes in.")


@rule(
    slug="loss-broadcasts",
    number=46,
    family="loop",
    severity="error",
    cost="E",
    title="prediction and target are broadcast in the loss",
    why="[N, 1] against [N] makes [N, N]: every prediction is compared with every target, and the model learns their "
    "mean.",
    silent="Shapes that broadcast to one of the two.",
    remedy="Give both the same shape: squeeze(1) the prediction, or unsqueeze(1) the target.",
    within=2,
    bad="loss = F.mse_loss(model(x), y)  # [N, 1] and [N]",
    good="loss = F.mse_loss(model(x).squeeze(1), y)",
)
def loss_broadcasts(graph: Graph) -> Troubles:
    """Prediction and target were both expanded, to more numbers than either has."""
    for loss in graph.losses:
        expanded = loss.prediction
        if kind(expanded) == "Expand" and loss.target_is_spread:
            given = shape_of(next(iter(before(expanded)), None))
            yield Trouble(
                message=f"{loss.name} makes {list(shape_of(expanded))} of a prediction {list(given)} and its target: "
                "it compares each with each."
            )


@rule(
    slug="loss-broadcasts-by-hand",
    number=46,
    family="loop",
    severity="error",
    cost="G",
    title="prediction and target are broadcast in a loss written by hand",
    why="[N, 1] minus [N] makes [N, N]: every prediction is compared with every target, and the model learns their "
    "mean.",
    silent="Differences that no mean or sum over everything follows, and pairs that both need gradients.",
    remedy="Give both the same shape: squeeze(1) the prediction, or unsqueeze(1) the target.",
    within=2,
    bad="loss = ((model(x) - y) ** 2).mean()  # [N, 1] and [N]",
    good="loss = ((model(x).squeeze(1) - y) ** 2).mean()",
)
def loss_broadcasts_by_hand(graph: Graph) -> Troubles:
    """Near the root, a square of differences between a row or column with gradients and something without."""
    for node in graph.nodes[:NEAR_THE_ROOT]:
        if kind(node) not in DIFFERENCES:
            return
        if kind(node) not in ("Sub", "Rsub") or len(inputs := before(node)) != 1:
            continue
        shape = shape_of(node)
        given = shape_of(inputs[0] if kind(inputs[0]) != "Expand" else next(iter(before(inputs[0])), None))
        if len(shape) == 2 and shape[0] == shape[1] > 1 and given in ((shape[0], 1), (shape[0],), (1, shape[0])):
            yield Trouble(message=f"A difference of {list(given)} and the target is {list(shape)}: each with each.")


@rule(
    slug="loss-arguments-swapped",
    number=47,
    family="loop",
    severity="error",
    cost="E",
    title="the arguments of the loss are swapped",
    why="A loss takes (prediction, target), and most are not the same the other way round.",
    silent="mse_loss, l1_loss, smooth_l1_loss and huber_loss, which are; targets that need gradients as the "
    "prediction does.",
    remedy="Write criterion(prediction, target).",
    within=2,
    bad="loss = F.binary_cross_entropy(y, torch.sigmoid(model(x)))",
    good="loss = F.binary_cross_entropy(torch.sigmoid(model(x)), y)",
)
def loss_arguments_swapped(graph: Graph) -> Troubles:
    """The target has a graph, the prediction has none."""
    for loss in graph.losses:
        if loss.name in UNEQUAL and loss.prediction is None and loss.target is not None:
            yield Trouble(message=f"In {loss.name}, gradients lead to the target and none to the prediction: swapped.")


@rule(
    slug="loss-without-graph",
    number=37,
    family="loop",
    severity="error",
    cost="G",
    title="the loss has no graph",
    why="A new tensor made of a number, or .requires_grad_() on a detached loss, silences the error message: "
    "backward() has "
    "nowhere to go.",
    silent="Whatever has a graph.",
    remedy="Call backward() on the very result of the loss function.",
    within=2,
    bad="loss = torch.tensor(criterion(model(x), y).item(), requires_grad=True)",
    good="loss = criterion(model(x), y)",
)
def loss_without_graph(graph: Graph) -> Troubles:
    """Backward begins and ends at one tensor of one element."""
    root = graph.root
    if root.grad_fn is None and root.requires_grad and root.numel() == 1 and not isinstance(root, torch.nn.Parameter):
        yield Trouble(message="backward() begins at a tensor with no graph: it reaches no weight.")


def _size_of_softmax(node: Any) -> int | None:  # noqa: ANN401 - a node of autograd
    """The size of the dimension that a softmax ran over; None where that is not known."""
    shape, dim = shape_of(node), int(getattr(node, "_saved_dim", 0))
    dim = dim - 2**64 if dim >= 2**63 else dim
    return shape[dim] if shape and -len(shape) <= dim < len(shape) else None


LOSS: tuple[Rule, ...] = (
    softmax_before_cross_entropy,
    loss_expects_other,
    softmax_over_one,
    loss_broadcasts,
    loss_broadcasts_by_hand,
    loss_arguments_swapped,
    loss_without_graph,
)
