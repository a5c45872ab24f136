"""Tiny models, each with one thing in it that is easily missed when a run's state is captured."""

import random
from collections import deque

import numpy as np
import torch
from torch import Tensor, nn

FEATURES, CLASSES, WIDTH = 6, 3, 8


class Plain(nn.Module):
    """Two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(FEATURES, WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.between(torch.tanh(self.body(inputs))))
        return logits

    def between(self, states: Tensor) -> Tensor:
        """From [B, WIDTH] to the same: what subclasses do in addition."""
        return states


class DropoutNorm(Plain):
    """Dropout and BatchNorm, as usual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)
        self.dropout = nn.Dropout(0.3)

    def between(self, states: Tensor) -> Tensor:
        hidden: Tensor = self.dropout(self.norm(states))
        return hidden


class FrozenNorm(DropoutNorm):
    """A BatchNorm that is meant to stay in eval mode while the rest trains, and frozen weights."""

    def __init__(self) -> None:
        super().__init__()
        self.norm.eval()
        self.body.weight.requires_grad_(False)


class Freezing(DropoutNorm):
    """Freezes its BatchNorm and a layer on the way, as schedules for fine-tuning do."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def between(self, states: Tensor) -> Tensor:
        self.calls += torch.is_grad_enabled()
        if self.calls == 4:
            self.norm.eval()
            self.body.weight.requires_grad_(False)
        return super().between(states)


class PlainAttributes(Plain):
    """Attributes that every forward pass changes: a counter, tensors carried over, containers, generators, an array."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.hidden = torch.zeros(WIDTH)
        self.in_place = torch.zeros(WIDTH)
        self.history: list[float] = []
        self.memory = {"last": torch.zeros(WIDTH), "nested": [torch.zeros(1)]}
        self.queue: deque[Tensor] = deque(maxlen=3)
        self.seen: set[int] = set()
        self.own = torch.Generator().manual_seed(1)
        self.own_python = random.Random(2)
        self.own_numpy = np.random.default_rng(3)
        self.array = np.zeros(WIDTH, dtype=np.float32)

    def between(self, states: Tensor) -> Tensor:
        self.calls += 1
        self.hidden = 0.9 * self.hidden + 0.1 * states.detach().mean(0)
        self.in_place.mul_(0.5).add_(self.hidden)
        self.history.append(1.0 / self.calls)
        self.memory["last"] = self.hidden.clone()
        nested = self.memory["nested"]
        assert isinstance(nested, list)
        nested[0].add_(1.0)
        self.queue.append(self.hidden)
        self.seen.add(self.calls)
        self.array += np.float32(0.01)
        if not hasattr(self, "late"):
            self.late = states.detach().mean(0)  # as layers do that set themselves up from the first data they see
        noise = torch.rand(WIDTH, generator=self.own) + self.own_python.random() + self.own_numpy.random()
        carried = self.hidden + self.late + self.in_place + torch.stack([*self.queue]).mean(0) + nested[0] / 100
        changed: Tensor = states + 0.1 * carried + 0.01 * noise + len(self.history) / 100 + torch.from_numpy(self.array)
        return changed


class GlobalNoise(Plain):
    """Draws from Python's, NumPy's and torch's global generators in the forward pass."""

    def between(self, states: Tensor) -> Tensor:
        return states * (1 + 0.1 * random.random() + 0.1 * np.random.rand()) + 0.1 * torch.randn_like(states)


class ListedNorm(Plain):
    """A BatchNorm and a layer in a plain list: never registered, but their statistics and gradients change."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = [nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, WIDTH)]
        self.loose = {"weight": torch.ones(WIDTH, requires_grad=True)}

    def between(self, states: Tensor) -> Tensor:
        norm, linear = self.norms
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.running_mean is not None
        hidden: Tensor = linear(norm(states)) * self.loose["weight"] + norm.running_mean
        return hidden


class Buffers(Plain):
    """Buffers outside the state dict, replaced instead of written in place, and one that is an expanded view."""

    replaced: Tensor
    counted: Tensor
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("replaced", torch.zeros(WIDTH), persistent=False)
        self.register_buffer("counted", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("mask", torch.ones(1, 1).expand(4, WIDTH), persistent=False)
        self.maybe: Tensor | None
        self.register_buffer("maybe", None)

    def between(self, states: Tensor) -> Tensor:
        self.replaced = 0.9 * self.replaced + 0.1 * states.detach().mean(0)
        self.counted += 1
        return states * self.mask[0] + self.replaced + self.counted / 100


class Masking(nn.Module):
    """Masks tokens in place, as masked language models do: it writes into the batch it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, WIDTH)
        self.head = nn.Linear(WIDTH, 16)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens[torch.rand(tokens.shape) < 0.3] = 0
        logits: Tensor = self.head(self.embed(tokens))
        return logits


class Recurrent(nn.Module):
    """An LSTM, whose weights also stand in a plain list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(2, WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        states, _ = self.rnn(inputs.view(-1, 3, 2).transpose(0, 1))
        logits: Tensor = self.head(states[-1])
        return logits


def linear_network() -> nn.Module:
    """The least that learns."""
    return nn.Sequential(nn.Linear(FEATURES, CLASSES))
