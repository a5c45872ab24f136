"""What watches and steers a script, from within the calls of torch that the script makes.

Its methods are called by `patches.py`, on the script's main thread, and raise nothing but what is to stop the script.
Whatever goes wrong in an observer switches that one off; the script does not notice.
"""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer
from torch.utils.weak import WeakIdKeyDictionary

from tuitrain.engine.gradients import Norms
from tuitrain.engine.observer import Announcer, Observer, Observers
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.script.boundary import Boundary
from tuitrain.engine.script.delivery import Delivery
from tuitrain.engine.script.evaluation import Evaluation
from tuitrain.engine.script.feeding import Feeding
from tuitrain.engine.script.guard import Guard
from tuitrain.engine.script.loading import Loading
from tuitrain.engine.script.messages import Briefing
from tuitrain.engine.script.models import Models
from tuitrain.engine.script.norms import Gradients
from tuitrain.engine.script.observed import ScriptObserved
from tuitrain.engine.script.overfitting import Given, Overfitting
from tuitrain.engine.script.probe import ScriptProbe
from tuitrain.engine.script.reports import Reports
from tuitrain.engine.script.rounds import Rounds, root_of
from tuitrain.engine.script.sampling import Sampling
from tuitrain.engine.script.steering import ScriptSteering
from tuitrain.engine.script.steps import rate_of
from tuitrain.engine.script.trained import Trained
from tuitrain.engine.script.unseen import ENOUGH_BACKWARDS
from tuitrain.engine.script.wire import Wire
from tuitrain.engine.tip import Tip
from tuitrain.record.journal import Journal
from tuitrain.record.link import Inbox

LOOK_INTERVAL_S = 0.25


class Watch:
    """Watches the script of this process."""

    def __init__(self, told: Briefing, wire: Wire, tips: list[type[Tip]]) -> None:
        """Watch as its host has `told`; `tips` are those that can be had for any script."""
        self.on = True
        """Whether anything is still observed in this process."""
        self.is_ending = False
        """Whether the script's interpreter ends."""
        self.forks = 0
        """Processes that were forked from this one; workers of DataLoaders are such, too."""
        self.wire = wire
        self.recorder = Recorder(cast(Journal, wire))  # it takes events as a journal does
        self.position = self.recorder.position
        self.guard = Guard(self.recorder.log)
        self.rounds = Rounds()
        self.loading = Loading()
        self.trained = Trained()
        self.models = Models(self.recorder)
        self.delivery = Delivery(self, told.name)
        self.gradients = Gradients(self.rounds, self.models, self.recorder, lambda: self.delivery.scalars)
        self.probe = ScriptProbe(self, told)
        self.batch = Overfitting(self.loading, self.recorder, self.probe.loop_was_left)
        self.steering = ScriptSteering(self, Inbox(told.scheduled), tips, attended=told.attended)
        self.sampling = Sampling(self.loading)
        self.feeding = Feeding(self)
        self.reports = Reports(self)
        self.boundary = Boundary(self)
        self.evaluation = Evaluation(self)
        self.observers: Observer = Observer()
        """Those who listen; see `observe`."""
        self._scaled: Any = WeakIdKeyDictionary()
        """Of what gradient scalers made, the losses."""
        self._scales = False
        self._root: Tensor | None = None
        self._next_look_s = 0.0
        self.probe.say_state("loading", f"{told.name} has loaded torch")
        wire.flush()

    def observe(self, make: Observers) -> None:
        """Let observers listen to the training from now on."""
        self.observers = Announcer(make(ScriptObserved(self)), self.guard)

    def before_backward(self, tensors: object) -> None:
        """The script is about to do a backward pass."""
        self.observers.before_backward(tensors)
        if self.evaluation.under_way is not None:
            self.guard("validation", self.evaluation.before_backward)
        self._root = self.guard("the loss", root_of, tensors, self._unscaled)

    def after_backward(self) -> None:
        """It has done it."""
        root, self._root = self._root, None
        self.guard("the loss", self.rounds.backward, root)
        self.guard("the DataLoader", self.loading.backward)
        self.guard("the modes", self._look_at_modes)
        self.observers.after_backward()
        if self.rounds.backwards == ENOUGH_BACKWARDS and not self.trained.steps:
            self.guard("the reports", self.reports.say_capabilities)
            self.wire.flush()
        stepping = self.rounds.stepping
        if stepping is not None and stepping.gathered.backwards == 1:  # within a closure
            self.guard("the gradient norm", self.gradients.measure, stepping.optimizer)

    def before_step(self, optimizer: Optimizer, *, by_closure: bool) -> None:
        """An optimizer is about to step: the boundary, too, where no DataLoader is one."""
        if self.rounds.has_stepped(optimizer) or not (self.boundary.took_up or self.loading.trained_on):
            self.guard("the steering", self.boundary.reach)
        self.guard("the optimizer", self._begin_step, optimizer, by_closure)
        stepping = self.rounds.stepping
        if stepping is not None and not by_closure and not stepping.gathered.clipped:
            self.guard("the gradient norm", self.gradients.measure, optimizer)
        self.observers.before_step(optimizer, by_closure=by_closure)

    def after_step(self, optimizer: Optimizer) -> None:
        """It has stepped."""
        self.trained.steps += 1
        self.guard("the optimizer", self.rounds.end_step)
        self.observers.after_step(optimizer)

    def clip_instead(self, parameters: list[Tensor]) -> Norms | None:
        """Clip in the place of the script, where the user has changed how; the norms then, else None."""
        return self.guard("the clipping", self.gradients.clip, parameters) if self.gradients.by_user else None

    def clipped_by_norm(self, parameters: list[Tensor], norm: Tensor, max_norm: object, norm_type: object) -> None:
        """The script has clipped by the total norm, which was `norm` before."""
        self.guard("the clipping", self.gradients.script_clipped, parameters, norm, max_norm, norm_type)

    def norm_before_clamping(self, parameters: list[Tensor]) -> Tensor | None:
        """The total norm, before the script clamps each value of the gradients."""
        return self.guard("the clipping", self.gradients.norm, parameters)

    def clipped_by_value(self, parameters: list[Tensor], before: Tensor | None, bound: object) -> None:
        """The script has clamped."""
        if before is not None:
            self.guard("the clipping", self.gradients.script_clamped, parameters, before, bound)

    def scaled(self, scaled: Tensor, loss: Tensor) -> None:
        """A gradient scaler has made `scaled` of a loss."""
        self._scales = True
        self.guard("the loss", self._scaled.__setitem__, scaled, loss.detach())
        self.observers.scaled()

    def skipped(self) -> None:
        """A gradient scaler has skipped its optimizer's step, for a gradient was not finite."""
        self.guard("the gradient scaler", self._see_skip)
        self.observers.skipped()

    def before_batch(self, iterator: Any) -> Given | None:  # noqa: ANN401 - an iterator of a DataLoader
        """The script asks for a batch to train on: the boundary. What it gets if one is held; else None."""
        if self.evaluation.under_way is not None:
            self.guard("validation", self.evaluation.end)
        if self.rounds.at_rest:
            self.probe.asking = iterator
            try:
                self.guard("the steering", self.boundary.reach)
            finally:
                self.probe.asking = None
        self.guard("the DataLoader", self.loading.asked, iterator)
        given = self.guard("overfitting", self.batch.given_by, iterator)
        return None if given is None else given._replace(batch=self._given(given.batch))

    def after_batch(self, iterator: Any, batch: Any, wait_s: float) -> Any:  # noqa: ANN401
        """It was fetched; what the script gets."""
        self.guard("the DataLoader", self.loading.fetched, batch, wait_s)
        wanted = self.steering.wants_batch and self.loading.trains_on(iterator)
        if wanted and self.guard("overfitting", self.batch.at_hand, iterator, batch):
            self.guard("the steering", self.steering.batch_at_hand)
            given = self.guard("overfitting", self.batch.given_by, iterator)
            batch = batch if given is None else given.batch
        return self._given(batch)

    def no_more_batches(self, iterator: Any) -> None:  # noqa: ANN401
        """A pass over a DataLoader is over."""
        self.guard("the DataLoader", self.loading.ended, iterator)

    def before_evaluation(self) -> None:
        """The script asks for a batch to evaluate: nothing is applied there but a stop."""
        self.guard("the steering", self.evaluation.before_batch)

    def evaluates(self, iterator: Any, batch: Any) -> Any:  # noqa: ANN401
        """It was fetched; what the script gets."""
        self.guard("validation", self.evaluation.batch, iterator, batch)
        given = self.guard("the data", self.feeding.give_to_evaluate, batch)
        return batch if given is None else given

    def loss_returned(self, name: str, arguments: Mapping[str, Any], value: Tensor) -> None:
        """A loss function of torch.nn.functional has returned, while it evaluates."""
        self.guard("validation", self.evaluation.hear, name, arguments, value)

    def evaluation_ended(self) -> None:
        """A pass without training is over."""
        self.guard("validation", self.evaluation.exhausted)

    def has_forked(self) -> None:
        """A process was forked from this one."""
        self.forks += 1

    def leave_to_parent(self) -> None:
        """In a process forked from the script's: nothing is observed, and what leads to the host is closed."""
        self.on = False
        self.wire.close()

    def end(self) -> None:
        """The interpreter ends: say what is left to say."""
        if self.on:
            self.is_ending = True
            self.observers.ended()
            self.guard("the end", self.boundary.end)
            self.on = False
            self.wire.farewell()

    def _given(self, batch: Any) -> Any:  # noqa: ANN401
        given = self.guard("the data", self.feeding.give, batch)
        return batch if given is None else given

    def _begin_step(self, optimizer: Optimizer, by_closure: bool) -> None:
        if self.trained.meet(optimizer) and self.boundary.took_up:
            self.boundary.look_at_models()
        self.rounds.begin_step(optimizer, rate_of(optimizer), by_closure=by_closure)

    def _unscaled(self, root: Tensor) -> Tensor:
        return cast(Tensor, self._scaled.get(root, root)) if self._scales else root

    def _see_skip(self) -> None:
        self.reports.skipped += 1
        self.rounds.skip()
        self.loading.step_done()
        if self.reports.skipped == 1:
            after = f"after step {self.position.step:,}"
            self.recorder.log(f"The gradient scaler skipped a step {after}: a gradient was not finite.")

    def _look_at_modes(self) -> None:
        now_s = self.recorder.now_s
        if self.boundary.took_up and now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_INTERVAL_S
            self.models.say_modes("train")
