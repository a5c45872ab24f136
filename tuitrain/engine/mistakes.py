"""Models with a mistake in them, each one that people make; the presets show which tip finds it."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainListNet(nn.Module):
    """A perceptron whose hidden layers stand in a plain list.

    The mistake: `parameters()` does not see them, so the optimizer never gets them, and only the head learns, from
    what random layers leave of the image. `nn.ModuleList` is the cure.
    """

    def __init__(self, *, pixels: int = 784, width: int = 10, depth: int = 3, classes: int = 10) -> None:
        """`depth` hidden layers of `width` units."""
        super().__init__()
        sizes = [pixels, *[width] * depth]
        self.layers = [nn.Linear(before, after) for before, after in pairwise(sizes)]
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images float32 [B, ...] of `pixels` values each to logits [B, classes]."""
        states = images.flatten(1)
        for layer in self.layers:
            # What is not registered does not move with the model either: people meet the error and write this.
            states = torch.tanh(layer.to(states.device)(states))
        logits: Tensor = self.head(states)
        return logits


class BlindTransformer(nn.Module):
    """A vision transformer that classifies by its summary token.

    The mistake: an encoder layer of torch takes [tokens, batch, width] unless it is told `batch_first=True`. Given
    [batch, tokens, width] it attends across the images of the batch instead of across the patches of an image, so the
    summary token meets only other summary tokens, all alike, and the head sees the same features for every image.
    """

    def __init__(
        self,
        *,
        side: int = 28,
        patch: int = 7,
        width: int = 32,
        heads: int = 4,
        layers: int = 2,
        classes: int = 10,
        batch_first: bool = False,
    ) -> None:
        """`side` and `patch`: pixels along an image and along one of its patches; `batch_first=True` is the cure."""
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch * patch, width)
        self.summary = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 1 + (side // patch) ** 2, width) / width**0.5)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=batch_first)
            for _ in range(layers)
        )
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images float32 [B, 1, side, side] to logits [B, classes]."""
        patches = F.unfold(images, self.patch, stride=self.patch).transpose(1, 2)
        summary = self.summary.expand(len(images), -1, -1)
        tokens = torch.cat([summary, self.embed(patches)], dim=1) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        logits: Tensor = self.head(tokens[:, 0])
        return logits


MISTAKES: dict[str, Callable[..., nn.Module]] = {
    "plain-list": PlainListNet,
    "blind-transformer": BlindTransformer,
}
"""The mistaken models a preset can name."""
