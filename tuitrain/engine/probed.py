"""What a tip may ask of what it looks at: of the built-in loop's probe, and of what watches a script, alike."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuitrain.engine.gradients import Clipping
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.registry import Loose
from tuitrain.engine.scalars import Scalars

Rows = Sequence[tuple[str, str]]


class Ordered(Protocol):
    """What gives the batches to train on."""

    @property
    def shuffle(self) -> bool:
        """Whether they come in random order."""

    def set_shuffle(self, on: bool) -> None:
        """Shuffle, or do so no more; Refused where that cannot be."""

    @property
    def targets(self) -> Tensor | None:
        """The targets of all samples, [N, ...]; None where they are seen batch by batch only."""


class Prepared(Protocol):
    """What normalises the inputs."""

    enabled: bool

    @property
    def unsuitable(self) -> str | None:
        """Why the inputs cannot be normalised, in a sentence; None if they can, or it is not known yet."""


class Trainable(Protocol):
    """What is trained: of several models, the one whose optimizer steps first. Refused where there is none left."""

    @property
    def model(self) -> nn.Module:
        """The model."""

    @property
    def optimizer(self) -> Optimizer:
        """Its optimizer."""

    @property
    def device(self) -> torch.device:
        """Where it is trained."""

    @property
    def overfit_steps(self) -> int:
        """Steps after which overfitting one batch has failed."""

    @property
    def train(self) -> Ordered:
        """Its batches."""

    @property
    def prepare(self) -> Prepared:
        """What its inputs pass through."""


class Structure(Protocol):
    """The model's structure."""

    @property
    def loose(self) -> Sequence[Loose]:
        """What was found unregistered at the last look."""


class Probed(Protocol):
    """What a tip looks at and steers."""

    @property
    def recorder(self) -> Recorder:
        """Takes its reports."""

    @property
    def training(self) -> Trainable:
        """What is trained."""

    @property
    def clipping(self) -> Clipping:
        """How gradients are clipped at present."""

    @property
    def scalars(self) -> Scalars:
        """What is to be read from the device goes this way."""

    @property
    def tree(self) -> Structure:
        """The model's structure."""

    @property
    def eval_in_validation(self) -> bool | None:
        """Whether validation runs in eval mode; None where no validation was seen yet."""

    def set_eval_in_validation(self, on: bool) -> None:
        """Have it run in eval mode, or not; Refused where that cannot be."""

    @property
    def validates_on_demand(self) -> bool:
        """Whether both modes can be compared at any time."""

    @property
    def overfitting(self) -> bool:
        """Whether one batch is held and trained on alone."""

    def hold_batch(self) -> None:
        """Capture everything, and train on the batch just fetched alone until it is released."""

    def release_batch(self, *, restore: bool) -> None:
        """Go on; the held batch is the next one. `restore` puts everything back as it was captured."""

    def structure_changed(self) -> None:
        """Look at the model's structure anew, and say it."""

    def facts(self, tip: str) -> Rows:
        """What else is known of a tip's subject."""
