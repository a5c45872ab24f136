"""What of a script's training is not seen, by the evidence there is: nothing is guessed."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch

ENOUGH_BACKWARDS = 20
"""After so many backward passes without an optimizer's step one is expected no more."""


def has_no_steps(watch: "Watch") -> bool:
    """Whether the script trains, if it does, without a step that could be seen."""
    return not watch.position.executed and (watch.is_ending or watch.rounds.backwards >= ENOUGH_BACKWARDS)


def unseen(watch: "Watch", *, has_loss: bool) -> Iterable[tuple[str, str]]:
    """What is not observed, and why, in a sentence each."""
    if has_no_steps(watch):
        yield "steps", _why_no_steps(watch)
        return
    if not has_loss and watch.position.executed:
        yield "loss", _why_no_loss(watch)
    if watch.position.executed and watch.loading.trained_on is None:
        yield "batches", "the script trains on no DataLoader."
        yield "validation", "without a DataLoader it is not known which data a loss is of."


def _why_no_loss(watch: "Watch") -> str:
    if not watch.rounds.backwards:
        return "the script makes no backward pass: it takes its gradients otherwise, as by torch.autograd.grad."
    return "no backward pass starts from a single number."


def _why_no_steps(watch: "Watch") -> str:
    passes = watch.rounds.backwards
    if passes:
        of = "its optimizer has not stepped" if watch.boundary.took_up else "it has no optimizer of torch.optim"
        return f"{passes:,} backward passes, and {of}: how it changes its parameters is not seen."
    if watch.forks:
        return f"none in the script's own process; {watch.forks:,} forked from it are not observed."
    return "no backward pass and no optimizer's step in the script's own process."
