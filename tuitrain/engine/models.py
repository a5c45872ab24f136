"""Models that read handwritten digits, by the name under which a preset asks for them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

SIDE = 28
"""Height and width of the images, in pixels."""


class DigitCNN(nn.Module):
    """Three convolutions with batch norm and a linear head: 99.3 % of MNIST after three short epochs.

    The shapes on the way, for one image: [1, 28, 28] -> conv1, pool [w1, 12, 12] -> conv2 [w2, 10, 10]
    -> conv3, pool [w3, 4, 4] -> head [classes].
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 10,
        width1: int = 16,
        width2: int = 32,
        width3: int = 64,
        dropout: float = 0.1,
    ) -> None:
        """`width1` to `width3`: channels of the convolutions; `dropout`: share of features it hides."""
        super().__init__()
        # No bias: the batch norm behind each convolution subtracts the mean and brings a bias of its own.
        self.conv1 = nn.Conv2d(in_channels, width1, 5, bias=False)
        self.norm1 = nn.BatchNorm2d(width1)
        self.conv2 = nn.Conv2d(width1, width2, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(width2)
        self.conv3 = nn.Conv2d(width2, width3, 3, bias=False)
        self.norm3 = nn.BatchNorm2d(width3)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width3 * 4 * 4, classes)
        # Channels next to each other in memory: a step takes two thirds of the time on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images float32 [B, in_channels, 28, 28] to logits [B, classes]."""
        # Pooling before norm and ReLU leaves them a quarter of the values to work on.
        features = relu(self.norm1(self.pool(self.conv1(images))))
        features = relu(self.norm2(self.conv2(features)))
        features = relu(self.norm3(self.pool(self.conv3(features))))
        logits: Tensor = self.head(self.dropout(features.flatten(1)))
        return logits


class DigitMLP(nn.Module):
    """A perceptron with one hidden layer: so little arithmetic that a step shows what all the rest costs."""

    def __init__(self, *, in_channels: int = 1, classes: int = 10, width: int = 64) -> None:
        """`width` units in the hidden layer."""
        super().__init__()
        self.hidden = nn.Linear(in_channels * SIDE * SIDE, width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images float32 [B, in_channels, 28, 28] to logits [B, classes]."""
        logits: Tensor = self.head(relu(self.hidden(images.flatten(1))))
        return logits


class ClassicCNN(nn.Module):
    """The network of PyTorch's own MNIST example: what the speed of `DigitCNN` is measured against.

    The shapes on the way, for one image: [1, 28, 28] -> conv1 [32, 26, 26] -> conv2 [64, 24, 24] -> pool
    [64, 12, 12] -> hidden [128] -> head [classes]. It ends in logits; the example, in their log-softmax.
    """

    def __init__(self, *, in_channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.pool = nn.MaxPool2d(2)
        self.dropout1 = nn.Dropout(0.25)
        self.hidden = nn.Linear(64 * 12 * 12, 128)
        self.dropout2 = nn.Dropout(0.5)
        self.head = nn.Linear(128, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images float32 [B, in_channels, 28, 28] to logits [B, classes]."""
        features = relu(self.conv2(relu(self.conv1(images))))
        features = self.dropout1(self.pool(features)).flatten(1)
        logits: Tensor = self.head(self.dropout2(relu(self.hidden(features))))
        return logits


MODELS: dict[str, Callable[..., nn.Module]] = {
    "cnn": DigitCNN,
    "mlp": DigitMLP,
    "classic": ClassicCNN,
}
"""The models of images a preset can name; all take `classes`."""
