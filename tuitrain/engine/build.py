"""From a preset to the parts of a run."""

import inspect
import random
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from tuitrain import preset as settings
from tuitrain.engine.data import DATASETS, Batches, DataRequest, Normaliser, TaskData
from tuitrain.engine.gradients import Clipping
from tuitrain.engine.mistakes import MISTAKES
from tuitrain.engine.models import MODELS
from tuitrain.engine.sequence import SEQUENCE_MODELS
from tuitrain.engine.training import Training, cross_entropy
from tuitrain.errors import UserError
from tuitrain.preset import Preset

_T = TypeVar("_T")

VALIDATION_BATCH = 500

_OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "adadelta": optim.Adadelta,
}


def load_data(preset: Preset, request: DataRequest) -> TaskData:
    """The data a preset names; UserError if the name is unknown or the data is missing or damaged."""
    load = _pick(DATASETS, preset.data.name, "data.name")
    return load(request)


def build_training(preset: Preset, data: TaskData, device: torch.device) -> Training:
    """Model, optimizer, scheduler and batches of a preset, all drawn from its seed; UserError names a wrong option."""
    seed_everything(preset.train.seed)
    model = _build_model(preset.model, data).to(device)
    train = Batches(
        data.train_inputs,
        data.train_targets,
        preset.data.batch_size,
        shuffle=preset.data.shuffle,
        seed=preset.train.seed,
        device=device,
    )
    validation = Batches(data.val_inputs, data.val_targets, VALIDATION_BATCH, shuffle=False, seed=0, device=device)
    optimizer = _build_optimizer(preset.optimizer, model)
    return Training(
        model=model,
        optimizer=optimizer,
        scheduler=_build_scheduler(preset.schedule, optimizer, len(train), preset.train.epochs),
        criterion=cross_entropy,
        train=train,
        validation=validation,
        prepare=Normaliser(data.train_inputs, enabled=preset.data.normalise, device=device),
        device=device,
        epochs=preset.train.epochs,
        overfit_steps=preset.train.overfit_steps,
    )


def build_clipping(clip: settings.Clip) -> Clipping:
    """Clipping as the run begins."""
    return Clipping(clip.on, clip.max_norm, clip.by)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators, those of every device too."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _build_model(model: settings.Model, data: TaskData) -> nn.Module:
    build = _pick(MODELS | SEQUENCE_MODELS | MISTAKES, model.name, "model.name")
    taken = inspect.signature(build).parameters
    unknown = [option for option in model.options if option not in taken]
    if unknown:
        raise UserError(f"model.options.{unknown[0]} is no option of {model.name}; it takes {', '.join(taken)}.")
    from_data = {"classes": data.classes} if "classes" in taken and data.classes is not None else {}
    return build(**(from_data | model.options))


def _build_optimizer(chosen: settings.Optimizer, model: nn.Module) -> optim.Optimizer:
    build = _OPTIMIZERS[chosen.name]
    options = {"momentum": chosen.momentum, "nesterov": chosen.nesterov, "weight_decay": chosen.weight_decay}
    given = {key: value for key, value in options.items() if value is not None}
    taken = inspect.signature(build).parameters
    unknown = [key for key in given if key not in taken]
    if unknown:
        raise UserError(f"optimizer.{unknown[0]} is no option of {chosen.name}: leave it out or change the optimizer.")
    return build(model.parameters(), lr=chosen.lr, **given)


def _build_scheduler(
    schedule: settings.Schedule, optimizer: optim.Optimizer, steps_per_epoch: int, epochs: int
) -> lr_scheduler.LRScheduler | None:
    """A scheduler stepped once a step, over the whole run."""
    total = steps_per_epoch * epochs
    match schedule.name:
        case "none":
            return None
        case "onecycle":
            return lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=optimizer.param_groups[0]["lr"],
                total_steps=max(total, 2) + 1,  # one more: it is stepped after the last step too
                pct_start=schedule.pct_start,
                div_factor=schedule.div_factor,
                final_div_factor=schedule.final_div_factor,
            )
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
        case "step":
            return lr_scheduler.StepLR(optimizer, step_size=steps_per_epoch, gamma=schedule.gamma)


def _pick(table: dict[str, _T], name: str, key: str) -> _T:
    if name not in table:
        raise UserError(f"{key} is {name!r}, which is not there; there are {', '.join(sorted(table))}.")
    return table[name]
