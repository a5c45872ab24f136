"""What observes and steers a training loop: a handful of calls, and one place between two steps.

The loop asks for `epochs` and `batches`, and tells `clip`, `step` and `validate`. Everything else (commands, pausing,
overfitting one batch, stopping) happens in `_between_steps`, where the loop is at rest.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tuitrain.engine.data import Batch, Batches
from tuitrain.engine.gradients import Clipping, Norms, norm_after, norms_of_each, optimized
from tuitrain.engine.learning_rate import learning_rate
from tuitrain.engine.modes import Census, census
from tuitrain.engine.observer import Announcer, Observer, Observers
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.scalars import Row, Scalars
from tuitrain.engine.script.guard import Guard
from tuitrain.engine.snapshot import Snapshot, capture
from tuitrain.engine.steering import Steering
from tuitrain.engine.tip import Tip
from tuitrain.engine.training import Training, count_correct
from tuitrain.engine.tree import TreeReader
from tuitrain.engine.validation import evaluate
from tuitrain.engine.vitals import read_vitals
from tuitrain.record.events import GradientNorms, Mode, Status, Step, Validation, Vitals
from tuitrain.record.link import Inbox

FLUSH_INTERVAL_S = 0.1
SAMPLE_INTERVAL_S = 0.25
NORMS_INTERVAL_S = 1.0
REPORT_INTERVAL_S = 0.5
VITALS_INTERVAL_S = 1.0

_T = TypeVar("_T")


class _Note(NamedTuple):
    """What the host knows of a step while its scalars are still on the device."""

    executed: int
    step: int
    epoch: int
    time_s: float
    threshold: float
    lr: float
    predictions: int
    overfit: bool
    by_value: bool


class Probe:
    """Observes and steers one loop, on the thread that runs it."""

    def __init__(
        self,
        training: Training,
        clipping: Clipping,
        recorder: Recorder,
        inbox: Inbox,
        *,
        save: Callable[["Probe"], None],
        eval_in_validation: bool = True,
        max_steps: int | None = None,
        checkpoint_every: int | None = None,
        attended: bool = True,
    ) -> None:
        """`save` writes a checkpoint; `attended` says whether anyone can send commands while the run goes on."""
        self.training = training
        self.clipping = clipping
        self.recorder = recorder
        self.position = recorder.position
        self.eval_in_validation = eval_in_validation
        self.guard = Guard(recorder.log)
        self.observers: Observer = Observer()
        """Those who listen; see `observe`."""
        self.scalars = Scalars(training.device, self._deliver)
        self.tree = TreeReader(training.model, training.optimizer, recorder)
        self.tips: Sequence[Tip] = ()
        self.steering = Steering(
            self, inbox, save=save, max_steps=max_steps, checkpoint_every=checkpoint_every, attended=attended
        )
        self.last_validation: Validation | None = None
        """The last one of the run's own weights in the mode switched."""
        self.batch_at_hand = False
        """Whether a batch was given whose own step is still to come."""
        self._snapshot: Snapshot | None = None
        self._held_since = 0
        self._validated_at: int | None = None
        """Executed steps at the last validation that the run makes by itself."""
        self._resumed = False
        """Whether the epoch that was saved is still to be taken up."""
        self._norms: Norms | None = None
        self._parameters = optimized(training.optimizer)
        self._sampling = False
        self._next_sample_s = self._next_flush_s = self._next_norms_s = self._next_vitals_s = 0.0
        self._next_progress_s = self._next_report_s = 0.0
        self._mode: tuple[str, Census] | None = None
        self._mode_in_tree: Census | None = None

    def observe(self, make: Observers) -> None:
        """Let observers listen to the training from now on."""
        self.observers = Announcer(make(self), self.guard)

    # ------------------------------------------------------------------ what the loop calls

    def begin(self, tips: Sequence[type[Tip]], resume: Callable[["Probe"], None] | None = None) -> None:
        """Take up the tips, and say how everything stands before the first step, or the next: `resume` goes there."""
        self.tips = [tip(self) for tip in tips]
        if resume is not None:
            resume(self)
        self.structure_changed()
        self.steering.say_switches()
        self._look_at_modes("train")
        self.publish()

    def epochs(self, count: int) -> Iterator[int]:
        """The epochs of the run that are still to do, counted from 1."""
        first = max(1, self.position.epoch) if self._resumed else self.position.epoch + 1
        for epoch in range(first, count + 1):
            self.position.epoch = epoch
            self.say_state("running")
            yield epoch

    def batches(self, source: Batches) -> Iterator[Batch]:
        """The batches of an epoch as the model receives them; while overfitting, the held one again and again."""
        left = self._left_of_epoch(source)
        self._between_steps()
        for raw, targets in left:
            self.batch_at_hand = True
            while self.batch_at_hand:
                self.steering.batch_at_hand()
                batch = self._ready(raw, targets)
                self._sample(*batch)
                yield batch
                self.batch_at_hand = self.overfitting  # once more: held on or, just released, the next real batch
                self._between_steps()

    def loss(self, loss: Tensor) -> None:
        """Before backward: what it begins from."""
        self.observers.before_backward(loss)

    def clip(self) -> None:
        """After backward: clip as switched, and measure the norms."""
        self.observers.after_backward()
        self.observers.before_step(self.training.optimizer, by_closure=False)
        if self._sampling and self.recorder.now_s >= self._next_norms_s:
            self._measure_norms_of_each()
        self._norms = self.clipping(self._parameters)

    def step(self, loss: Tensor, predictions: Tensor, targets: Tensor) -> None:
        """After the optimizer's step: count it, and set its scalars on their way."""
        assert self._norms is not None, "clip() comes before step()"
        position, overfit = self.position, self.overfitting
        position.executed += 1
        position.step += not overfit
        note = _Note(
            position.executed,
            position.step,
            position.epoch,
            self.recorder.now_s,
            self.clipping.threshold,
            learning_rate(self.training.optimizer),
            targets.numel(),
            overfit,
            self._norms.after is not None,
        )
        correct = count_correct(predictions.detach(), targets) if overfit else None
        self.scalars.add(note, loss, self._norms.before, self._norms.after, correct)
        self.observers.after_step(self.training.optimizer)
        self._norms = None

    def validate(self, cause: Literal["epoch", "asked", "end"], modes: Sequence[Literal["eval", "train"]] = ()) -> None:
        """Validate in the mode switched, or in each of `modes`; leaves no trace.

        Not at an epoch's end where the run was saved after it had validated there.
        """
        if cause == "epoch" and self._validated_at == self.position.executed:
            return
        self.flush(wait=True)
        results = [
            self._validate_in(mode, cause) for mode in modes or ("eval" if self.eval_in_validation else "train",)
        ]
        for result in results:  # all or none, where it is broken off
            self._say_validation(result)
        if cause != "asked":
            self._validated_at = self.position.executed
        self._look_at_modes("train")
        self.publish()
        self.say_state("paused" if self.steering.paused else "running")

    def finish(self, *, validate: bool) -> None:
        """After the last step: save the run as it stands, let go of a held batch, and answer what still waits."""
        validated = self.last_validation is not None and self.last_validation.executed == self.position.executed
        if validate and not validated:
            self.validate("end")
        self.steering.take_what_is_due()
        self.steering.try_to_save()  # what is held, and what waits, is taken up again if the run is resumed
        self.release_batch(restore=True)
        self.steering.reject_the_rest()
        self.flush(wait=True)
        self.observers.ended()

    # ------------------------------------------------------------------ what the tips and the steering call

    @property
    def own_loop(self) -> bool:
        """The loop is the built-in one."""
        return True

    @property
    def models(self) -> dict[str, nn.Module]:
        """The model, which has no name."""
        return {"": self.training.model}

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The one."""
        return (self.training.optimizer,)

    def schedulers(self, optimizer: Optimizer) -> Sequence[LRScheduler]:
        """The one, if there is one."""
        return () if self.training.scheduler is None else (self.training.scheduler,)

    def has_switch(self, word: str) -> bool:
        """Whether a tip answers to a word."""
        return any(word in tip.words for tip in self.tips)

    def read_later(self, tensor: Tensor, use: Callable[[Tensor], None]) -> None:
        """Hand a tensor, once it is on the host, to `use`."""
        self.scalars.read_later(tensor, use)

    @property
    def overfitting(self) -> bool:
        """Whether one batch is held and trained on alone."""
        return self._snapshot is not None

    @property
    def steps_held(self) -> int:
        """Steps executed on the batch that is held, or was held last."""
        return self.position.executed - self._held_since

    @property
    def at_the_end(self) -> bool:
        """Whether the last batch of the last epoch was trained on: nothing is left to do."""
        train = self.training.train
        at_last_batch = self.position.epoch == self.training.epochs and train.position == len(train)
        return at_last_batch and not self.batch_at_hand

    @property
    def validates_on_demand(self) -> bool:
        """Whether both modes can be compared at any time."""
        return True

    def set_eval_in_validation(self, on: bool) -> None:
        """Have validation run in eval mode, or in the modes the modules train in."""
        self.eval_in_validation = on

    def facts(self, tip: str) -> Sequence[tuple[str, str]]:
        """What else is known of a tip's subject: the tips measure all of it themselves."""
        return ()

    def hold_batch(self) -> None:
        """Capture everything, and train on the batch just fetched alone until it is released."""
        training = self.training
        self._snapshot = capture(training.model, training.optimizer, training.scheduler)
        self._held_since = self.position.executed

    def release_batch(self, *, restore: bool) -> None:
        """Go on with the run; the held batch is its next one. `restore` puts everything back as it was captured."""
        snapshot, self._snapshot = self._snapshot, None
        if restore and snapshot is not None:
            snapshot.restore()

    def held_moment(self, look: Callable[[], _T]) -> _T | None:
        """What `look` sees of the moment at which the held batch was held; None if none is. Leaves no trace."""
        if self._snapshot is None:
            return None
        training, held = self.training, self._snapshot
        present = capture(training.model, training.optimizer, training.scheduler)
        held.restore()
        try:
            return look()
        finally:
            self._snapshot = capture(training.model, training.optimizer, training.scheduler)
            present.restore()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the probe itself, between two steps."""
        return {
            "held_since": self._held_since,
            "batch_at_hand": self.batch_at_hand,
            "validated_at": self._validated_at,
            "last_validation": msgspec.to_builtins(self.last_validation),
            "eval_in_validation": self.eval_in_validation,
        }

    def load_state(self, state: dict[str, Any], *, held: Snapshot | None) -> None:
        """Go on between those two steps, with the batch held from `held` on, if any."""
        self._snapshot, self._held_since = held, state["held_since"]
        self.batch_at_hand = state["batch_at_hand"]
        self._validated_at = state["validated_at"]
        self.last_validation = msgspec.convert(state["last_validation"], Validation | None)
        self.eval_in_validation = state["eval_in_validation"]
        self._resumed = True

    def structure_changed(self) -> None:
        """Look at the model's structure anew, and say it."""
        self._parameters = optimized(self.training.optimizer)
        self.tree.publish()

    def publish(self) -> None:
        """Let every tip say its report, if that changed."""
        self._next_report_s = self.recorder.now_s + REPORT_INTERVAL_S
        for tip in self.tips:
            tip.publish()
            self.observers.reported(tip)

    def flush(self, *, wait: bool = False) -> None:
        """Send the scalars gathered on their way and take in what arrived; with `wait`, all of them."""
        self.scalars.flush(wait=wait)
        now_s = self.recorder.now_s
        self._next_flush_s = now_s + FLUSH_INTERVAL_S
        if wait or now_s >= self._next_report_s:
            self.publish()
        if now_s >= self._next_vitals_s:
            self._next_vitals_s = now_s + VITALS_INTERVAL_S
            self.recorder.say(Vitals, **read_vitals(self.training.device)._asdict())

    def say_state(self, state: Literal["running", "paused", "validating"]) -> None:
        """Say what the run is doing now."""
        self.recorder.say(Status, state=state)

    # ------------------------------------------------------------------ within

    def _left_of_epoch(self, source: Batches) -> Iterator[Batch]:
        """A new epoch's batches; of the epoch that was saved those left, beginning with the one then at hand."""
        resumed, self._resumed = self._resumed, False
        if resumed and source.position == len(source):
            return iter(())
        batches = iter(source)
        return chain([next(batches)], batches) if resumed and self.batch_at_hand else batches

    def _between_steps(self) -> None:
        """The one place where anything is applied: no forward, backward or optimizer step is under way."""
        if self.scalars.full or self.recorder.now_s >= self._next_flush_s:
            self.flush()
        self.steering.between_steps()

    def _ready(self, raw: Tensor, targets: Tensor) -> Batch:
        """A batch as the model receives it; the held one as a copy, since a model may write into what it is given."""
        if self.overfitting:
            raw, targets = raw.clone(), targets.clone()
        return self.training.prepare(raw), targets

    def _deliver(self, notes: list[_Note], rows: list[Row]) -> None:
        steps = [_step(note, row) for note, row in zip(notes, rows, strict=True)]
        self.recorder.steps(steps)
        for tip in self.tips:
            tip.on_steps(steps)
        self.observers.steps(steps)

    def _sample(self, inputs: Tensor, targets: Tensor) -> None:
        """A few times a second, let the tips look at the batch, and read the modes."""
        now_s = self.recorder.now_s
        self._sampling = now_s >= self._next_sample_s
        if self._sampling:
            self._next_sample_s = now_s + SAMPLE_INTERVAL_S
            for tip in self.tips:
                tip.on_batch(inputs, targets)
            self.observers.batch(None, (inputs, targets), grad=True)
            self._look_at_modes("train")

    def _measure_norms_of_each(self) -> None:
        self._next_norms_s = self.recorder.now_s + NORMS_INTERVAL_S
        parameters = [parameter for parameter in self._parameters if parameter.grad is not None]
        if parameters:
            paths = self.tree.paths_of(parameters)
            self.scalars.read_later(norms_of_each(parameters), lambda norms: self._say_norms(paths, norms.tolist()))

    def _say_norms(self, paths: list[str], norms: list[float]) -> None:
        self.recorder.say(GradientNorms, norms=dict(zip(paths, norms, strict=True)))

    def _look_at_modes(self, phase: Literal["train", "validation"]) -> None:
        mode = census(self.training.model)
        if self._mode != (phase, mode):
            self._mode = (phase, mode)
            self.recorder.say(Mode, phase=phase, **mode._asdict())
        if phase == "train" and self._mode_in_tree != mode:
            if self._mode_in_tree is not None:
                self.tree.publish()
            self._mode_in_tree = mode

    def _validate_in(self, mode: Literal["eval", "train"], cause: Literal["epoch", "asked", "end"]) -> Validation:
        self.say_state("validating")
        result = evaluate(self.training, mode, self._validation_batch_done)
        position = self.position
        return Validation(
            executed=position.executed,
            step=position.step,
            time_s=self.recorder.now_s,
            epoch=position.epoch,
            mode=mode,
            cause=cause,
            **result._asdict(),
        )

    def _say_validation(self, validation: Validation) -> None:
        self.recorder.journal.say(validation)
        if not self.overfitting and (validation.mode == "eval") == self.eval_in_validation:
            self.last_validation = validation
        for tip in self.tips:
            tip.on_validation(validation)

    def _validation_batch_done(self, done: int, total: int) -> None:
        if done == 1:
            self._look_at_modes("validation")
        self.steering.raise_if_stop_was_sent()
        if self.recorder.now_s >= self._next_progress_s:
            self._next_progress_s = self.recorder.now_s + SAMPLE_INTERVAL_S
            self.recorder.say(Status, state="validating", progress=done / total)


def _step(note: _Note, row: Row) -> Step:
    return Step(
        executed=note.executed,
        step=note.step,
        time_s=note.time_s,
        epoch=note.epoch,
        loss=row.loss,
        norm_before=row.norm_before,
        norm_after=row.norm_after if note.by_value else norm_after(row.norm_before, note.threshold),
        max_norm=note.threshold,
        lr=note.lr,
        accuracy=row.correct / note.predictions,
        overfit=note.overfit,
    )
