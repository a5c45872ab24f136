"""Whole runs of tiny models on tiny data, through the real loop, probe, tips, inbox and journal."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import Tensor, nn, optim
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from tests.engine import zoo
from tests.engine.fingerprint import fingerprint, rng_fingerprint
from tests.engine.listening import ListeningJournal
from tuitrain.engine.build import seed_everything
from tuitrain.engine.data import Batches, Normaliser
from tuitrain.engine.digest import weights_sha256
from tuitrain.engine.gradients import Clipping
from tuitrain.engine.loop import fit
from tuitrain.engine.probe import Probe
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.steering import StopTraining
from tuitrain.engine.tip import Tip
from tuitrain.engine.training import Criterion, Training, cross_entropy
from tuitrain.record.commands import AnyCommand, parse
from tuitrain.record.events import Event
from tuitrain.record.journal import Journal, News, Reader
from tuitrain.record.link import Inbox
from tuitrain.tips import TIPS

SAMPLES, BATCH, EPOCHS = 80, 16, 3
STEPS_PER_EPOCH = SAMPLES // BATCH
STEPS = EPOCHS * STEPS_PER_EPOCH
MAX_NORM = 0.5

CPU = torch.device("cpu")
OptimizerOf = Callable[[Iterable[Tensor]], Optimizer]
SchedulerOf = Callable[[Optimizer], LRScheduler]


def tiny_inputs(samples: int = SAMPLES) -> Tensor:
    """Random features, float32 [samples, FEATURES], off centre."""
    return 2.0 + torch.randn(samples, zoo.FEATURES, generator=torch.Generator().manual_seed(5))


def tiny_targets(samples: int = SAMPLES) -> Tensor:
    """Random classes, int64 [samples]."""
    return torch.randint(zoo.CLASSES, (samples,), generator=torch.Generator().manual_seed(6))


def momentum_sgd(parameters: Iterable[Tensor]) -> Optimizer:
    """What trains where nothing else is said."""
    return optim.SGD(parameters, lr=0.1, momentum=0.9)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make the same training anew, again and again."""

    model: Callable[[], nn.Module]
    optimizer: OptimizerOf = momentum_sgd
    scheduler: SchedulerOf | None = None
    criterion: Criterion = cross_entropy
    inputs: Tensor | None = None
    targets: Tensor | None = None
    batch_size: int = BATCH
    epochs: int = EPOCHS
    overfit_steps: int = 20
    shuffle: bool = True

    def make(self) -> Training:
        """A training that has not begun; every generator is seeded."""
        seed_everything(0)
        inputs = tiny_inputs() if self.inputs is None else self.inputs
        targets = tiny_targets() if self.targets is None else self.targets
        model = self.model()
        optimizer = self.optimizer(model.parameters())
        return Training(
            model=model,
            optimizer=optimizer,
            scheduler=None if self.scheduler is None else self.scheduler(optimizer),
            criterion=self.criterion,
            train=Batches(inputs, targets, self.batch_size, shuffle=self.shuffle, seed=0),
            validation=Batches(inputs[:20], targets[:20], 8, shuffle=False, seed=0),
            prepare=Normaliser(inputs),
            device=CPU,
            epochs=self.epochs,
            overfit_steps=self.overfit_steps,
        )


class State(NamedTuple):
    """Digests of all that a run has become."""

    weights: str
    model: str
    """The whole model: attributes, buffers, flags and gradients, registered or not."""
    optimizer: str
    scheduler: str
    rng: str
    batches: str


def state_of(training: Training) -> State:
    scheduler = training.scheduler
    return State(
        weights_sha256(training.model),
        fingerprint(training.model),
        fingerprint(training.optimizer.state_dict(), list(training.optimizer.state.values())),
        fingerprint(None if scheduler is None else scheduler.state_dict()),
        rng_fingerprint(),
        fingerprint(training.train.state_dict()),
    )


class Outcome(NamedTuple):
    """What a run has become, and what it said."""

    state: State
    news: News
    """What its journal holds: of what is said again and again, the latest."""
    said: list[Event]
    """All of it, as it was said."""
    reason: str
    probe: Probe


Scheduled = Sequence[tuple[int, str | AnyCommand]]


@contextmanager
def open_probe(
    training: Training,
    journal: Journal,
    inbox: Inbox,
    *,
    tips: Sequence[type[Tip]] = TIPS,
    clipping: Clipping | None = None,
    save: Callable[[Probe], None] = lambda probe: None,
    max_steps: int | None = None,
    checkpoint_every: int | None = None,
    attended: bool = False,
) -> Iterator[Probe]:
    """A probe that has begun; the journal is closed at the end."""
    with journal:
        probe = Probe(
            training,
            clipping or Clipping(True, MAX_NORM, "norm"),
            Recorder(journal),
            inbox,
            save=save,
            max_steps=max_steps,
            checkpoint_every=checkpoint_every,
            attended=attended,
        )
        probe.begin(tips)
        yield probe


def fit_to_the_end(training: Training, probe: Probe) -> str:
    """The loop and what follows it; the reason why it ended."""
    try:
        fit(training, probe)
    except StopTraining as stop:
        probe.finish(validate=stop.reason != "stopped")
        return stop.reason
    probe.finish(validate=True)
    return "finished"


def inbox_of(scheduled: Scheduled) -> Inbox:
    """An inbox with commands as values, or as texts in the words of `--at`."""
    return Inbox([(at, parse(command) if isinstance(command, str) else command) for at, command in scheduled])


def train(
    training: Training,
    at: Scheduled = (),
    *,
    inbox: Inbox | None = None,
    clipping: Clipping | None = None,
    max_steps: int | None = None,
    save: Callable[[Probe], None] = lambda probe: None,
    checkpoint_every: int | None = None,
    tips: Sequence[type[Tip]] = TIPS,
) -> Outcome:
    """Train to the end, unattended, with commands after so many executed steps; all that was said is read back."""
    with TemporaryDirectory() as directory:
        journal = ListeningJournal(Path(directory) / "journal.sqlite")
        with open_probe(
            training,
            journal,
            inbox or inbox_of(at),
            clipping=clipping,
            max_steps=max_steps,
            save=save,
            checkpoint_every=checkpoint_every,
            tips=tips,
        ) as probe:
            reason = fit_to_the_end(training, probe)
        return Outcome(state_of(training), read_back(journal.path), journal.said, reason, probe)


def read_back(path: Path) -> News:
    """All that a journal holds."""
    with closing(Reader(path)) as reader:
        return reader.poll()


def train_bare(training: Training) -> State:
    """The same training as plain PyTorch: nobody watches, nothing is validated."""
    model, optimizer, scheduler = training.model, training.optimizer, training.scheduler
    for _ in range(training.epochs):
        for raw, targets in training.train:
            optimizer.zero_grad(set_to_none=True)
            loss = training.criterion(model(training.prepare(raw)), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], MAX_NORM)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
    return state_of(training)


def tokens(samples: int = SAMPLES) -> Tensor:
    """Random tokens, int64 [samples, 4]."""
    return torch.randint(1, 16, (samples, 4), generator=torch.Generator().manual_seed(7))


RECIPES: dict[str, Recipe] = {
    "sgd-momentum": Recipe(model=zoo.Plain),
    "adamw-onecycle": Recipe(
        model=zoo.Plain,
        optimizer=partial(optim.AdamW, lr=0.01),
        scheduler=lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=STEPS + 1),
    ),
    "dropout-norm-step": Recipe(
        model=zoo.DropoutNorm, scheduler=lambda optimizer: lr_scheduler.StepLR(optimizer, STEPS_PER_EPOCH, 0.5)
    ),
    "adadelta-cosine": Recipe(
        model=zoo.DropoutNorm,
        optimizer=partial(optim.Adadelta, lr=1.0),
        scheduler=lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS),
    ),
    "amsgrad": Recipe(model=zoo.Plain, optimizer=partial(optim.Adam, lr=0.01, amsgrad=True)),
    "frozen-norm": Recipe(model=zoo.FrozenNorm),
    "plain-attributes": Recipe(model=zoo.PlainAttributes),
    "global-noise": Recipe(model=zoo.GlobalNoise),
    "listed-norm": Recipe(model=zoo.ListedNorm),
    "buffers": Recipe(model=zoo.Buffers),
    "recurrent": Recipe(model=zoo.Recurrent),
    "masking-tokens": Recipe(model=zoo.Masking, inputs=tokens(), targets=tokens()),
}
"""What must come out bit for bit the same, whatever was watched and switched on the way."""
