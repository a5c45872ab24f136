"""What a script carries from batch to batch in its own variables: captured, and put back.

Hidden states, counters, running sums, lists of losses, the attributes of a trainer object: whatever stands in the
variables of the frames under execution, and in plain containers and objects of the script's own classes there. Models,
optimizers and generators are captured elsewhere, objects of installed packages are left alone.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType, GeneratorType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from tuitrain.engine.script.batches import Batches
from tuitrain.engine.script.frames import is_installed, set_variables, variables_of
from tuitrain.engine.snapshot import write_values

MOST_BYTES = 256 * 2**20
"""The most that is copied of tensors; of those beyond it is only known whether they were written into."""
MOST_ITEMS = 20_000
"""The most objects that are looked into."""
MOST_DEPTH = 5

PutBack = Callable[[], str | None]
"""Puts one thing back; gives the reason where it cannot."""

_CAPTURED_ELSEWHERE = (nn.Module, Optimizer, LRScheduler, torch.amp.GradScaler, DataLoader, Dataset, torch.Generator)
_ITERATORS = (_BaseDataLoaderIter, Batches, enumerate, GeneratorType)


class Carried:
    """The variables of frames at one moment, with what is in them."""

    def __init__(self, frames: Iterable[FrameType], known: Iterable[Tensor]) -> None:
        """`known` are tensors that are captured elsewhere."""
        self._bindings = {(id(frame), frame.f_code): _without_iterators(variables_of(frame)) for frame in frames}
        self._seen = {id(tensor) for tensor in known}
        self._kept: list[object] = []  # so that no id is given again
        self._bytes = self._items = 0
        self._contents: list[PutBack] = []
        for variables in self._bindings.values():
            for name, value in variables.items():
                if not (name.startswith("__") and name.endswith("__")):
                    self._look(value, 0)

    def put_back(self, frames: Iterable[FrameType]) -> list[str]:
        """Put all back, the variables in those frames that are still there; what could not be, in a clause each."""
        troubles = [trouble for put in self._contents if (trouble := put()) is not None]
        for frame in frames:
            set_variables(frame, self._bindings.get((id(frame), frame.f_code), {}))
        return troubles

    def _look(self, value: Any, depth: int) -> None:  # noqa: ANN401 - any variable of any script
        if id(value) in self._seen or depth > MOST_DEPTH or self._items > MOST_ITEMS or _is_left_alone(value):
            return
        self._seen.add(id(value))
        self._kept.append(value)
        self._items += 1
        match value:
            case Tensor():
                self._keep_tensor(value)
            case list():
                self._keep_list(value, depth)
            case dict():
                self._keep_dict(value, depth)
            case tuple():
                self._look_at_all(value, depth)
            case set():
                self._keep_set(value)
            case deque():
                self._keep_deque(value, depth)
            case _ if _is_of_the_script(type(value)):
                self._keep_dict(vars(value), depth)

    def _look_at_all(self, values: Iterable[Any], depth: int) -> None:
        for value in values:
            self._look(value, depth + 1)

    def _keep_tensor(self, tensor: Tensor) -> None:
        version = _version(tensor)
        size = tensor.numel() * tensor.element_size()
        fits = self._bytes + size <= MOST_BYTES and not tensor.is_sparse
        values = tensor.detach().clone() if fits else None
        self._bytes += size if fits else 0

        def put_back() -> str | None:
            if _version(tensor) == version and version is not None:
                return None
            if values is None:
                return f"a tensor of {tuple(tensor.shape)} that the script writes into, too large to copy"
            with torch.no_grad():
                write_values(tensor.detach(), values)
            return None

        self._contents.append(put_back)

    def _keep_list(self, held: list[Any], depth: int) -> None:
        content = list(held)

        def put_back() -> None:
            held[:] = content

        self._contents.append(put_back)
        self._look_at_all(content, depth)

    def _keep_dict(self, held: dict[Any, Any], depth: int) -> None:
        content, keys = _without_iterators(held), set(held)

        def put_back() -> None:
            for key in held.keys() - keys:
                del held[key]
            held.update(content)

        self._contents.append(put_back)
        self._look_at_all(content.values(), depth)

    def _keep_set(self, held: set[Any]) -> None:
        content = set(held)

        def put_back() -> None:
            held.clear()
            held.update(content)

        self._contents.append(put_back)

    def _keep_deque(self, held: deque[Any], depth: int) -> None:
        content = list(held)

        def put_back() -> None:
            held.clear()
            held.extend(content)

        self._contents.append(put_back)
        self._look_at_all(content, depth)


def _without_iterators(variables: dict[Any, Any]) -> dict[Any, Any]:
    """Variables but those through which the loop gets its batches: that it lets go of them is to be noticed."""
    return {name: value for name, value in variables.items() if not isinstance(value, _ITERATORS)}


def _is_left_alone(value: object) -> bool:
    kind = type(value)
    return issubclass(kind, _CAPTURED_ELSEWHERE) or kind in (int, float, bool, str, bytes, type(None))


def _is_of_the_script(kind: type) -> bool:
    """Whether a class, whose objects have attributes, was written for the script."""
    if not hasattr(kind, "__dict__") or getattr(kind, "__dictoffset__", 0) == 0 or issubclass(kind, type):
        return False
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    return file is not None and not is_installed(file) and not kind.__module__.startswith("tuitrain.")


def _version(tensor: Tensor) -> int | None:
    try:
        return tensor._version
    except RuntimeError:  # an inference tensor has none
        return None
