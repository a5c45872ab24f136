"""The plain attributes of a module as data that torch.load(weights_only=True) reads, and back.

Numbers, strings, tensors without gradients, arrays, generators, and lists, tuples, dicts, sets and deques of them.
Anything else (weights and modules, which are kept in their own right; functions and other objects) stays as the model
was built.
"""

import ast
import random
from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tuitrain.engine.snapshot import write_values

Plain = tuple[str, Any]
"""What it is, and its content."""
AS_BUILT: Plain = ("as built", None)
"""Stands for what the model brings itself."""

_SCALARS = (type(None), bool, int, float, str)
_SEQUENCES = {"list": list, "tuple": tuple}


def to_plain(value: Any) -> Plain:  # noqa: ANN401 - any attribute of any module
    """A value as plain data; tensors in it are not copied. Subclasses are left as built: they may be anything."""
    if type(value) in _SCALARS:
        return "scalar", value
    match value:
        case Tensor() if not (isinstance(value, nn.Parameter) or value.requires_grad):
            return "tensor", {"values": value, "on_host": value.device.type == "cpu"}
        case np.ndarray() if value.dtype.kind in "biufc":
            return "array", {"dtype": str(value.dtype), "shape": value.shape, "bytes": value.tobytes()}
        case torch.Generator():
            return "torch generator", value.get_state()
        case random.Random():
            return "python generator", repr(value.getstate())
        case np.random.Generator():
            return "numpy generator", to_plain(value.bit_generator.state)
        case list() | tuple() if type(value).__name__ in _SEQUENCES:
            return type(value).__name__, [to_plain(item) for item in value]
        case deque():
            return "deque", {"items": [to_plain(item) for item in value], "maxlen": value.maxlen}
        case dict() if type(value) is dict and all(type(key) in _SCALARS for key in value):
            return "dict", [(key, to_plain(item)) for key, item in value.items()]
        case set() if all(type(item) in _SCALARS for item in value):
            return "set", list(value)
    return AS_BUILT


def from_plain(plain: Plain, present: Any, device: torch.device) -> Any:  # noqa: ANN401 - as `to_plain` takes it
    """The value that was, given what stands there at `present`; tensors and generators are written where they are."""
    kind, content = plain
    match kind:
        case "scalar":
            return content
        case "tensor":
            return _tensor(content, present, device)
        case "array":
            return _array(content, present)
        case "list" | "tuple":
            items = present if isinstance(present, list | tuple) else ()
            return _SEQUENCES[kind](_items(content, items, device))
        case "deque":
            items = tuple(present) if isinstance(present, deque) else ()
            return deque(_items(content["items"], items, device), content["maxlen"])
        case "dict":
            held = present if isinstance(present, dict) else {}
            return {key: from_plain(item, held.get(key), device) for key, item in content}
        case "set":
            return set(content)
        case "as built":
            return present
    return _generator(kind, content, present)


def _items(content: list[Plain], present: Any, device: torch.device) -> list[Any]:  # noqa: ANN401 - a sequence
    there = [*present, *[None] * len(content)]
    return [from_plain(item, there[index], device) for index, item in enumerate(content)]


def _tensor(content: dict[str, Any], present: object, device: torch.device) -> Tensor:
    values: Tensor = content["values"]
    if (
        isinstance(present, Tensor)
        and present.shape == values.shape
        and present.dtype == values.dtype
        and not present.requires_grad
    ):
        write_values(present, values)
        return present
    return values.clone() if content["on_host"] else values.to(device, copy=True)


def _array(content: dict[str, Any], present: object) -> NDArray[Any]:
    array = np.frombuffer(content["bytes"], dtype=content["dtype"]).reshape(content["shape"])
    if isinstance(present, np.ndarray) and present.shape == array.shape and present.dtype == array.dtype:
        present[...] = array
        return present
    return array.copy()


def _generator(kind: str, content: Any, present: Any) -> Any:  # noqa: ANN401 - one of three kinds, and its state
    match kind, present:
        case "torch generator", torch.Generator():
            present.set_state(content)
        case "python generator", random.Random():
            present.setstate(ast.literal_eval(content))
        case "numpy generator", np.random.Generator():
            present.bit_generator.state = from_plain(content, None, torch.device("cpu"))
        case _:
            raise ValueError(f"a {kind} where there is a {type(present).__name__}")
    return present
