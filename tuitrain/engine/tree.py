"""The model as a tree of rows: what is registered, and, marked, what is held without being registered."""

from collections.abc import Iterator, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from tuitrain.engine.gradients import optimized
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.registry import Loose, loose_attributes
from tuitrain.record.events import ModuleRow, ModuleTree


class TreeReader:
    """Reads a model's structure and says it; holds where each parameter stands."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, recorder: Recorder) -> None:
        self._model = model
        self._optimizer = optimizer
        self._recorder = recorder
        self._paths: dict[int, str] = {}
        self.loose: list[Loose] = []
        """What was found unregistered at the last look."""

    def publish(self) -> None:
        """Look at the model anew, and say its tree."""
        walk = _Walk(self._model, {id(parameter) for parameter in optimized(self._optimizer)})
        self._recorder.say(ModuleTree, rows=tuple(walk.rows()))
        self._paths = walk.tensors
        self.loose = walk.loose

    def paths_of(self, parameters: Sequence[Tensor]) -> list[str]:
        """Where each parameter stands in the tree; those that stand nowhere are named by their shape."""
        return [self._paths.get(id(parameter), f"unknown {tuple(parameter.shape)}") for parameter in parameters]


class _Walk:
    """One walk over a model: remembers what it has met, so that what is tied is named after its first place."""

    def __init__(self, model: nn.Module, in_optimizer: set[int]) -> None:
        self.loose = loose_attributes(model)
        self.tensors: dict[int, str] = {}
        self._modules: dict[int, str] = {}
        self._in_optimizer = in_optimizer
        self._model = model
        self._loose_of: dict[int, list[Loose]] = {}
        for loose in self.loose:
            self._loose_of.setdefault(id(loose.owner), []).append(loose)

    def rows(self) -> Iterator[ModuleRow]:
        yield from self._module("", self._model, registered=True)

    def _module(self, path: str, module: nn.Module, *, registered: bool) -> Iterator[ModuleRow]:
        tied_to = self._modules.setdefault(id(module), path)
        parameters = list(module.parameters())
        yield ModuleRow(
            path=path,
            kind="module",
            type=type(module).__name__,
            registered=registered,
            count=sum(parameter.numel() for parameter in parameters),
            trainable=any(parameter.requires_grad for parameter in parameters),
            in_optimizer=bool(parameters) and all(id(p) in self._in_optimizer for p in parameters if p.requires_grad),
            training=module.training,
            tied_to="" if tied_to == path else tied_to,
            used=None if registered else _used(parameters),
        )
        if tied_to != path:
            return
        for name, parameter in module._parameters.items():
            if parameter is not None:
                yield self._tensor(_join(path, name), parameter, "parameter", registered=registered)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield self._tensor(_join(path, name), buffer, "buffer", registered=registered)
        for loose in self._loose_of.get(id(module), ()):
            for where, item in loose.held:
                yield from self._held(_join(path, where), item)
        for name, child in module._modules.items():
            if child is not None:
                yield from self._module(_join(path, name), child, registered=registered)

    def _held(self, path: str, item: nn.Module | Tensor) -> Iterator[ModuleRow]:
        if isinstance(item, nn.Module):
            yield from self._module(path, item, registered=False)
        else:
            yield self._tensor(path, item, "parameter", registered=False)

    def _tensor(
        self, path: str, tensor: Tensor, kind: Literal["parameter", "buffer"], *, registered: bool
    ) -> ModuleRow:
        tied_to = self.tensors.setdefault(id(tensor), path)
        return ModuleRow(
            path=path,
            kind=kind,
            type=type(tensor).__name__,
            registered=registered,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            device=str(tensor.device),
            count=tensor.numel(),
            trainable=tensor.requires_grad,
            in_optimizer=id(tensor) in self._in_optimizer,
            tied_to="" if tied_to == path else tied_to,
            used=None if registered else _used([tensor]),
        )


def _used(tensors: Sequence[Tensor]) -> bool:
    """Whether a backward pass has reached one of them."""
    return any(tensor.grad is not None for tensor in tensors)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
