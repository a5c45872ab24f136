"""Models of sequences: a recurrent classifier, and a small character language model."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RowRNN(nn.Module):
    """An Elman network that reads an image row by row and classifies the sum of its states.

    Its gradients run back through every row and are multiplied by the recurrent weights at each: where those have
    grown beyond what they began as, the gradients explode.
    """

    def __init__(self, *, hidden: int = 48, row: int = 28, classes: int = 10, gain: float = 1.5) -> None:
        """`gain` is the largest singular value of the recurrent weights at the start."""
        super().__init__()
        self.rnn = nn.RNN(row, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)
        nn.init.orthogonal_(self.rnn.get_parameter("weight_hh_l0"), gain)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows float32 [B, T, row] to logits [B, classes]."""
        states, _ = self.rnn(rows)
        logits: Tensor = self.head(states.sum(dim=1))
        return logits


class CharGPT(nn.Module):
    """A small GPT over characters: learned positions, pre-norm blocks, output weights tied to the embedding."""

    def __init__(
        self, *, classes: int = 128, context: int = 64, width: int = 64, heads: int = 4, layers: int = 2
    ) -> None:
        """`classes` is the size of the vocabulary, `context` the longest sequence."""
        super().__init__()
        self.tokens = nn.Embedding(classes, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes, bias=False)
        self.head.weight = self.tokens.weight
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens int64 [B, T], T at most `context`, to the logits of each next character [B, T, classes]."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        states = self.tokens(tokens) + self.positions(positions)
        for block in self.blocks:
            states = block(states)
        logits: Tensor = self.head(self.norm(states))
        return logits


class _Block(nn.Module):
    """Causal self-attention, then a feed-forward net, each added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm_forward = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, states: Tensor) -> Tensor:
        """States [B, T, width] to states of the same shape."""
        states = states + self._attend(self.norm_attention(states))
        fed: Tensor = self.feed_forward(self.norm_forward(states))
        return states + fed

    def _attend(self, states: Tensor) -> Tensor:
        split = self.queries_keys_values(states).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = split.movedim(2, 0).transpose(-2, -3)
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        attended: Tensor = self.mix(mixed.transpose(1, 2).flatten(2))
        return attended


SEQUENCE_MODELS: dict[str, Callable[..., nn.Module]] = {
    "row-rnn": RowRNN,
    "char-gpt": CharGPT,
}
"""The models of sequences a preset can name."""
