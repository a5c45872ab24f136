"""Capture and restore of all that training can change, bit for bit.

What is captured: parameters with their gradients, buffers, plain attributes of every module (registered or not), each
module's own training flag, the optimizer, the scheduler, and every random number generator.
"""

import random
from collections import deque
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tuitrain.engine.registry import all_modules, all_tensors, plain_attributes
from tuitrain.engine.rng import RngState, capture_rng, restore_rng


class _Saved(NamedTuple):
    """An object as it was: the object itself, and a copy of what may change inside it."""

    original: Any
    content: Any


class _TensorState(NamedTuple):
    tensor: Tensor
    values: Tensor
    gradient: Tensor | None
    requires_grad: bool


class _ModuleState(NamedTuple):
    module: nn.Module
    training: bool
    parameters: dict[str, nn.Parameter | None]
    buffers: dict[str, Tensor | None]
    attributes: dict[str, _Saved]


class _OptimizerState(NamedTuple):
    optimizer: Optimizer
    state: dict[Tensor, dict[str, _Saved]]
    groups: list[dict[str, _Saved]]


class ModelState(NamedTuple):
    """A moment of a model; `restore` puts it back."""

    tensors: list[_TensorState]
    modules: list[_ModuleState]

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back as it was captured, the gradients handed over: use it once."""
        for tensor in self.tensors:
            _restore_tensor(tensor)
        for module in self.modules:
            _restore_module(module)


class Snapshot(NamedTuple):
    """A moment of a run; `restore` puts it back."""

    model: ModelState
    optimizer: _OptimizerState
    scheduler: tuple[LRScheduler, dict[str, Any]] | None
    rng: RngState

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back as it was captured. Gradients and the scheduler's state are handed over: use it once."""
        self.model.restore()
        _restore_optimizer(self.optimizer)
        if self.scheduler is not None:
            scheduler, state = self.scheduler
            scheduler.load_state_dict(state)
        restore_rng(self.rng)


@torch.no_grad()
def capture(model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler | None) -> Snapshot:
    """Everything that training can change, copied."""
    return Snapshot(
        _capture_model(all_modules(model), all_tensors(model)),
        _capture_optimizer(optimizer),
        None if scheduler is None else (scheduler, deepcopy(scheduler.state_dict())),
        capture_rng(),
    )


@torch.no_grad()
def capture_for_forward(model: nn.Module) -> ModelState:
    """Everything in a model that forward passes can change without training: buffers, plain attributes, flags."""
    modules = all_modules(model)
    return _capture_model(modules, [buffer for module in modules for buffer in module.buffers(recurse=False)])


def _capture_model(modules: Iterable[nn.Module], tensors: Iterable[Tensor]) -> ModelState:
    return ModelState([_capture_tensor(tensor) for tensor in tensors], [_capture_module(module) for module in modules])


def _capture_tensor(tensor: Tensor) -> _TensorState:
    return _TensorState(tensor, tensor.detach().clone(), _copy_gradient(tensor), tensor.requires_grad)


def _restore_tensor(state: _TensorState) -> None:
    tensor, values, gradient, requires_grad = state
    write_values(tensor, values)
    if tensor.is_leaf:
        tensor.requires_grad_(requires_grad)
        tensor.grad = gradient


def write_values(target: Tensor, values: Tensor) -> None:
    """Copy `values` into `target` in place; where it is an expanded view, once for all that shares its memory."""
    if target.layout is torch.strided:
        for dimension, stride in enumerate(target.stride()):
            if stride == 0 and target.shape[dimension] > 1:
                target, values = target.narrow(dimension, 0, 1), values.narrow(dimension, 0, 1)
    target.copy_(values)


def _copy_gradient(tensor: Tensor) -> Tensor | None:
    return tensor.grad.detach().clone() if tensor.is_leaf and tensor.grad is not None else None


def _capture_module(module: nn.Module) -> _ModuleState:
    return _ModuleState(
        module,
        module.training,
        dict(module._parameters),
        dict(module._buffers),
        _save_entries(plain_attributes(module)),
    )


def _restore_module(state: _ModuleState) -> None:
    module = state.module
    module.training = state.training
    module._parameters.update(state.parameters)
    module._buffers.update(state.buffers)
    for name in plain_attributes(module).keys() - state.attributes.keys():
        del vars(module)[name]
    vars(module).update({name: _put_back(saved) for name, saved in state.attributes.items()})


def _capture_optimizer(optimizer: Optimizer) -> _OptimizerState:
    return _OptimizerState(
        optimizer,
        {parameter: _save_entries(entries) for parameter, entries in optimizer.state.items()},
        [_save_entries(group) for group in optimizer.param_groups],
    )


def _restore_optimizer(captured: _OptimizerState) -> None:
    optimizer, state, groups = captured
    optimizer.state.clear()
    for parameter, entries in state.items():
        optimizer.state[parameter] = {key: _put_back(saved) for key, saved in entries.items()}
    for group, entries in zip(optimizer.param_groups, groups, strict=True):
        group.clear()
        group.update({key: _put_back(saved) for key, saved in entries.items()})


def _save_entries(entries: dict[str, Any]) -> dict[str, _Saved]:
    return {name: _save(value) for name, value in entries.items()}


def _save(value: Any) -> _Saved:  # noqa: ANN401 - any attribute of any module
    """Copy what training may change in place: tensors, arrays, generators, plain containers; anything else is shared.

    Weights and modules inside containers are shared too, since they are captured in their own right.
    """
    match value:
        case nn.Parameter() | nn.Module():
            return _Saved(value, None)
        case Tensor():
            return _Saved(value, None if value.requires_grad else value.detach().clone())
        case np.ndarray():
            return _Saved(value, value.copy())
        case torch.Generator():
            return _Saved(value, value.get_state())
        case random.Random():
            return _Saved(value, value.getstate())
        case np.random.Generator():
            return _Saved(value, value.bit_generator.state)
        case dict():
            return _Saved(value, {key: _save(item) for key, item in value.items()})
        case list() | tuple() | deque():
            return _Saved(value, [_save(item) for item in value])
        case set():
            return _Saved(value, set(value))
    return _Saved(value, None)


def _put_back(saved: _Saved) -> Any:  # noqa: ANN401 - any attribute of any module
    """The original object, its content as it was."""
    original, content = saved
    match original:
        case Tensor() if content is not None:
            write_values(original, content)
        case np.ndarray():
            original[...] = content
        case torch.Generator():
            original.set_state(content)
        case random.Random():
            original.setstate(content)
        case np.random.Generator():
            original.bit_generator.state = content
        case dict():
            original.clear()
            original.update({key: _put_back(item) for key, item in content.items()})
        case list():
            original[:] = [_put_back(item) for item in content]
        case deque():
            original.clear()
            original.extend(_put_back(item) for item in content)
        case tuple():
            for item in content:
                _put_back(item)
        case set():
            original.clear()
            original.update(content)
    return original
