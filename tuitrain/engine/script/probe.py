"""What the tips and the steering ask of a script, as they ask the built-in loop's probe."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from tuitrain.engine.gradients import Clipping
from tuitrain.engine.learning_rate import set_learning_rate
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.scalars import Scalars
from tuitrain.engine.script.finding import schedulers_of
from tuitrain.engine.script.messages import Briefing
from tuitrain.engine.script.models import Models
from tuitrain.engine.script.sampling import Sampling
from tuitrain.engine.script.saving import save_script
from tuitrain.engine.script.standardising import Standardising
from tuitrain.engine.tip import Refused
from tuitrain.record.events import RunState, Status, Validation

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch

LR_HELD_STEPS = 3
"""A rate that was set is looked at for so many steps, whether the script lets it be."""
OVERFIT_STEPS = 300
"""Steps after which overfitting one batch has failed."""


class ScriptTraining:
    """What the tips ask of a training. Refused where the script holds it no more."""

    overfit_steps = OVERFIT_STEPS

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch

    @property
    def model(self) -> nn.Module:
        """The model that the leading optimizer trains."""
        return self._watch.models.trained_by(self._watch.trained.leader)

    @property
    def optimizer(self) -> Optimizer:
        """The leading optimizer."""
        return self._watch.trained.leader

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self._watch.trained.device

    @property
    def train(self) -> Sampling:
        """The order of the samples."""
        return self._watch.sampling

    @property
    def prepare(self) -> Standardising:
        """What the inputs pass through."""
        return self._watch.feeding.standardising


class ScriptProbe:
    """Reads and changes how the script stands."""

    def __init__(self, watch: "Watch", told: Briefing) -> None:
        self._watch = watch
        self._told = told
        self.training = ScriptTraining(watch)
        self.lr_to_hold: float | None = None
        """The rate that was set a few steps ago, where no scheduler is to change it."""
        self._lr_until = 0
        self.asking: Any = None
        """The iterator of a DataLoader that the script asks for its next batch just now."""

    @property
    def recorder(self) -> Recorder:
        """Takes the events."""
        return self._watch.recorder

    @property
    def clipping(self) -> Clipping:
        """How gradients are clipped at present."""
        return self._watch.gradients.clipping

    @property
    def scalars(self) -> Scalars:
        """What is to be read from the device goes this way."""
        return self._watch.delivery.scalars

    @property
    def tree(self) -> Models:
        """The models' structure."""
        return self._watch.models

    def structure_changed(self) -> None:
        """Look at it anew, and say it."""
        self._watch.boundary.look_at_models()

    @property
    def validates_on_demand(self) -> bool:
        """The script's validation is its own."""
        return False

    @property
    def eval_in_validation(self) -> bool | None:
        """Whether it validates in eval mode, forced to or by itself as last seen; None where that was not seen."""
        evaluation = self._watch.evaluation
        if evaluation.eval_mode.wanted:
            return True
        return None if not evaluation.own_mode else evaluation.own_mode == "eval"

    def set_eval_in_validation(self, on: bool) -> None:
        """Force eval mode upon the script's validation, or leave it to the script; Refused where it is in it itself."""
        evaluation = self._watch.evaluation
        if not on and not evaluation.eval_mode.wanted and evaluation.own_mode == "eval":
            raise Refused("the script itself validates in eval mode, and that is left to it.")
        evaluation.eval_mode.wanted = on

    def facts(self, tip: str) -> Sequence[tuple[str, str]]:
        """What else is known of a tip's subject."""
        return self._watch.reports.facts(tip)

    @property
    def overfitting(self) -> bool:
        """Whether one batch is held."""
        return self._watch.batch.held is not None

    @property
    def at_held_batch(self) -> bool:
        """Whether the script asks for the held batch just now, where it did when that was captured."""
        return self._watch.batch.may_be_let_go(self.asking)

    @property
    def steps_held(self) -> int:
        """Steps executed on the batch that is held, or was held last."""
        return self._watch.position.executed - self._watch.batch.held_since

    def no_batch_to_hold(self) -> str | None:
        """Why no batch of this script can be held; None if one can, or it is not yet known."""
        off = [name for name in ("the DataLoader", "overfitting") if name in self._watch.guard.off]
        return f"tuitrain's observer of {off[0]} is switched off." if off else self._watch.batch.impossible()

    def hold_batch(self) -> None:
        """Capture everything, and give the batch just fetched again and again; Refused where that cannot be."""
        self._watch.batch.hold(self._watch.trained.optimizers)

    def release_batch(self, *, restore: bool) -> None:
        """Go on with the script; the held batch is its next one. `restore` puts everything back as it was captured."""
        self._watch.batch.release(restore=restore)

    def loop_was_left(self) -> None:
        """The script let go of the loop in which a batch is held."""
        watch = self._watch
        if watch.on and self.overfitting:
            watch.guard("the optimizer", watch.boundary.close_step)
            watch.guard("overfitting", watch.batch.give_up)
            watch.guard("the steering", watch.steering.say_switches)

    def set_lr(self, lr: float) -> float:
        """Make `lr` the rate of the leading optimizer; its schedulers carry it on. The rate read back."""
        leader = self._watch.trained.leader
        schedulers = schedulers_of([leader])
        set_learning_rate(leader, cast(Any, _AsOne(schedulers)), lr)
        self.lr_to_hold = None if schedulers else lr
        self._lr_until = self._watch.position.executed + LR_HELD_STEPS
        return self._watch.trained.lr

    def see_whether_lr_holds(self, lr: float) -> None:
        """A step since it was set was made with `lr`: say so, if the script has set another meanwhile."""
        if lr != self.lr_to_hold:
            wanted = f"{self.lr_to_hold:g} did not hold"
            self.recorder.log(f"The script sets the learning rate itself: {wanted}, it is {lr:g} again.")
        if lr != self.lr_to_hold or self._watch.position.executed >= self._lr_until:
            self.lr_to_hold = None

    def clipping_is_the_users(self) -> None:
        """From now on gradients are clipped as the user says, not as the script does."""
        self._watch.gradients.by_user = True

    def save(self) -> None:
        """Write a checkpoint of all models and optimizers. Refused where it cannot be."""
        if self.overfitting:
            raise Refused("a batch is overfitted: what would be saved is not the script's own training.")
        watch, directory, keep = self._watch, Path(self._told.directory), self._told.keep_checkpoints
        save_script(watch.recorder, watch.models.roots, watch.trained.optimizers, directory, keep=keep)

    def save_at_stop(self) -> None:
        """Let go of a held batch, and save."""
        self.release_batch(restore=True)
        try:
            self.save()
        except Refused as refusal:
            self.recorder.log(str(refusal))
        self._watch.delivery.flush(wait=True)

    def say_validation(self, validation: Validation) -> None:
        """Say what the script's own validation came to."""
        self.recorder.journal.say(validation)
        for tip in self._watch.steering.tips:
            self._watch.guard("the tips", tip.on_validation, validation)
        self._watch.guard("the reports", self._watch.delivery.publish)  # the script may let go of its model soon

    def say_state(self, state: RunState, message: str = "") -> None:
        """Say what the run is doing now."""
        self.recorder.say(Status, state=state, message=message)


class _AsOne:
    """Schedulers as one, as `set_learning_rate` takes them."""

    def __init__(self, schedulers: list[Any]) -> None:
        self._schedulers = schedulers
