"""The loop itself: the order of its calls."""

from tuitrain.checks.rule import Rule, Trouble, Troubles, rule
from tuitrain.checks.seen.cycles import Cycle
from tuitrain.checks.seen.schedules import ScheduleState
from tuitrain.checks.seen.unstepped import Unstepped

OLD_IN_A_ROW = 5
"""Gradients that were zeroed at some time are called old after so many steps without."""
FEWEST_RENEWED = 0.5
"""Share of backward passes whose gradients were thrown away, above which a step is missing and not yet to come."""


@rule(
    slug="gradients-never-zeroed",
    number=40,
    family="loop",
    severity="error",
    cost="E",
    title="gradients are never zeroed",
    why="backward() adds to .grad: each step goes along the sum of all gradients since the beginning.",
    silent="Gradient accumulation (several backward passes, then a step, then zeros), gradients that are replaced or "
    "changed by hand between a step and the next backward pass, closures.",
    remedy="Call optimizer.zero_grad() before each backward pass, or after each step.",
    within=3,
    bad="loss.backward()\noptimizer.step()",
    good="optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
)
def gradients_never_zeroed(cycle: Cycle) -> Troubles:
    """A backward pass added to gradients with which the optimizer has stepped."""
    if cycle.by_closure or not cycle.added_to_old:
        return
    if not cycle.ever_renewed:
        yield Trouble(message="backward() adds to the gradients of the step before: they were never zeroed so far.")
    elif cycle.old_in_a_row >= OLD_IN_A_ROW:
        yield Trouble(message=f"backward() adds to the gradients of the last {cycle.old_in_a_row} steps.")


@rule(
    slug="step-without-backward",
    number=41,
    family="loop",
    severity="error",
    cost="E",
    title="a step without a backward pass",
    why="The optimizer steps with no gradient, or once more with the one of the step before: nothing is learned from "
    "the "
    "batch.",
    silent="Closures, and gradients that are set by hand.",
    remedy="Call loss.backward() between zero_grad() and step().",
    within=3,
    bad="optimizer.zero_grad()\nloss = criterion(model(x), y)\noptimizer.step()",
    good="optimizer.zero_grad()\nloss = criterion(model(x), y)\nloss.backward()\noptimizer.step()",
)
def step_without_backward(cycle: Cycle) -> Troubles:
    """No backward pass since the last step, and no gradient set by hand."""
    if cycle.by_closure or cycle.backwards:
        return
    if not cycle.reached:
        yield Trouble(message="step() finds no gradient: there was no backward pass since the last step.")
    elif "renewed" not in cycle.marks or cycle.gradients_are_zero():
        yield Trouble(message="step() without a backward pass since the last step.")


@rule(
    slug="zeroed-before-step",
    number=41,
    family="loop",
    severity="error",
    cost="E",
    title="gradients are zeroed between backward and step",
    why="zero_grad() throws away what backward() has computed: the optimizer steps with nothing.",
    silent="Gradients that are changed, not zeroed, before the step; a backward pass for the gradient of an input.",
    remedy="Call zero_grad() before backward(), not between backward() and step().",
    within=3,
    bad="loss.backward()\noptimizer.zero_grad()\noptimizer.step()",
    good="optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
)
def zeroed_before_step(cycle: Cycle) -> Troubles:
    """The last backward pass that reached the gradients was followed by zeros."""
    marks = [mark for mark in cycle.marks if mark in ("backward", "renewed")]
    if cycle.by_closure or marks[-2:] != ["backward", "renewed"]:
        return
    if not cycle.reached or cycle.gradients_are_zero():
        yield Trouble(message="The gradients are zeroed after backward() and before step(): the step has none.")


@rule(
    slug="backward-misses-optimizer",
    number=41,
    family="loop",
    severity="error",
    cost="E",
    title="backward reaches none of the optimizer's parameters",
    why="The loss does not depend on what the optimizer trains: it holds another model, or a detach(), .data or "
    "a new tensor made of numbers cuts the graph.",
    silent="Optimizers that no backward pass was meant for (one backward pass reached them since the last step, or "
    "their "
    "gradients were zeroed after it). A hint only where other optimizers step: a part may not be trained as yet.",
    remedy="Give the optimizer the parameters of the model that computes the loss, and look for a cut in the graph.",
    within=3,
    bad="loss = torch.tensor(criterion(model(x), y).item(), requires_grad=True)",
    good="loss = criterion(model(x), y)",
)
def backward_misses_optimizer(cycle: Cycle) -> Troubles:
    """There were backward passes since the last step, and no gradient has come of them."""
    if cycle.backwards and not cycle.by_closure and "backward" not in cycle.marks and not cycle.reached:
        name = type(cycle.optimizer).__name__
        yield Trouble(
            message=f"step() of {name} finds no gradient at all: backward() has reached none of its parameters.",
            severity="hint" if cycle.others else None,
        )


@rule(
    slug="backward-without-step",
    number=41,
    family="loop",
    severity="error",
    cost="E",
    title="no optimizer ever steps",
    why="Gradients are computed and thrown away; no weight ever changes.",
    silent="Gradient accumulation, and weights that the script changes by itself.",
    remedy="Call optimizer.step() after backward().",
    within=20,
    hits=1,
    bad="optimizer.zero_grad()\nloss.backward()",
    good="optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
)
def backward_without_step(unstepped: Unstepped) -> Troubles:
    """Many backward passes, their gradients thrown away, and no weight has moved."""
    if unstepped.weights_moved or unstepped.renewed < FEWEST_RENEWED * unstepped.backwards:
        return
    yield Trouble(
        message=f"{unstepped.backwards} backward passes and no step: the gradients were zeroed {unstepped.renewed} "
        f"times "
        "before anything came of them."
    )


@rule(
    slug="schedule-before-optimizer",
    number=51,
    family="loop",
    severity="warning",
    cost="E",
    title="the learning rate schedule steps before the optimizer",
    why="The first value of the schedule is skipped, and each later one comes a step too early.",
    silent="A first step that a gradient scaler skipped.",
    remedy="Call scheduler.step() after optimizer.step().",
    within=1,
    hits=1,
    bad="scheduler.step()\noptimizer.step()",
    good="optimizer.step()\nscheduler.step()",
)
def schedule_before_optimizer(state: ScheduleState) -> Troubles:
    """Just after the optimizer's first step, the schedule has already made one."""
    if state.optimizer_steps == state.steps == 1 and not state.skipped:
        yield Trouble(message=f"{state.name} stepped before its optimizer did for the first time.")


@rule(
    slug="schedule-per-batch",
    number=51,
    family="loop",
    severity="warning",
    cost="E",
    title="a schedule built for epochs steps at each batch",
    why="The learning rate runs through its whole schedule within a fraction of an epoch.",
    silent="Schedules that restart on purpose, and those whose length is at least an epoch's batches.",
    remedy="Call scheduler.step() once an epoch, or give the schedule its length in batches.",
    within=100,
    bad="scheduler = CosineAnnealingLR(optimizer, T_max=epochs)\nfor x, y in loader:\n    ...\n    scheduler.step()",
    good="scheduler = CosineAnnealingLR(optimizer, T_max=epochs * len(loader))",
)
def schedule_per_batch(state: ScheduleState) -> Troubles:
    """The schedule is over, or the rate all but gone, before the first epoch is."""
    per_batch = state.optimizer_steps - state.steps in (0, 1) and state.first_epoch
    if not per_batch or state.batches_per_epoch <= state.steps:
        return
    if state.half_periods >= 2:
        yield Trouble(
            message=f"{state.name} has gone down and up again within {state.steps} of the {state.batches_per_epoch:,} "
            "batches of an epoch."
        )
    elif state.share_of_rate < state.VANISHED:
        yield Trouble(
            message=f"{state.name} has taken the learning rate to {state.share_of_rate:.1e} of its start within "
            f"{state.steps} of the {state.batches_per_epoch:,} batches of an epoch."
        )


LOOP: tuple[Rule, ...] = (
    gradients_never_zeroed,
    step_without_backward,
    zeroed_before_step,
    backward_misses_optimizer,
    backward_without_step,
    schedule_before_optimizer,
    schedule_per_batch,
)
