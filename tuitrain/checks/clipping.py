"""Tip 3, clipping: at the right moment, of the right gradients."""

from torch import Tensor

from tuitrain.checks.rule import Rule, Trouble, Troubles, rule
from tuitrain.checks.seen.cycles import ClipCall, Cycle
from tuitrain.checks.seen.reports import Report

LEFT_OUT_SHARE = 0.5
"""Of the numbers with a gradient; where more are never clipped, what is clipped is hardly what was meant."""


@rule(
    slug="clip-before-backward",
    number=16,
    family="clipping",
    severity="error",
    cost="E",
    title="clipping comes before backward",
    why="It clips gradients that are zero or not yet there; those that backward() computes then are not clipped.",
    silent="Where the gradients are clipped a second time after backward(), and for a max_norm that nothing reaches.",
    remedy="Clip between backward() and step().",
    within=3,
    bad="optimizer.zero_grad()\nclip_grad_norm_(model.parameters(), 1.0)\nloss.backward()\noptimizer.step()",
    good="optimizer.zero_grad()\nloss.backward()\nclip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()",
)
def clip_before_backward(cycle: Cycle) -> Troubles:
    """All clipping of a cycle lies before its first backward pass, and after the gradients were renewed."""
    clips = [clip for clip in cycle.clips if not clip.is_logging]
    if clips and "backward" in cycle.marks and all(not clip.backwards and not clip.stepped for clip in clips):
        yield Trouble(message="Gradients are clipped before backward() computes them.", site=clips[0].site)


@rule(
    slug="clip-after-step",
    number=17,
    family="clipping",
    severity="error",
    cost="E",
    title="clipping comes after the step",
    why="It clips gradients that the optimizer has already used: nothing that is stepped with is ever clipped.",
    silent="A max_norm that nothing reaches (inf, used to log the norm), and clipping before the step as well.",
    remedy="Clip between backward() and step().",
    within=3,
    bad="loss.backward()\noptimizer.step()\nclip_grad_norm_(model.parameters(), 1.0)",
    good="loss.backward()\nclip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()",
)
def clip_after_step(cycle: Cycle) -> Troubles:
    """All clipping of a cycle found the gradients of the step before."""
    clips = [clip for clip in cycle.clips if not clip.is_logging]
    if clips and all(clip.stepped and clip.found for clip in clips):
        yield Trouble(message="Gradients are clipped after the step that has used them.", site=clips[0].site)


@rule(
    slug="clip-scaled-gradients",
    number=18,
    family="clipping",
    severity="error",
    cost="E",
    title="gradients are clipped while they are scaled",
    why="GradScaler has multiplied them, by 65,536 at first: the threshold is met by nearly every step, and what is "
    "left "
    "after unscaling is far too small.",
    silent="A scaler that is disabled, or clipping after unscale_().",
    remedy="Call scaler.unscale_(optimizer) before clipping.",
    within=3,
    bad="scaler.scale(loss).backward()\nclip_grad_norm_(model.parameters(), 1.0)\nscaler.step(optimizer)",
    good="scaler.scale(loss).backward()\nscaler.unscale_(optimizer)\nclip_grad_norm_(model.parameters(), 1.0)",
)
def clip_scaled_gradients(cycle: Cycle) -> Troubles:
    """Clipping found gradients as the scaler had made them."""
    for clip in cycle.clips:
        if clip.scaled and clip.found and clip.backwards and not clip.is_logging:
            yield Trouble(message="Gradients are clipped while a GradScaler's factor is in them.", site=clip.site)
            return


@rule(
    slug="clip-in-accumulation",
    number=21,
    family="clipping",
    severity="warning",
    cost="E",
    title="clipping in the middle of accumulation",
    why="Part of the gradient is scaled down, then more is added to it: the sum is neither clipped nor in proportion.",
    silent="Closures, and steps with one backward pass.",
    remedy="Clip once, after the last backward pass and before step().",
    within=3,
    bad="for part in parts:\n    loss(part).backward()\n    clip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()",
    good="for part in parts:\n    loss(part).backward()\nclip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()",
)
def clip_in_accumulation(cycle: Cycle) -> Troubles:
    """A clip stands between two backward passes that reached the same gradients, without zeros between."""
    if cycle.by_closure or all(clip.is_logging for clip in cycle.clips):
        return
    order = "".join({"backward": "b", "clip": "c", "renewed": "z"}.get(mark, "") for mark in cycle.marks)
    if "bcb" in order:
        count = order.count("b")
        yield Trouble(
            message=f"Gradients are clipped between the {count} backward passes that add up to one step.",
            site=cycle.clips[0].site,
        )


@rule(
    slug="clip-wrong-parameters",
    number=22,
    family="clipping",
    severity="warning",
    cost="E",
    title="what is clipped is not what is trained",
    why="Parameters that are not in the call keep their gradients as large as they are.",
    silent="Several calls that together cover the optimizer. A hint only where less than half is left out.",
    remedy="Clip the parameters that the optimizer holds.",
    within=4,
    bad="clip_grad_norm_(model.head.parameters(), 1.0)",
    good="clip_grad_norm_(model.parameters(), 1.0)",
)
def clip_wrong_parameters(cycle: Cycle) -> Troubles:
    """The calls of a cycle leave out parameters that have a gradient."""
    clips = [clip for clip in cycle.clips if not clip.is_logging and clip.found]
    if not clips:
        return
    clipped = frozenset[int]().union(*(clip.parameters for clip in clips))
    reached = cycle.reached
    left_out = [each for each in reached if id(each) not in clipped]
    if left_out:
        share = _numbers(left_out) / _numbers(reached)
        yield Trouble(
            message=f"{len(left_out)} of {len(reached)} tensors with a gradient are never clipped "
            f"({100 * share:.0f} % of the numbers).",
            site=clips[0].site,
            severity=None if share > LEFT_OUT_SHARE else "hint",
        )


@rule(
    slug="clip-of-nobodys",
    number=22,
    family="clipping",
    severity="error",
    cost="E",
    title="none of the clipped parameters is in an optimizer",
    why="Clipping another model, or an old copy, leaves what is trained unclipped.",
    silent="Before an optimizer has stepped, and for a max_norm that nothing reaches.",
    remedy="Clip the parameters that the optimizer holds.",
    within=4,
    bad="clip_grad_norm_(other_model.parameters(), 1.0)",
    good="clip_grad_norm_(model.parameters(), 1.0)",
)
def clip_of_nobodys(call: ClipCall) -> Troubles:
    """A call whose parameters no optimizer holds, though there are some."""
    if call.parameters and call.optimizers and not call.of_optimizers and not call.is_logging:
        yield Trouble(message=f"None of the {call.parameters} tensors that are clipped is in an optimizer.")


@rule(
    slug="clip-finds-nothing",
    number=23,
    family="clipping",
    severity="error",
    cost="E",
    title="clipping finds no gradients",
    why="clip_grad_norm_ with no gradients returns 0 and does nothing. A generator such as model.parameters() gives "
    "its "
    "parameters only once: kept in a variable, it is empty from the second use on.",
    silent="Clipping before backward() (another rule), and before an optimizer has stepped.",
    remedy="Give clip_grad_norm_ a list, or call model.parameters() anew each time.",
    within=4,
    bad="params = model.parameters()\noptimizer = SGD(params, lr=0.1)\n...\nclip_grad_norm_(params, 1.0)",
    good="clip_grad_norm_(model.parameters(), 1.0)",
)
def clip_finds_nothing(call: ClipCall) -> Troubles:
    """A call with an empty list of parameters."""
    if not call.parameters and call.optimizers:
        yield Trouble(message="The clipping call gets no parameters: it returns 0 and does nothing.")


@rule(
    slug="gradient-norm",
    number=24,
    family="clipping",
    severity="warning",
    cost="D",
    title="the gradient norm explodes, or is 0",
    why="One step with a gradient many times larger than the others can undo all that was learned; with none at all, "
    "nothing "
    "is.",
    silent="Norms up to ten times their running median, and fewer than three above it.",
    remedy="Clip the gradients (c) or lower the learning rate; look for log(0), 0/0 and unscaled inputs.",
    key="c",
    word="clip",
    within=100,
    bad="loss.backward()\noptimizer.step()  # a norm of 1, 2, 1, 400, 1, ...",
    good="loss.backward()\nclip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()",
)
def gradient_norm(report: Report) -> Troubles:
    """The tip's verdict on the last steps."""
    if report.says("clipping", "bad"):
        yield Trouble(message=f"Gradient {report.summary} ({report.row('norm')}).", site="")


@rule(
    slug="clipped-every-step",
    number=19,
    family="clipping",
    severity="hint",
    cost="D",
    title="every step is clipped, and by a large factor",
    why="With SGD, max_norm and not the gradient then says how far a step goes: it acts as the learning rate.",
    silent="Adam and its kin, which divide by the size of the gradient anyway.",
    remedy="Raise max_norm (]) until only spikes are clipped, and set the learning rate by itself.",
    key="]",
    word="max_norm",
    within=100,
    bad="clip_grad_norm_(model.parameters(), 0.001)",
    good="clip_grad_norm_(model.parameters(), 1.0)",
)
def clipped_every_step(report: Report) -> Troubles:
    """The tip's verdict on the last steps."""
    if report.says("clipping", "warning"):
        yield Trouble(message=f"Clipped on {report.summary}, by more than ten times ({report.row('norm')}).", site="")


def _numbers(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


CLIPPING: tuple[Rule, ...] = (
    clip_before_backward,
    clip_after_step,
    clip_scaled_gradients,
    clip_in_accumulation,
    clip_wrong_parameters,
    clip_of_nobodys,
    clip_finds_nothing,
    gradient_norm,
    clipped_every_step,
)
