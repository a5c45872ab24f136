"""The bare loop of a preset, without tuitrain, or as one of its peers records it; counts its steps in a file.

    python tests/bench/overhead/loop.py PRESET --counter FILE [--peer NAME] [--threads N]

Data, model, optimizer, schedule, clipping and validation are those of the preset. A peer records what tuitrain shows of
each step, as its own documentation says to: the loss, the gradient norm before clipping, and the learning rate.
"""

import argparse
import importlib
import mmap
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tuitrain.engine.build import build_training, load_data
from tuitrain.engine.data import DataRequest
from tuitrain.engine.training import Training
from tuitrain.engine.validation import evaluate
from tuitrain.preset import find_preset, load_preset

COUNT = struct.Struct("=qd")
"""Steps so far, and when the last one was done (seconds, the clock of time.monotonic)."""

Record = Callable[[Tensor, Tensor, float], None]
"""Takes the loss, the norm before clipping, and the learning rate of a step."""

Wrap = Callable[[Iterable[Any]], Iterable[Any]]
"""Takes the batches of an epoch, and gives them, as a progress bar does."""


class Counter:
    """Steps, counted in a file that others read."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(COUNT.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), COUNT.size)
        self._steps = 0

    def step(self) -> None:
        """One more."""
        self._steps += 1
        COUNT.pack_into(self._shared, 0, self._steps, time.monotonic())


def train(training: Training, max_norm: float, counter: Counter, record: Record | None, wrap: Wrap) -> None:
    """Train for ever."""
    model, optimizer, scheduler = training.model, training.optimizer, training.scheduler
    parameters = list(model.parameters())
    while True:
        for inputs, targets in wrap(training.train):
            optimizer.zero_grad(set_to_none=True)
            loss = training.criterion(model(training.prepare(inputs)), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(parameters, max_norm)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            if record is not None:
                record(loss, norm, optimizer.param_groups[0]["lr"])
            counter.step()
        evaluate(training, "eval", lambda done, of: None)


def tensorboard(directory: Path) -> Record:
    """Three scalars a step."""
    writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(directory)
    steps = iter(range(sys.maxsize))

    def record(loss: Tensor, norm: Tensor, lr: float) -> None:
        step = next(steps)
        writer.add_scalar("loss", loss.item(), step)
        writer.add_scalar("norm", norm.item(), step)
        writer.add_scalar("lr", lr, step)

    return record


def wandb(directory: Path) -> Record:
    """One record a step, kept on this machine."""
    run = importlib.import_module("wandb").init(mode="offline", dir=directory, project="bench")

    def record(loss: Tensor, norm: Tensor, lr: float) -> None:
        run.log({"loss": loss.item(), "norm": norm.item(), "lr": lr})

    return record


def train_with_tqdm(training: Training, max_norm: float, counter: Counter) -> None:
    """A bar that shows the loss, the norm and the learning rate of the last step."""
    bar_of = importlib.import_module("tqdm").tqdm
    bars: list[Any] = []

    def wrap(batches: Iterable[Any]) -> Iterable[Any]:
        bars[:] = [bar_of(batches)]
        return bars[0]  # type: ignore[no-any-return]

    def record(loss: Tensor, norm: Tensor, lr: float) -> None:
        bars[0].set_postfix(loss=loss.item(), norm=norm.item(), lr=lr, refresh=False)

    train(training, max_norm, counter, record, wrap)


def train_with_lightning(training: Training, max_norm: float, counter: Counter, directory: Path) -> None:
    """Its Trainer with its bar and its CSV logger, which logs every step; no validation."""
    lightning = importlib.import_module("lightning")
    loggers = importlib.import_module("lightning.pytorch.loggers")

    class Module(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = training.model

        def training_step(self, batch: Any, index: int) -> Tensor:  # noqa: ANN401
            inputs, targets = batch
            loss = training.criterion(self.model(training.prepare(inputs)), targets)
            self.log_dict({"loss": loss, "lr": training.optimizer.param_groups[0]["lr"]}, prog_bar=True)
            return loss

        def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            self.log("norm", nn.utils.clip_grad_norm_(self.parameters(), max_norm), prog_bar=True)

        def on_train_batch_end(self, *args: Any) -> None:  # noqa: ANN401
            if training.scheduler is not None:
                training.scheduler.step()
            counter.step()

        def configure_optimizers(self) -> Any:  # noqa: ANN401
            return training.optimizer

    logger = loggers.CSVLogger(directory)
    trainer = lightning.Trainer(
        logger=logger, accelerator="cpu", max_epochs=-1, log_every_n_steps=1, enable_checkpointing=False
    )
    trainer.fit(Module(), training.train)


def main() -> None:
    """Build what the preset says, and train it until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--counter", type=Path, required=True)
    parser.add_argument("--peer", choices=("tqdm", "tensorboard", "wandb", "lightning"))
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    preset = load_preset(find_preset(options.preset))
    training = build_training(preset, load_data(preset, DataRequest()), torch.device("cpu"))
    max_norm, counter = preset.clip.max_norm, Counter(options.counter)
    with tempfile.TemporaryDirectory() as directory:
        match options.peer:
            case "tqdm":
                train_with_tqdm(training, max_norm, counter)
            case "lightning":
                train_with_lightning(training, max_norm, counter, Path(directory))
            case peer:
                makers = {"tensorboard": tensorboard, "wandb": wandb}
                record = makers[peer](Path(directory)) if peer else None
                train(training, max_norm, counter, record, lambda batches: batches)


if __name__ == "__main__":
    main()
