"""A small loop to be watched, what is recorded of it, and a viewer in another terminal."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from tests.engine.fingerprint import fingerprint, rng_fingerprint
from tuitrain.record.commands import AnyCommand
from tuitrain.record.events import End, Status
from tuitrain.record.journal import News, Reader
from tuitrain.record.runs import JOURNAL
from tuitrain.record.socket_link import SocketLink

PATIENCE_S = 60.0


def runs(home: Path) -> list[Path]:
    """The directories of all runs."""
    return sorted((home / "state" / "tuitrain" / "runs").glob("*"))


def recorded(home: Path) -> News:
    """All that was recorded of the one run there is."""
    (directory,) = runs(home)
    with closing(Reader(directory / JOURNAL, whole=True)) as reader:
        return reader.poll()


def ended(news: News) -> tuple[str, str]:
    """How a run ended, and the sentence about it."""
    (end,) = [event for event in news.events if isinstance(event, End)]
    return end.reason, [event for event in news.events if isinstance(event, Status)][-1].message


class Small(NamedTuple):
    """A model, what trains it, and the batches for it."""

    model: nn.Module
    optimizer: Optimizer
    batches: Callable[[], tuple[Tensor, Tensor]]

    @property
    def state(self) -> str:
        """A digest of all that has come of it, and of where every generator is."""
        return fingerprint(self.model, self.optimizer.state_dict(), rng_fingerprint())

    def step(self, x: Tensor, y: Tensor) -> float:
        """Train on a batch; its loss."""
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimizer.step()
        return loss.item()


def small() -> Small:
    """The same one at every call."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 2))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Small(model, optimizer, lambda: (torch.randn(8, 4), torch.randint(0, 2, (8,))))


def trained_alone(steps: int) -> Small:
    """What becomes of it without us."""
    each = small()
    for _ in range(steps):
        each.step(*each.batches())
    return each


class Viewer:
    """Another terminal."""

    def __init__(self, home: Path) -> None:
        (directory,) = runs(home)
        self._link = SocketLink(directory)

    def send(self, command: AnyCommand) -> None:
        """Give a command; it is applied at the next boundary."""
        self._link.send(command)
        self._link.settle(PATIENCE_S)

    def close(self) -> None:
        """Leave."""
        self._link.close()
