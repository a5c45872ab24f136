"""What a script trains, found among all living objects: models, optimizers, schedulers, scalers.

Looked for seldom: at the first step, when an optimizer is new, and when something is captured or saved.
"""

import gc
from collections.abc import Sequence
from types import FrameType
from typing import TypeVar

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tuitrain.engine.gradients import optimized
from tuitrain.engine.registry import all_modules
from tuitrain.engine.script.frames import variable_name

_T = TypeVar("_T")


class Together(nn.ModuleList):
    """Several models as one, to be captured; no model of the script's."""


def living(kind: type[_T]) -> list[_T]:
    """All living instances of a class, the oldest first as far as the collector knows.

    The class of each is asked of the interpreter, not of the object: some claim to be what they are not.
    """
    return [thing for thing in gc.get_objects() if issubclass(type(thing), kind)]


def root_models() -> list[nn.Module]:
    """The modules that hold parameters or buffers and that no other module holds, registered or not."""
    modules = [module for module in living(nn.Module) if type(module) is not Together]
    inner = {id(child) for module in modules for child in (vars(module).get("_modules") or {}).values()}
    outer = [module for module in modules if id(module) not in inner and _holds_tensors(module)]
    held = {id(part) for module in outer for part in all_modules(module) if part is not module}
    return [module for module in outer if id(module) not in held]


def living_optimizers() -> list[Optimizer]:
    """All living optimizers that have parameters, without those that are there to wrap another one."""
    found = [each for each in living(Optimizer) if not any(isinstance(held, Optimizer) for held in vars(each).values())]
    return [each for each in found if optimized(each)]


def schedulers_of(optimizers: Sequence[Optimizer]) -> list[LRScheduler]:
    """The schedulers that drive these optimizers, those within others left out."""
    wanted = {id(optimizer) for optimizer in optimizers}
    found = [each for each in living(LRScheduler) if id(getattr(each, "optimizer", None)) in wanted]
    inner = {id(part) for each in found for part in getattr(each, "_schedulers", ())}
    return [each for each in found if id(each) not in inner]


def scalers() -> list[torch.amp.GradScaler]:
    """The gradient scalers that are in use."""
    return [scaler for scaler in living(torch.amp.GradScaler) if scaler.is_enabled()]


def named(models: Sequence[nn.Module], frames: list[FrameType]) -> dict[str, nn.Module]:
    """Each model by the variable it stands in, where one of the frames has such a variable; else by its class."""
    names: dict[str, nn.Module] = {}
    for model in models:
        name = variable_name(model, frames) or type(model).__name__
        unique, number = name, 2
        while unique in names:
            unique, number = f"{name}_{number}", number + 1
        names[unique] = model
    return names


def _holds_tensors(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())
