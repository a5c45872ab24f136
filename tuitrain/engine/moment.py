"""A moment of a run as data: all that training can change, for a checkpoint, and back into a training built anew.

What a `Snapshot` holds by reference within one process, this holds by name, for another one.
"""

import ast
from typing import Any

import torch
from torch import Tensor, nn

from tuitrain.engine.gradients import optimized
from tuitrain.engine.plain import AS_BUILT, from_plain, to_plain
from tuitrain.engine.registry import MAX_DEPTH, is_weight, plain_attributes
from tuitrain.engine.rng import RngState, capture_rng, restore_rng
from tuitrain.engine.snapshot import write_values
from tuitrain.engine.training import Training

Moment = dict[str, Any]
"""Tensors, numbers, strings and containers of them. Tensors are those of the training itself: copy what must last."""


class Parts:
    """Every module and every weight and buffer that a model holds, by a path that registering them does not change.

    An item of a plain list is named as it would be in a ModuleList: "layers.0". A tensor has all its names.
    """

    def __init__(self, model: nn.Module) -> None:
        self.modules: dict[str, nn.Module] = {}
        self.tensors: dict[str, Tensor] = {}
        self._met: set[int] = set()
        self._visit("", model)

    def _visit(self, path: str, module: nn.Module) -> None:
        if id(module) in self._met:
            return
        self._met.add(id(module))
        self.modules[path] = module
        held: dict[str, Any] = {**module._parameters, **module._buffers, **module._modules, **plain_attributes(module)}
        for name in sorted(held):
            own = name in module._parameters or name in module._buffers
            self._look(f"{path}.{name}" if path else name, held[name], 0, own=own)

    def _look(self, path: str, value: object, depth: int, *, own: bool = False) -> None:
        match value:
            case nn.Module():
                self._visit(path, value)
            case Tensor():
                if own or is_weight(value):
                    self.tensors[path] = value
            case dict() | list() | tuple() | set() | frozenset() if depth < MAX_DEPTH:
                for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                    self._look(f"{path}.{key}", item, depth + 1)


def moment_of(training: Training) -> Moment:
    """The training as it is now."""
    parts, optimizer, scheduler, rng = Parts(training.model), training.optimizer, training.scheduler, capture_rng()
    zeroed = {id(parameter) for parameter in optimized(optimizer)}
    return {
        "tensors": {path: tensor.detach() for path, tensor in parts.tensors.items()},
        # nobody zeroes the gradients of what no optimizer has: they go on from where they are
        "gradients": {
            path: tensor.grad.detach()
            for path, tensor in parts.tensors.items()
            if tensor.is_leaf and tensor.grad is not None and id(tensor) not in zeroed
        },
        "requires_grad": {path: tensor.requires_grad for path, tensor in parts.tensors.items()},
        "training": {path: module.training for path, module in parts.modules.items()},
        "attributes": {
            path: {name: to_plain(value) for name, value in plain_attributes(module).items()}
            for path, module in parts.modules.items()
        },
        "optimizer": optimizer.state_dict(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "rng": {
            "python": repr(rng.python),
            "numpy": to_plain(rng.numpy),
            "cpu": rng.cpu,
            "devices": list(rng.devices),
        },
    }


def misfit(moment: Moment, training: Training) -> str | None:
    """Why a moment cannot be one of this training, which was not repaired yet, or None."""
    parts = Parts(training.model)
    apart = moment["tensors"].keys() ^ parts.tensors.keys()
    apart |= parts.modules.keys() - moment["training"].keys()  # not more: a repair puts a module where a list stood
    for path in sorted(apart):
        return f"{path} is in only one of the two"
    for path, values in moment["tensors"].items():
        present = parts.tensors[path]
        if (present.shape, present.dtype) != (values.shape, values.dtype):
            return f"{path} is {_spell(values)} there and {_spell(present)} here"
    if (moment["scheduler"] is None) != (training.scheduler is None):
        return "only one of the two has a scheduler"
    return None


@torch.no_grad()
def load_moment(moment: Moment, training: Training) -> None:
    """Put the training where the moment was taken; it must fit (`misfit`), and register what was registered then.

    What the optimizer and the scheduler hold is handed over: use a moment once.
    """
    parts, device = Parts(training.model), training.device
    for path, tensor in parts.tensors.items():
        write_values(tensor, moment["tensors"][path].to(tensor.device))
        if tensor.is_leaf:
            tensor.requires_grad_(moment["requires_grad"][path])
            gradient = moment["gradients"].get(path)
            tensor.grad = None if gradient is None else gradient.to(tensor.device, copy=True)
    for path, module in parts.modules.items():
        module.training = moment["training"][path]
        _load_attributes(module, moment["attributes"][path], device)
    training.optimizer.load_state_dict(moment["optimizer"])
    if training.scheduler is not None:
        training.scheduler.load_state_dict(moment["scheduler"])
    _load_rng(moment["rng"])


def _load_attributes(module: nn.Module, attributes: dict[str, Any], device: torch.device) -> None:
    present = plain_attributes(module)
    for name in present.keys() - attributes.keys():
        del vars(module)[name]
    known = {name: plain for name, plain in attributes.items() if plain != AS_BUILT or name in present}
    vars(module).update({name: from_plain(plain, present.get(name), device) for name, plain in known.items()})


def _load_rng(rng: dict[str, Any]) -> None:
    numpy_state = from_plain(rng["numpy"], None, torch.device("cpu"))
    restore_rng(RngState(ast.literal_eval(rng["python"]), numpy_state, rng["cpu"], tuple(rng["devices"])))


def _spell(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
