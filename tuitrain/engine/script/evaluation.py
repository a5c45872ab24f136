"""A script's passes over a DataLoader without training: how many samples, in which mode, and what they came to."""

import math
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from torch import Tensor

from tuitrain.engine.script.forcing import EvalMode
from tuitrain.engine.script.loading import samples_in, weakly
from tuitrain.engine.script.losses import Losses
from tuitrain.engine.script.results import Results, means_of
from tuitrain.record.events import Validation

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch

POLL_S = 0.1


class Pass:
    """One pass."""

    def __init__(self, iterator: Any, left: Callable[[], None], *, validates: bool) -> None:  # noqa: ANN401
        """A pass of an iterator of a DataLoader; `left` is called if the script lets go of that."""
        self.sampler = iterator._index_sampler
        self.validates = validates
        """Whether what it comes to is to be seen: it is on data that the script does not train on."""
        self.results = Results()
        self.batches = 0
        self.samples = 0
        self.mode: Literal["", "train", "eval"] = ""
        """The mode that the models were in; empty while it was not looked at."""
        self._iterator: Callable[[], Any] = weakref.ref(iterator, lambda _: left())
        self._began_s = time.perf_counter()
        self._ended_s = 0.0

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self._ended_s - self._began_s

    @property
    def was_left(self) -> bool:
        """Whether the script has let go of its iterator."""
        return self._iterator() is None

    def is_over(self, iterator: Any) -> bool:  # noqa: ANN401
        """Whether a batch of an iterator begins another one."""
        return self._iterator() is not iterator or bool(iterator._num_yielded <= 1)

    def end(self) -> None:
        """It has come to its end."""
        self._ended_s = self._ended_s or time.perf_counter()


class Evaluation:
    """Follows the passes. Nothing is applied in one but a stop."""

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch
        self._next_poll_s = 0.0
        self._losses = Losses(watch.loss_returned)
        self._leading: Callable[[], object] = lambda: None
        """The index sampler of what the script validates on: of several, the first that was seen."""
        self.eval_mode = EvalMode()
        self.own_mode: Literal["", "train", "eval"] = ""
        """The mode that the script itself last evaluated in; empty where that was not seen."""
        self.under_way: Pass | None = None
        self.last: Pass | None = None
        """The last one that came to its end on what the script validates on."""

    def before_batch(self) -> None:
        """The script asks for a batch to evaluate."""
        watch = self._watch
        watch.boundary.close_step()
        if watch.boundary.took_up and watch.recorder.now_s >= self._next_poll_s:
            self._next_poll_s = watch.recorder.now_s + POLL_S
            watch.delivery.flush()
            watch.steering.between_validation_batches()

    def batch(self, iterator: Any, batch: Any) -> None:  # noqa: ANN401 - an iterator of a DataLoader, and its batch
        """It has got it."""
        try:
            if self.under_way is None or self.under_way.is_over(iterator):
                self._begin(iterator)
            self._see(batch)
        except Exception:
            self._let_go()
            raise

    def hear(self, name: str, arguments: Mapping[str, Any], value: Tensor) -> None:
        """A loss function has returned a value."""
        try:
            if self.under_way is not None:
                self._look_at_mode(self.under_way)
                self.under_way.results.hear(name, arguments, value)
        except Exception:
            self._let_go()
            raise

    def exhausted(self) -> None:
        """There are no more batches to evaluate; the script's modes are still those of the pass."""
        if self.under_way is not None:
            self._look_at_mode(self.under_way)
        self.end()

    def end(self) -> None:
        """The pass under way, if any, is over."""
        done, self.under_way = self.under_way, None
        self._let_go()
        if done is None:
            return
        done.end()
        watch = self._watch
        watch.reports.start_the_clock_anew()
        if watch.boundary.took_up:
            if done.validates:
                self.last = done
                self._say(done)
            watch.probe.say_state("running")
            watch.delivery.flush()

    def before_backward(self) -> None:
        """What was taken for an evaluation is trained on."""
        if self.under_way is not None:
            self._watch.loading.trains_after_all(self.under_way.sampler)
            self.end()

    def _begin(self, iterator: Any) -> None:  # noqa: ANN401
        self.end()
        watch = self._watch
        took_up = watch.boundary.took_up
        others = took_up and not watch.loading.is_training_data(iterator)
        if others and self._leading() is None:
            self._leading = weakly(iterator._index_sampler)
        validates = others and self._leading() is iterator._index_sampler
        self.under_way = Pass(iterator, self._left, validates=validates)
        if took_up:
            watch.probe.say_state("validating")
            self.eval_mode.begin(watch.models.roots.values())

    def _see(self, batch: Any) -> None:  # noqa: ANN401
        under_way = self.under_way
        assert under_way is not None
        under_way.batches += 1
        under_way.samples += samples_in(batch)
        if under_way.batches == 2:
            self._look_at_mode(under_way)
        if under_way.validates:
            under_way.results.next_batch()
            self._losses.listen()

    def _look_at_mode(self, under_way: Pass) -> None:
        """At the first loss, the second batch, or the end: by then the script has set it."""
        if not under_way.mode and self._watch.boundary.took_up:
            under_way.mode = self._watch.models.say_modes("validation")
            if not self.eval_mode.at_work:
                self.own_mode = under_way.mode

    def _let_go(self) -> None:
        self._losses.leave()
        self.eval_mode.end()

    def _left(self) -> None:
        """The script let go of the iterator of a pass; what it came to is said at the next call."""
        if self._watch.on and self.under_way is not None and self.under_way.was_left:
            self._let_go()
            self.under_way.end()

    def _say(self, done: Pass) -> None:
        """Publish what the pass came to, as soon as that is on the host."""
        if done.results.sums is None or not done.mode:
            return
        validation = Validation(
            executed=self._watch.position.executed,
            step=self._watch.position.step,
            time_s=self._watch.recorder.now_s,
            epoch=self._watch.position.epoch,
            mode=done.mode,
            cause="epoch",
            loss=math.nan,
            accuracy=math.nan,
            samples=done.samples,
            seconds=done.seconds,
        )
        heard_all = done.results.batches == done.batches

        def say(sums: Tensor) -> None:
            means = means_of(sums)._asdict() if heard_all else {}
            self._watch.probe.say_validation(msgspec.structs.replace(validation, **means))

        self._watch.delivery.scalars.read_later(done.results.sums, say)
