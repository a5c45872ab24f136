"""What the curves say of a training, and what it keeps of them."""

import math

from tuitrain.checks.rule import Rule, Trouble, Troubles, rule
from tuitrain.checks.seen.keeping import Kept
from tuitrain.checks.seen.numbers import WINDOW_STEPS, Curves

STILL_STEPS = 20
"""Steps with a learning rate of 0: longer than the first step of a warm-up, or the last of a decay."""
FIRST_STEPS = 50
"""Losses of the first steps may do as they like."""
DIVERGED_FACTOR = 2.0
BACK_TO_SHARE = 0.5
"""Of the loss of the first window: noise about a loss near 0 is no divergence."""
DIVERGED_WINDOWS = 5
"""Divergence: so many windows in a row whose mean loss is that many times the lowest."""


@rule(
    slug="learning-rate-zero",
    number=42,
    family="loop",
    severity="warning",
    cost="D",
    title="steps with a learning rate of 0",
    why="They change nothing.",
    silent="The first step of a warm-up, the last ones of a decay, rates on a device that are not read.",
    remedy="Give the optimizer a learning rate above 0, or look at where the schedule ends.",
    key="+",
    word="lr",
    within=40,
    hits=1,
    bad="SGD(model.parameters(), lr=0)",
    good="SGD(model.parameters(), lr=0.1)",
)
def learning_rate_zero(curves: Curves) -> Troubles:
    """Many steps in a row."""
    if curves.still >= STILL_STEPS:
        yield Trouble(message=f"The learning rate was 0 in the last {curves.still:,} steps.", site="")


@rule(
    slug="loss-not-finite",
    number=49,
    family="loop",
    severity="error",
    cost="D",
    title="the loss is NaN or infinite",
    why="From then on every weight is NaN: the run is lost.",
    silent="A single step, as a gradient scaler skips it; losses that are not seen.",
    remedy="Lower the learning rate, clip the gradients, look for log(0), 0/0 and NaN in the data.",
    key="-",
    word="lr",
    within=4,
    bad="loss = (weights * torch.log(probabilities)).sum()  # a probability of 0",
    good="loss = (weights * torch.log_softmax(scores, 1)).sum()",
)
def loss_not_finite(curves: Curves) -> Troubles:
    """Step after step."""
    if curves.not_finite:
        first = curves.steps - curves.not_finite + 1
        yield Trouble(message=f"The loss is NaN or infinite, and so is the gradient, from step {first:,} on.", site="")


@rule(
    slug="diverging",
    number=49,
    family="loop",
    severity="hint",
    cost="D",
    title="the loss grows and does not come back",
    why="Steps are too long: each makes the loss larger.",
    silent=f"The first {FIRST_STEPS} steps, losses below 0 or less than half of where they began, and anything shorter "
    f"than {DIVERGED_WINDOWS} windows of {WINDOW_STEPS} steps.",
    remedy="Lower the learning rate (-), warm it up, or clip the gradients (c).",
    key="-",
    word="lr",
    within=200,
    hits=1,
    bad="SGD(model.parameters(), lr=10)",
    good="SGD(model.parameters(), lr=0.1)",
)
def diverging(curves: Curves) -> Troubles:
    """The last windows are all far above the lowest."""
    means = curves.means[FIRST_STEPS // WINDOW_STEPS :]
    lowest, last = min(curves.means, default=math.nan), means[-DIVERGED_WINDOWS:]
    if len(last) < DIVERGED_WINDOWS or lowest <= 0:
        return
    if min(last) > max(DIVERGED_FACTOR * lowest, BACK_TO_SHARE * curves.means[0]):
        yield Trouble(message=f"The mean loss is {last[-1]:.3g}; its lowest was {lowest:.3g}.", site="")


@rule(
    slug="graph-kept-alive",
    number=56,
    family="loop",
    severity="warning",
    cost="E",
    title="the graphs of past steps are kept",
    why="total += loss keeps the graph of every step: memory grows until none is left.",
    silent="Sums and lists within one step, and what was detached.",
    remedy="Add loss.item() or loss.detach(), not loss itself.",
    within=12,
    hits=1,
    bad="total += loss",
    good="total += loss.item()",
)
def graph_kept_alive(kept: Kept) -> Troubles:
    """A variable whose graph goes back over steps."""
    yield Trouble(
        message=f"{kept.variable} is {kept.what} of losses with the graphs of all steps.", place=kept.variable
    )


CURVES: tuple[Rule, ...] = (learning_rate_zero, loss_not_finite, diverging, graph_kept_alive)
