"""What is said of a script beside its steps: how it loads data, in which modes it runs, and what can be had of it."""

import time
from typing import TYPE_CHECKING

from tuitrain.engine.script.capabilities import StepFacts, capabilities_of
from tuitrain.engine.script.rounds import Phase
from tuitrain.record.events import Capabilities, Capability

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch

Rows = tuple[tuple[str, str], ...]


class Reports:
    """Says each report when it changed."""

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch
        self.skipped = 0
        """Steps that a gradient scaler has skipped."""
        self._step = StepFacts()
        self._capabilities: tuple[Capability, ...] = ()
        self.start_the_clock_anew()

    def start_the_clock_anew(self) -> None:
        """Time from here on: what lay before was no training."""
        self._began_s = time.perf_counter()
        self._timed_steps = 0
        self._step_s = self._wait_s = 0.0
        self._watch.loading.wait_s = 0.0

    def step_done(self, phases: list[Phase], leading: Phase) -> None:
        """A step of the run has ended, of which one phase stands for all."""
        self._timed_steps += 1
        gathered = leading.gathered
        optimizers = tuple(type(phase.optimizer).__name__ for phase in phases)
        self._step = StepFacts(optimizers, leading.by_closure, gathered.backwards, gathered.loss is not None)

    def publish(self) -> None:
        """Say what has changed."""
        self._take_the_time()
        self.say_capabilities()

    def say_capabilities(self) -> None:
        """Say what is observed, what can be steered, and what not and why, if that is other than before."""
        rows = capabilities_of(self._watch, self._step)
        if rows != self._capabilities:
            self._capabilities = rows
            self._watch.recorder.say(Capabilities, rows=rows)

    def facts(self, tip: str) -> Rows:
        """What is known of a tip's subject beside what the tip measures."""
        match tip:
            case "shuffle":
                return self._data()
            case "modes":
                return self._modes()
        return ()

    def _data(self) -> Rows:
        loading = self._watch.loading
        step: Rows = (("step", f"{1e3 * self._step_s:.3g} ms"),) if self._step_s else ()
        if loading.trained_on is None:
            return (("order", "no DataLoader is trained on"), *step)
        share = 100 * self._wait_s / self._step_s if self._step_s else 0.0
        waits: Rows = (("waits", f"{1e3 * self._wait_s:.3g} ms of a step ({share:.0f} %) for data"),) if step else ()
        return (("order", self._watch.sampling.order), *step, *waits, ("batch", f"{loading.batch_size} samples"))

    def _modes(self) -> Rows:
        modes, last = self._watch.models.modes, self._watch.evaluation.last
        rows = [(phase, f"{mode} mode") for phase, mode in modes.items()]
        if last is not None:
            size = f"{last.samples:,} samples in {_count(last.batches, 'batch', 'batches')}"
            rows.append(("last pass", f"{size}, {last.seconds:.2f} s"))
        return tuple(rows)

    def _take_the_time(self) -> None:
        """The mean time of a step, and of the waiting in it, since the last time."""
        now_s, loading = time.perf_counter(), self._watch.loading
        if self._timed_steps:
            self._step_s = (now_s - self._began_s) / self._timed_steps
            self._wait_s = loading.wait_s / self._timed_steps
            self._began_s, self._timed_steps, loading.wait_s = now_s, 0, 0.0


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
