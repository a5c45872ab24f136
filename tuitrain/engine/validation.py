"""Validation that leaves no trace: no buffer, no generator and no module's own flag is changed by it."""

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch

from tuitrain.engine.rng import capture_rng, restore_rng
from tuitrain.engine.snapshot import capture_for_forward
from tuitrain.engine.training import Training, count_correct

BatchDone = Callable[[int, int], None]
"""Called with (batches done, batches in all) after each batch; it may raise to break off."""


class Result(NamedTuple):
    """Means over the whole validation set."""

    loss: float
    accuracy: float
    samples: int
    seconds: float


@torch.no_grad()
def evaluate(training: Training, mode: Literal["eval", "train"], batch_done: BatchDone) -> Result:
    """Loss and accuracy over the validation set: in eval mode, or in the modes the modules train in.

    Buffers (BatchNorm's running statistics), plain attributes, every module's own training flag and every generator are
    put back afterwards, whichever the mode.
    """
    began_s = time.perf_counter()
    model, rng = capture_for_forward(training.model), capture_rng()
    try:
        if mode == "eval":
            training.model.eval()
        loss, accuracy, samples = _sum_up(training, batch_done)
    finally:
        model.restore()
        restore_rng(rng)
    return Result(loss, accuracy, samples, time.perf_counter() - began_s)


def _sum_up(training: Training, batch_done: BatchDone) -> tuple[float, float, int]:
    loss_sum = torch.zeros((), dtype=torch.float64, device=training.device)
    correct = torch.zeros((), dtype=torch.int64, device=training.device)
    samples = predictions_made = 0
    for done, (raw, targets) in enumerate(training.validation, start=1):
        predictions = training.model(training.prepare(raw))
        loss_sum += training.criterion(predictions, targets) * len(targets)
        correct += count_correct(predictions, targets)
        samples += len(targets)
        predictions_made += targets.numel()
        batch_done(done, len(training.validation))
    return loss_sum.item() / samples, correct.item() / predictions_made, samples
