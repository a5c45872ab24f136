"""What is known of a script on its way to the host: scalars from the device in batches, reports, vitals."""

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import torch

from tuitrain.engine.scalars import CAPACITY, Row, Scalars
from tuitrain.engine.script.rounds import Gathered, Phase
from tuitrain.engine.script.steps import Note, note_of, step_of
from tuitrain.engine.tip import Refused
from tuitrain.engine.vitals import read_vitals
from tuitrain.record.events import Run, Vitals

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch

FLUSH_INTERVAL_S = 0.1
REPORT_INTERVAL_S = 0.5
REPORT_SHARE = 0.02
"""Reports take no more than this share of the time: of a very large model they come less often."""
VITALS_INTERVAL_S = 1.0


class Delivery:
    """Gathers the scalars of each step, and says several times a second what has arrived on the host."""

    def __init__(self, watch: "Watch", name: str) -> None:
        """`name` is what the run is called."""
        self._watch = watch
        self._name = name
        self._scalars: Scalars | None = None
        self._pending: list[tuple[Note, Gathered]] = []
        """Steps whose scalars are still as they were gathered: they are put together several times a second."""
        self._next_flush_s = self._next_report_s = self._next_vitals_s = self._next_switches_s = 0.0

    @property
    def scalars(self) -> Scalars:
        """What is to be read from the device goes this way."""
        if self._scalars is None:
            self._scalars = Scalars(self._watch.trained.device, self._deliver)
        return self._scalars

    def send(self, phase: Phase) -> None:
        """Set what is known of a step on its way; `phase` stands for all of it."""
        watch = self._watch
        note = note_of(watch.position, watch.recorder.now_s, phase, overfit=watch.probe.overfitting)
        self._pending.append((note, phase.gathered))

    def keep_up(self) -> None:
        """Between two steps: say what is due."""
        watch = self._watch
        now_s = watch.recorder.now_s
        if watch.gradients.changed and now_s >= self._next_switches_s:
            self._next_switches_s = now_s + REPORT_INTERVAL_S
            watch.steering.say_switches()
        if now_s >= self._next_flush_s or len(self._pending) == CAPACITY:
            self.flush()

    @torch.no_grad()
    def flush(self, *, wait: bool = False) -> None:
        """Send the scalars gathered on their way and take in what arrived; with `wait`, all of them."""
        watch = self._watch
        if self._pending:
            watch.guard("the scalars", self._put_together)
        if self._scalars is not None:
            self._scalars.flush(wait=wait)
        now_s = watch.recorder.now_s
        self._next_flush_s = now_s + FLUSH_INTERVAL_S
        if watch.boundary.took_up and (wait or now_s >= self._next_report_s):
            watch.guard("the reports", self.publish)
            if "the reports" in watch.guard.off:
                watch.guard("the capabilities", watch.reports.say_capabilities)
        if watch.boundary.took_up and now_s >= self._next_vitals_s:
            self._next_vitals_s = now_s + VITALS_INTERVAL_S
            watch.recorder.say(Vitals, **read_vitals(watch.trained.device)._asdict())
        watch.wire.flush()

    def publish(self) -> None:
        """Let every tip say its report, if that changed, and say how the script stands."""
        watch = self._watch
        began_s = watch.recorder.now_s
        watch.steering.say_what_changed()
        for tip in watch.steering.tips:
            with suppress(Refused):  # the script holds its model or its optimizer no more
                tip.publish()
            watch.observers.reported(tip)
        watch.reports.publish()
        now_s = watch.recorder.now_s
        self._next_report_s = now_s + max(REPORT_INTERVAL_S, (now_s - began_s) / REPORT_SHARE)

    def say_run(self) -> None:
        """Say what is trained, and on what, now that it is known."""
        watch = self._watch
        models, loading = watch.models, watch.loading
        watch.recorder.say(
            Run,
            preset=self._name,
            title=self._name,
            about="A script, as it is.",
            device=str(watch.trained.device),
            data="the script's own data",
            model=", ".join(type(model).__name__ for model in models.roots.values()),
            optimizer=", ".join(type(optimizer).__name__ for optimizer in watch.trained.optimizers),
            parameters=sum(parameter.numel() for parameter in models.parameters()),
            epochs=0,
            steps_per_epoch=-(-loading.steps_per_epoch // loading.batches_per_step),
            total_steps=0,
            batch_size=loading.batch_size,
            seed=torch.initial_seed() % 2**63,
            threads=torch.get_num_threads(),
            torch=str(torch.__version__),
        )

    def _put_together(self) -> None:
        pending, self._pending = self._pending, []
        absent = torch.full((), math.nan, device=self._watch.trained.device)
        for note, gathered in pending:
            loss, before = (absent if each is None else each for each in (gathered.loss, gathered.norm))
            self.scalars.add(note, loss, before, gathered.norm_after, None)

    def _deliver(self, notes: list[Note], rows: list[Row]) -> None:
        watch = self._watch
        steps = [step_of(note, row) for note, row in zip(notes, rows, strict=True)]
        watch.recorder.steps(steps)
        for tip in watch.steering.tips:
            watch.guard("the tips", tip.on_steps, steps)
        watch.observers.steps(steps)
