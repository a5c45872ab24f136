"""What is told of a training to whoever listens: the calls that a loop makes, in the order in which it makes them.

An `Observer` overrides what it wants to hear, and costs nothing where it hears nothing. All is told on the thread that
trains; nobody may change what it is shown, or read a value from a device there (see `Observed.read_later`).
"""

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tuitrain.engine.recorder import Position, Recorder
from tuitrain.record.events import Step

if TYPE_CHECKING:
    from tuitrain.engine.script.guard import Guard
    from tuitrain.engine.tip import Tip


class Observed(Protocol):
    """The training that is told of."""

    recorder: Recorder
    guard: "Guard"

    @property
    def own_loop(self) -> bool:
        """Whether the loop is tuitrain's own, so that the order of its calls is known to be right."""

    @property
    def position(self) -> Position:
        """Where the run is."""

    @property
    def models(self) -> dict[str, nn.Module]:
        """The models that are known, by name; of a preset the one, named by the empty string."""

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimizers that are known."""

    @property
    def overfitting(self) -> bool:
        """Whether one batch is held."""

    def schedulers(self, optimizer: Optimizer) -> Sequence[LRScheduler]:
        """The learning rate schedulers of an optimizer; where they are not known, a look takes some 50 ms."""

    def has_switch(self, word: str) -> bool:
        """Whether a word of tuitrain.record.commands.WORDS can be set in it."""

    def read_later(self, tensor: Tensor, use: Callable[[Tensor], None]) -> None:
        """Hand a tensor, once it is on the host, to `use`."""


class Observer:
    """Hears nothing, until a method is overridden."""

    name = "the checks"
    """What it is called where it fails."""

    def before_backward(self, tensors: Any) -> None:  # noqa: ANN401 - what torch.autograd.backward takes
        """A backward pass is about to begin from these."""

    def after_backward(self) -> None:
        """It was done."""

    def before_clip(self, parameters: list[Tensor], bound: object, *, by_value: bool) -> None:
        """Gradients are about to be clipped: to a total norm, or each value to a bound."""

    def after_clip(self, parameters: list[Tensor]) -> None:
        """They were."""

    def scaled(self) -> None:
        """A gradient scaler has scaled a loss."""

    def before_unscale(self, optimizer: Optimizer) -> None:
        """A gradient scaler is about to unscale the gradients of an optimizer."""

    def after_unscale(self, optimizer: Optimizer) -> None:
        """It has done so."""

    def before_step(self, optimizer: Optimizer, *, by_closure: bool) -> None:
        """An optimizer is about to step."""

    def after_step(self, optimizer: Optimizer) -> None:
        """It has stepped."""

    def skipped(self) -> None:
        """A gradient scaler has skipped its optimizer's step."""

    def layer_called(self, name: str, data: Tensor, *, active: bool) -> None:
        """Dropout or batch norm with running statistics is called; `active`: as in training."""

    def parameter_made(self, owner: nn.Module, name: str) -> None:
        """A module was given a new parameter after training began."""

    def asked(self, iterator: Any, *, grad: bool) -> None:  # noqa: ANN401 - an iterator of a DataLoader
        """A batch is asked for; `grad` says whether gradients are enabled."""

    def batch(self, iterator: Any, batch: Any, *, grad: bool) -> None:  # noqa: ANN401
        """It was fetched."""

    def pass_ended(self, iterator: Any, *, grad: bool) -> None:  # noqa: ANN401
        """A pass over a DataLoader is over."""

    def ended(self) -> None:
        """The training is over."""

    def steps(self, steps: Sequence[Step]) -> None:
        """Executed steps, now that their scalars are on the host."""

    def reported(self, tip: "Tip") -> None:
        """A tip has said its report, or has nothing new to say."""


EVENTS = tuple(name for name, _ in inspect.getmembers(Observer, inspect.isfunction) if not name.startswith("_"))

Observers = Callable[[Observed], Sequence[Observer]]
"""Makes those who listen to a training."""


class Announcer(Observer):
    """Tells several observers, through a guard: one that fails is heard no more."""

    def __init__(self, observers: Sequence[Observer], guard: "Guard") -> None:
        for event in EVENTS:
            heard = [(each.name, getattr(each, event)) for each in observers if event in _overridden(each)]
            if heard:
                setattr(self, event, _told(heard, guard))


def _overridden(observer: Observer) -> set[str]:
    return {event for event in EVENTS if getattr(type(observer), event) is not getattr(Observer, event)}


def _told(heard: list[tuple[str, Callable[..., None]]], guard: "Guard") -> Callable[..., None]:
    def tell(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the event has them
        for name, hear in heard:
            if name not in guard.off:
                try:
                    hear(*args, **kwargs)
                except Exception as error:  # the script goes on, whatever it is
                    guard.switch_off(name, error)

    return tell
