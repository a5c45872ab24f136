"""One batch held: everything captured as it was when the batch was fetched, the batch given again and again, and back.

The script's loop asks its DataLoader's iterator for the next batch and gets the held one; the iterator itself rests.
"""

import copy
import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tuitrain.engine.registry import all_tensors
from tuitrain.engine.script.carried import Carried
from tuitrain.engine.script.finding import Together, root_models, scalers, schedulers_of
from tuitrain.engine.script.frames import script_frames
from tuitrain.engine.script.looping import counters_around, place_of, refuse_what_runs_on
from tuitrain.engine.snapshot import Snapshot, capture
from tuitrain.engine.tip import Refused

_ENUMERATE_INDEX = object.__basicsize__
"""Where an enumerate object keeps its index, in CPython; never written to before it was found there."""


class Moment:
    """Everything that training changes in a script, at one moment; `restore` puts it back, once."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        models = root_models()
        everything = Together(models)
        self._snapshots: list[Snapshot] = [capture(everything, optimizers[0], None)]
        self._snapshots += [capture(nn.Module(), optimizer, None) for optimizer in optimizers[1:]]
        self._schedulers: list[tuple[LRScheduler, dict[str, Any]]] = [
            (scheduler, copy.deepcopy(scheduler.state_dict())) for scheduler in schedulers_of(optimizers)
        ]
        self._scalers = [(scaler, _scaler_state(scaler)) for scaler in scalers()]
        self._carried = Carried(script_frames(), all_tensors(everything))

    def restore(self) -> list[str]:
        """Put everything back; what could not be, in a clause each."""
        troubles = self._carried.put_back(script_frames())
        for scheduler, state in self._schedulers:
            scheduler.load_state_dict(state)
        for scaler, attributes in self._scalers:
            _load_scaler_state(scaler, attributes)
        for snapshot in self._snapshots:
            snapshot.restore()
        return troubles


class Held:
    """The batch that is held, and the moment to go back to."""

    def __init__(
        self,
        iterator: Any,  # noqa: ANN401 - an iterator of a DataLoader
        batch: Any,  # noqa: ANN401 - whatever a collate function makes
        optimizers: Sequence[Optimizer],
        left: Callable[[], None],
    ) -> None:
        """Capture. `left` is called if the script lets go of its loop meanwhile. Refused where it cannot be."""
        refuse_what_runs_on(iterator)
        self._pristine = copied(batch)
        self._batch = batch
        self._moment = Moment(optimizers)
        self._given = 0
        self._yielded = iterator._num_yielded
        self._place = place_of(script_frames())
        self.iterator = weakref.ref(iterator, lambda _: left())

    def again(self) -> Any:  # noqa: ANN401 - a batch
        """The batch once more: a copy, for a script may write into what it is given."""
        self._given += 1
        return copied(self._pristine)

    def at_its_place(self) -> bool:
        """Whether the script is where it was, and nowhere else does what was captured belong."""
        return place_of(script_frames()) == self._place

    def began_anew(self) -> bool:
        """Whether the iterator, which its DataLoader keeps, was set to its beginning: the script left its loop."""
        iterator = self.iterator()
        return iterator is not None and iterator._num_yielded < self._yielded

    def release(self, *, restore: bool) -> tuple[Any, list[str]]:
        """The held batch itself, to be the next one; and what could not be put back."""
        troubles = self._moment.restore() if restore else []
        iterator = self.iterator()
        counters = [] if iterator is None else counters_around(iterator)
        return self._batch, troubles + [trouble for each in counters if (trouble := unwind(each, self._given))]


def unwind(counter: "enumerate[Any]", count: int) -> str | None:
    """Let an enumerate object count `count` less; gives the reason where that cannot be."""
    index = counter.__reduce__()[1][1]
    field = ctypes.c_ssize_t.from_address(id(counter) + _ENUMERATE_INDEX)
    if field.value != index or index < count:
        return "the index of enumerate, which went on counting"
    field.value = index - count
    if counter.__reduce__()[1][1] != index - count:
        raise AssertionError("an enumerate object is not laid out as it was found to be")
    return None


def copied(batch: Any) -> Any:  # noqa: ANN401 - whatever a DataLoader's collate function makes
    """A deep copy of a batch; Refused if it cannot be copied."""
    match batch:
        case Tensor() if type(batch) is Tensor:
            return batch.detach().clone().requires_grad_(batch.requires_grad)
        case dict() if type(batch) is dict:
            return {key: copied(value) for key, value in batch.items()}
        case list() | tuple() if type(batch) in (list, tuple):
            return type(batch)(copied(item) for item in batch)
    try:
        return copy.deepcopy(batch)
    except Exception as error:  # whatever a class of the script's own raises
        raise Refused(f"the script's batch, a {type(batch).__name__}, cannot be copied ({error}).") from error


def _scaler_state(scaler: torch.amp.GradScaler) -> dict[str, Any]:
    state = {name: value.clone() if isinstance(value, Tensor) else value for name, value in vars(scaler).items()}
    return state | {"_per_optimizer_states": copy.deepcopy(dict(scaler._per_optimizer_states))}


def _load_scaler_state(scaler: torch.amp.GradScaler, state: dict[str, Any]) -> None:
    states = state.pop("_per_optimizer_states")
    vars(scaler).update(state)
    scaler._per_optimizer_states.clear()
    scaler._per_optimizer_states.update(states)
