"""A script, as those see it who listen to its training."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tuitrain.engine.recorder import Position, Recorder
from tuitrain.engine.script.finding import schedulers_of

if TYPE_CHECKING:
    from tuitrain.engine.script.guard import Guard
    from tuitrain.engine.script.watch import Watch


class ScriptObserved:
    """What is known of a script; an `Observed`."""

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch
        self.recorder: Recorder = watch.recorder
        self.guard: Guard = watch.guard

    @property
    def own_loop(self) -> bool:
        """It is the script's."""
        return False

    @property
    def position(self) -> Position:
        """Where the script is."""
        return self._watch.position

    @property
    def models(self) -> dict[str, nn.Module]:
        """The models that are known, by the script's own variables."""
        return self._watch.models.roots

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimizers that are known."""
        return self._watch.trained.optimizers

    @property
    def overfitting(self) -> bool:
        """Whether one batch is held."""
        return self._watch.probe.overfitting

    def schedulers(self, optimizer: Optimizer) -> Sequence[LRScheduler]:
        """Those among all living objects, if torch has marked the optimizer as one that has any."""
        return schedulers_of([optimizer]) if hasattr(optimizer.step, "_wrapped_by_lr_sched") else ()

    def has_switch(self, word: str) -> bool:
        """Whether a word can be set in it."""
        return word in self._watch.steering.switches()

    def read_later(self, tensor: Tensor, use: Callable[[Tensor], None]) -> None:
        """Hand a tensor, once it is on the host, to `use`; nothing is read before the script has trained."""
        if self._watch.boundary.took_up:
            self._watch.delivery.scalars.read_later(tensor, use)
