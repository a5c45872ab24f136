"""One run from its order to its end: build, say what is built, train, save, say how it ended."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from tuitrain.engine.build import build_clipping, build_training, load_data
from tuitrain.engine.checkpoint import write_checkpoint
from tuitrain.engine.data import DataRequest, TaskData
from tuitrain.engine.devices import choose_device
from tuitrain.engine.digest import weights_sha256
from tuitrain.engine.loop import fit
from tuitrain.engine.mnist import DATA_VARIABLE
from tuitrain.engine.order import Order, load_order, save_order
from tuitrain.engine.probe import Probe
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.resuming import go_to_checkpoint
from tuitrain.engine.saved import resume, run_state
from tuitrain.engine.steering import StopTraining
from tuitrain.engine.tip import Refused
from tuitrain.engine.training import Training
from tuitrain.record.events import Checkpoint, End, Run, Status
from tuitrain.record.link import Inbox
from tuitrain.record.runs import CHECKPOINTS


class Session:
    """Carries out an order on the calling thread."""

    def __init__(self, order: Order, recorder: Recorder, inbox: Inbox, *, resumes: bool = False) -> None:
        self.order = order
        self.recorder = recorder
        self.inbox = inbox
        self.resumes = resumes
        self._checkpoints = order.directory / CHECKPOINTS
        self._data_origin = ""
        self._within_step = False
        """Whether an exception came in the middle of a step of the run's own."""

    def run(self) -> None:
        """Train to the end, or until stopped. UserError for what cannot be built; else what the model raises."""
        order, recorder = self.order, self.recorder
        if order.threads is not None:
            torch.set_num_threads(order.threads)
        device = choose_device(order.device)
        recorder.say(Status, state="loading", message="Loading the data")
        data = load_data(order.preset, DataRequest(order.data_dir, order.full, self._say_download))
        self._data_origin = data.origin
        training = build_training(order.preset, data, device)
        state = go_to_checkpoint(order, self.recorder, training, data.origin) if self.resumes else None
        self._keep_order()
        self._say_run(training, data)
        probe = self._probe(training)
        probe.begin(order.tips(), None if state is None else partial(resume, state=state))
        state = None  # as large as the model and its optimizer
        with self._saved_if_it_fails(probe):
            self._finish(probe, self._fit(probe))

    def _fit(self, probe: Probe) -> str:
        """Train; the reason why it ended."""
        try:
            fit(probe.training, probe)
        except StopTraining as stop:
            return stop.reason
        return "finished"

    def _finish(self, probe: Probe, reason: str) -> None:
        try:
            probe.finish(validate=reason != "stopped")
        except StopTraining as stop:  # stopped during the last validation
            reason = stop.reason
            probe.finish(validate=False)
        self.recorder.say(Status, state="stopped" if reason == "stopped" else "finished")
        last = probe.last_validation
        self.recorder.say(
            End,
            steps=probe.position.step,
            executed_steps=probe.position.executed,
            val_accuracy=last.accuracy if last else None,
            val_loss=last.loss if last else None,
            weights_sha256=weights_sha256(probe.training.model),
            reason=reason,
        )

    def _probe(self, training: Training) -> Probe:
        preset, order = self.order.preset, self.order
        probe = Probe(
            training,
            build_clipping(preset.clip),
            self.recorder,
            self.inbox,
            save=self._save,
            eval_in_validation=preset.train.eval,
            max_steps=order.max_steps,
            checkpoint_every=order.checkpoint_every,
            attended=order.attended,
        )
        if order.checks is not None:
            make, ignored = order.checks, preset.checks.ignore
            probe.observe(lambda run: make(run, ignored))
        return probe

    @contextmanager
    def _saved_if_it_fails(self, probe: Probe) -> Iterator[None]:
        """Save what was trained, and answer what waits, before an exception goes on its way."""
        try:
            yield
        except (Exception, SystemExit):
            self._within_step = probe.batch_at_hand and not probe.overfitting
            probe.release_batch(restore=True)
            probe.scalars.flush(wait=True)
            if probe.steering.saved_step < probe.position.step or not probe.position.step:
                probe.steering.try_to_save()  # else there is a better one of this step, from between two steps
            probe.steering.reject_the_rest()
            raise

    def _save(self, probe: Probe) -> None:
        """Write a checkpoint; Refused says why it cannot be."""
        state = run_state(probe) | {"data": self._data_origin, "within_step": self._within_step}
        keep = self.order.keep_checkpoints
        self.recorder.journal.commit()  # a run that goes on from here must find every row up to here
        try:
            path, digest = write_checkpoint(self._checkpoints, probe.position.step, state, keep=keep)
        except OSError as error:
            raise Refused(f"no checkpoint could be written ({error}); training goes on.") from error
        self.recorder.say(Checkpoint, path=str(path), sha256=digest, bytes=path.stat().st_size)

    def _keep_order(self) -> None:
        """Keep the order beside what is recorded; where that cannot be, say so and go on."""
        order, variable = self.order, os.environ.get(DATA_VARIABLE)
        if order.data_dir is None and variable:  # which may not be set where the run is resumed
            order = replace(order, data_dir=Path(variable))
        try:
            scheduled = load_order(order.directory, tips=order.tips)[1] if self.resumes else self.inbox.scheduled
            save_order(order, scheduled)
        except OSError as error:
            self.recorder.log(f"The order could not be kept ({error}): this run cannot be resumed.")

    def _say_download(self, name: str, share: float) -> None:
        self.recorder.say(Status, state="loading", message=f"Downloading {name}", progress=share)

    def _say_run(self, training: Training, data: TaskData) -> None:
        preset = self.order.preset
        steps_per_epoch = len(training.train)
        total = training.epochs * steps_per_epoch
        self.recorder.say(
            Run,
            preset=self.order.preset_name,
            title=preset.title,
            about=preset.about,
            device=str(training.device),
            data=data.origin,
            model=type(training.model).__name__,
            optimizer=type(training.optimizer).__name__,
            parameters=sum(parameter.numel() for parameter in training.model.parameters()),
            epochs=training.epochs,
            steps_per_epoch=steps_per_epoch,
            total_steps=total if self.order.max_steps is None else min(total, self.order.max_steps),
            batch_size=training.train.batch_size,
            seed=preset.train.seed,
            threads=torch.get_num_threads(),
            torch=str(torch.__version__),
        )
