"""A run of the built-in loop on tiny tensors: what the model received, what tips reported, what the journal says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tuitrain.engine.data import Batches, Normaliser
from tuitrain.engine.digest import weights_sha256
from tuitrain.engine.gradients import Clipping
from tuitrain.engine.loop import fit
from tuitrain.engine.probe import Probe
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.tip import Tip
from tuitrain.engine.training import Training, cross_entropy
from tuitrain.record.commands import AnyCommand, parse
from tuitrain.record.events import Event, Step, Verdict
from tuitrain.record.journal import Journal, News, Reader
from tuitrain.record.link import Inbox
from tuitrain.tips import TIPS

SAMPLES, FEATURES, CLASSES, BATCH = 32, 6, 4, 8
CPU = torch.device("cpu")

_E = TypeVar("_E", bound=Event)
_T = TypeVar("_T", bound=Tip)


class Report(NamedTuple):
    """What a tip reports; the rows by their names, those without a name joined to the one before."""

    verdict: Verdict
    summary: str
    rows: dict[str, str]


class Received(NamedTuple):
    """What one forward pass received, after how many executed steps, and the weights it met."""

    executed: int
    inputs: Tensor
    training: bool
    weights: str


class SmallRun:
    """One run, trained an epoch at a time; every batch is sampled, and every step delivered at once."""

    def __init__(
        self,
        directory: Path,
        model: nn.Module,
        data: tuple[Tensor, Tensor],
        *,
        at: Sequence[tuple[int, str]] = (),
        optimizer: Optimizer | None = None,
        scheduler: LRScheduler | None = None,
        batch_size: int = BATCH,
        shuffle: bool = False,
        normalise: bool = False,
        max_norm: float = 1.0,
        overfit_steps: int = 100,
        tips: Sequence[type[Tip]] = TIPS,
    ) -> None:
        inputs, targets = data
        self.training = Training(
            model=model,
            optimizer=optimizer or torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
            scheduler=scheduler,
            criterion=self._criterion,
            train=Batches(inputs, targets, batch_size, shuffle=shuffle, seed=0),
            validation=Batches(inputs, targets, len(inputs), shuffle=False, seed=0),
            prepare=Normaliser(inputs, enabled=normalise),
            device=CPU,
            epochs=0,
            overfit_steps=overfit_steps,
        )
        self.received: list[Received] = []
        self.targets: list[Tensor] = []
        self._journal = Journal(directory / "journal.sqlite")
        self._news: News | None = None
        self.inbox = Inbox([(executed, parse(text)) for executed, text in at])
        self.probe = Probe(
            self.training,
            Clipping(on=True, max_norm=max_norm, by="norm"),
            Recorder(self._journal),
            self.inbox,
            save=lambda probe: None,
            attended=False,
        )
        model.register_forward_pre_hook(self._receive)
        self.probe.begin(tips)

    def epoch(self) -> None:
        """Train one more epoch, and validate."""
        self.training.epochs += 1
        fit(self.training, self.probe)

    def tell(self, *commands: AnyCommand | str) -> None:
        """Have commands applied before the next step."""
        for command in commands:
            self.inbox.send(parse(command) if isinstance(command, str) else command)

    def tip(self, kind: type[_T]) -> _T:
        """A tip of the run, by its class."""
        return next(tip for tip in self.probe.tips if isinstance(tip, kind))

    def report(self, kind: type[Tip]) -> Report:
        """What a tip reports now."""
        verdict, summary, rows = self.tip(kind).report()
        assert len(summary) <= 34, summary
        joined: dict[str, str] = {}
        name = ""
        for row_name, text in rows:
            name = row_name or name
            joined[name] = f"{joined[name]} {text}" if name in joined else text
        return Report(verdict, summary, joined)

    def in_training(self) -> list[Received]:
        """What the model received in training."""
        return [received for received in self.received if received.training]

    def in_validation(self) -> list[Received]:
        """What the model received in validation."""
        return [received for received in self.received if not received.training]

    def end(self) -> News:
        """End the run; everything that its journal says."""
        if self._news is None:
            self.probe.finish(validate=False)
            self._journal.close()
            reader = Reader(self._journal.path)
            self._news = reader.poll()
            reader.close()
        return self._news

    def said(self, kind: type[_E]) -> list[_E]:
        """All events of a kind, once the run has ended."""
        return [event for event in self.end().events if isinstance(event, kind)]

    def steps(self) -> list[Step]:
        """All executed steps, once the run has ended."""
        return self.end().steps

    def digest(self) -> str:
        """The SHA-256 of the weights."""
        return weights_sha256(self.training.model)

    def _criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.targets.append(targets.clone())
        return cross_entropy(predictions, targets)

    def _receive(self, model: nn.Module, arguments: tuple[Any, ...]) -> None:
        executed = self.probe.position.executed
        self.received.append(Received(executed, arguments[0].clone(), torch.is_grad_enabled(), weights_sha256(model)))


def features(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs float32 [SAMPLES, FEATURES], each column on a scale of its own, and classes in turn."""
    inputs = torch.randn(SAMPLES, FEATURES, generator=torch.Generator().manual_seed(seed))
    return inputs * torch.arange(1, FEATURES + 1) + 3, torch.arange(SAMPLES) % CLASSES


def perceptron(*, dropout: float = 0.0, width: int = 16) -> nn.Sequential:
    """A small model that can learn `features`, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(FEATURES, width),
            nn.BatchNorm1d(width) if dropout else nn.Identity(),
            nn.Tanh(),
            nn.Dropout(dropout) if dropout else nn.Identity(),
            nn.Linear(width, CLASSES),
        )
