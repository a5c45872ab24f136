"""What a model registers, and what it holds without registering: in plain attributes and containers."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_MODULE_FIELDS = frozenset(vars(nn.Module()))
"""Attributes that every module has: hooks and the registries themselves."""
MAX_DEPTH = 4
"""How deep containers inside containers are searched."""


class Loose(NamedTuple):
    """An attribute of a module that holds modules or trainable tensors registered nowhere in the model."""

    owner_path: str
    owner: nn.Module
    attribute: str
    held: tuple[tuple[str, nn.Module | Tensor], ...]
    """(path below the owner, such as "layers[0]", what stands there)."""


def plain_attributes(module: nn.Module) -> dict[str, Any]:
    """The attributes that a module was given beyond what it registers and what every module has."""
    return {name: value for name, value in vars(module).items() if name not in _MODULE_FIELDS}


def loose_attributes(model: nn.Module) -> list[Loose]:
    """Every attribute through which the model holds something unregistered, in the order of the modules."""
    known = {id(module) for module in model.modules()}
    known |= {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    found: list[Loose] = []
    for path, owner in model.named_modules():
        for name, value in plain_attributes(owner).items():
            held = tuple((where, item) for where, item in _search(value, name, 0) if id(item) not in known)
            if held:
                found.append(Loose(path, owner, name, held))
    return found


def all_modules(model: nn.Module) -> list[nn.Module]:
    """Every module the model holds, registered or not, each once."""
    modules: dict[nn.Module, None] = {}
    roots = [model]
    while roots:
        root = roots.pop()
        if root not in modules:  # a loose module may refer back to those that hold it
            modules.update(dict.fromkeys(root.modules()))
            held = (item for loose in loose_attributes(root) for _, item in loose.held)
            roots += [item for item in held if isinstance(item, nn.Module)]
    return list(modules)


def all_tensors(model: nn.Module) -> list[Tensor]:
    """Every parameter, buffer and loose trainable tensor the model holds, registered or not, each once."""
    tensors = {
        id(tensor): tensor
        for module in all_modules(model)
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
    }
    for module in all_modules(model):
        for value in plain_attributes(module).values():
            for _, item in _search(value, "", 0):
                if isinstance(item, Tensor):
                    tensors[id(item)] = item
    return list(tensors.values())


def weights_in(value: object) -> list[Tensor]:
    """The trainable tensors that stand in a value or its containers, in order; not those of modules in it."""
    return [item for _, item in _search(value, "", 0) if isinstance(item, Tensor)]


def _search(value: object, path: str, depth: int) -> Iterator[tuple[str, nn.Module | Tensor]]:
    if isinstance(value, nn.Module) or (isinstance(value, Tensor) and is_weight(value)):
        yield path, value
    elif depth < MAX_DEPTH:
        for where, item in _items(value, path):
            yield from _search(item, where, depth + 1)


def _items(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((f"{path}[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((f"{path}{{{index}}}", item) for index, item in enumerate(value))


def is_weight(tensor: Tensor) -> bool:
    """A tensor that training would change: a leaf that asks for gradients, of a floating type."""
    return tensor.requires_grad and tensor.is_leaf and torch.is_floating_point(tensor)
