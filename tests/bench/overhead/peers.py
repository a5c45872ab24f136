"""A preset's bare loop as tuitrain's peers record it: `python tests/bench/overhead/peers.py PEER PRESET FILE`.

Data, model, optimizer, schedule, clipping and validation are those of the preset; steps are counted in FILE. A peer
records what tuitrain shows of each step, as its own documentation says to: the loss, the gradient norm before clipping,
and the learning rate.
"""

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tuitrain.bench.bare import build
from tuitrain.engine.script.counting import Counter
from tuitrain.engine.training import Training
from tuitrain.engine.validation import evaluate

Record = Callable[[Tensor, Tensor, float], None]
"""Takes the loss, the norm before clipping, and the learning rate of a step."""

Wrap = Callable[[Iterable[Any]], Iterable[Any]]
"""Takes the batches of an epoch, and gives them, as a progress bar does."""


def train(training: Training, max_norm: float, counter: Counter, record: Record, wrap: Wrap = iter) -> None:
    """Train for ever: the loop of `tuitrain.bench.bare`, and what a peer does in it."""
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
    peer, preset, count = sys.argv[1:]
    training, max_norm = build(preset)
    counter = Counter(Path(count))
    with tempfile.TemporaryDirectory() as directory:
        match peer:
            case "tqdm":
                train_with_tqdm(training, max_norm, counter)
            case "lightning":
                train_with_lightning(training, max_norm, counter, Path(directory))
            case "tensorboard":
                train(training, max_norm, counter, tensorboard(Path(directory)))
            case "wandb":
                train(training, max_norm, counter, wandb(Path(directory)))
            case _:
                sys.exit(f"there is no peer {peer}")


if __name__ == "__main__":
    main()
