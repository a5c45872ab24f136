"""What is observed of a script, what can be steered in it, and what cannot be had and why."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

from tuitrain.engine.script.results import WITH_ACCURACY
from tuitrain.engine.script.unavailable import unavailable
from tuitrain.engine.script.unseen import has_no_steps, unseen
from tuitrain.record.events import Capability

if TYPE_CHECKING:
    from tuitrain.engine.script.evaluation import Pass
    from tuitrain.engine.script.watch import Watch


OBSERVERS = {
    "loss": ("the loss", "the optimizer", "the scalars"),
    "gradient norm": ("the gradient norm", "the optimizer", "the scalars"),
    "learning rate": ("the optimizer", "the scalars"),
    "step time": ("the optimizer", "the reports"),
    "model tree": ("the models",),
    "modes": ("the modes",),
    "optimizers": ("the optimizer",),
    "accumulation": ("the DataLoader", "the optimizer"),
    "skipped steps": ("the gradient scaler",),
    "batches": ("the DataLoader",),
    "validation": ("validation",),
}
"""Without which observers each thing is not observed."""


SHOWN_NAMES = 4


class StepFacts(NamedTuple):
    """What the last step consisted of."""

    optimizers: tuple[str, ...] = ()
    by_closure: bool = False
    backwards: int = 0
    has_loss: bool = True


def capabilities_of(watch: "Watch", step: StepFacts) -> tuple[Capability, ...]:
    """All that is known of that now; more may be known after the next step."""
    refused = unavailable(watch) | _switched_off_words(watch)
    off = {name: f"tuitrain's own observer failed: {why}" for name, why in watch.guard.off.items()}
    if has_no_steps(watch):
        nothing = [Capability(kind="unavailable", name=name, text=why) for name, why in unseen(watch, has_loss=False)]
        return (*nothing, *(Capability(kind="switched_off", name=name, text=why) for name, why in off.items()))
    seen = [(name, text) for name, text in _observed(watch, step) if not off.keys() & OBSERVERS[name]]
    return (
        *(Capability(kind="observed", name=name, text=text) for name, text in seen),
        *(Capability(kind="steered", name=name, text=text) for name, text in _steered(watch) if name not in refused),
        *(Capability(kind="unavailable", name=name, text=why) for name, why in unseen(watch, has_loss=step.has_loss)),
        *(Capability(kind="unavailable", name=name, text=why) for name, why in refused.items()),
        *(Capability(kind="switched_off", name=name, text=why) for name, why in off.items()),
    )


Named = Iterable[tuple[str, str]]


def _observed(watch: "Watch", step: StepFacts) -> Named:
    loading, models, skipped = watch.loading, watch.models, watch.reports.skipped
    if step.has_loss:
        yield "loss", _loss(step)
    yield "gradient norm", _clips(watch)
    yield "learning rate", f"driven by {_listed(watch.trained.schedulers)}" if watch.trained.schedulers else ""
    yield "step time", ""
    if models.names:
        yield "model tree", f"of {_count(len(models.names), 'model')}: {_listed(models.names)}"
        yield "modes", "read from the modules' own flags"
    if len(step.optimizers) > 1:
        yield "optimizers", f"{len(step.optimizers)} in a step; loss, norm and rate are those of the first"
    if loading.batches_per_step > 1:
        yield "accumulation", f"an optimizer steps after up to {loading.batches_per_step} batches, which make one step"
    if skipped:
        yield "skipped steps", f"{_count(skipped, 'step')} that the gradient scaler skipped"
    if loading.trained_on is not None:
        yield "batches", "their size, and the time waited for them"
    if watch.evaluation.last is not None:
        yield "validation", _validation(watch.evaluation.last)


def _loss(step: StepFacts) -> str:
    if step.by_closure:
        return "the closure's first in a step"
    return f"the sum of {step.backwards} backward passes" if step.backwards > 1 else "what backward() is called on"


def _validation(last: "Pass") -> str:
    function = last.results.function
    if not function:
        return "its passes, their time and their modes, without their results: no loss function of torch was heard"
    return f"loss and accuracy, from {function}" if function in WITH_ACCURACY else f"loss, from {function}"


def _clips(watch: "Watch") -> str:
    gradients = watch.gradients
    if gradients.by_user:
        return "before and after, clipped as you say"
    return "before and after the script clips" if gradients.script_clips else "the script does not clip"


def _steered(watch: "Watch") -> Named:
    yield "pause", "between two steps; one step at a time, too"
    yield "lr", "the first optimizer's; its schedulers carry it on"
    untouched = watch.gradients.script_clips and not watch.gradients.by_user
    yield "clip", f"by norm or by value, at any max_norm{'; until then as the script does' if untouched else ''}"
    yield "overfit", "everything is put back when it ends"
    yield "shuffle", "from the next epoch on, with a generator of its own"
    yield "normalise", "the first floats of each batch, by the mean and deviation measured so far"
    yield "eval", "forced upon the script's validation; off: as the script does itself"
    yield "register", "what stands in plain containers of the model, and into its optimizer"
    yield "checkpoint", "of all models and optimizers"
    yield "stop", "unwinds the script as ctrl+c does; saved first"


def _switched_off_words(watch: "Watch") -> dict[str, str]:
    """What cannot be steered because what would carry it out has failed."""
    off = watch.guard.off
    if "the steering" in off:
        words = [*(word for word, _ in _steered(watch)), "validate"]
        return dict.fromkeys(words, "tuitrain's own steering failed, and is switched off.")
    return {"clip": "tuitrain's observer of the clipping is switched off."} if "the clipping" in off else {}


def _count(number: int, one: str) -> str:
    return f"{number} {one if number == 1 else one + 's'}"


def _listed(names: Collection[str]) -> str:
    """The first few names."""
    more = len(names) - SHOWN_NAMES
    return ", ".join(list(names)[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
