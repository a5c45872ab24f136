"""What cannot be steered in the script at hand, and why."""

from typing import TYPE_CHECKING

from torch.optim import LBFGS

from tuitrain.engine.script.models import is_compiled
from tuitrain.engine.tip import Refused

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch

VALIDATE = "the script validates with code of its own, which cannot be called from outside."


def unavailable(watch: "Watch") -> dict[str, str]:
    """The words that are refused now, each with the reason in a sentence; more may be known after the next step."""
    reasons = {
        "overfit": watch.probe.no_batch_to_hold(),
        "shuffle": _observer_off(watch, "the DataLoader") or _no_loader(watch) or watch.sampling.why_not(),
        "normalise": _observer_off(watch, "the data") or _no_loader(watch) or watch.feeding.standardising.unsuitable,
        "eval": _observer_off(watch, "validation") or _no_loader(watch),
        "register": _cannot_register(watch),
        "validate": VALIDATE,
    }
    return {word: reason for word, reason in reasons.items() if reason is not None}


def _observer_off(watch: "Watch", name: str) -> str | None:
    return f"tuitrain's observer of {name} is switched off." if name in watch.guard.off else None


def _no_loader(watch: "Watch") -> str | None:
    """Where no batches are seen that are trained on, nor are others."""
    if watch.position.executed and watch.loading.trained_on is None:
        return "the script trains without a DataLoader: what it feeds its models, and when, is not seen."
    return None


def _cannot_register(watch: "Watch") -> str | None:
    if not watch.boundary.took_up:
        return None
    try:
        model, optimizer = watch.probe.training.model, watch.trained.leader
    except Refused:  # the script holds them no more, or not yet: said where it is asked for
        return None
    if isinstance(optimizer, LBFGS):
        return "the script's LBFGS has taken up its parameters for good."
    if is_compiled(model):
        return "the script's model is compiled, and would be compiled anew."
    return None
