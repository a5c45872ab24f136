"""What one run of the built-in loop trains, on what, with what."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tuitrain.engine.data import Batches, Normaliser

Criterion = Callable[[Tensor, Tensor], Tensor]
"""(predictions, targets) to a 0-dimensional loss, averaged over the batch."""


@dataclass(kw_only=True)
class Training:
    """The parts of a run, as the loop uses them."""

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    """Stepped once after every optimizer step."""
    criterion: Criterion
    train: Batches
    validation: Batches
    prepare: Normaliser
    """From a raw batch of inputs to what the model receives."""
    device: torch.device
    epochs: int
    overfit_steps: int
    """Steps after which overfitting one batch has failed."""


def cross_entropy(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits [..., classes] against class indices [...]."""
    return nn.functional.cross_entropy(predictions.flatten(0, -2), targets.flatten())


def count_correct(predictions: Tensor, targets: Tensor) -> Tensor:
    """How many of the logits [..., classes] have their maximum at the target [...]: a 0-dimensional integer tensor."""
    return (predictions.argmax(-1) == targets).sum()
