"""12,000 real MNIST digits that ship with tuitrain: `python -m tuitrain.engine.sample` makes them."""

from importlib import resources

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "digits.npz"
ARRAYS = ("train_images", "train_labels", "val_images", "val_labels")


def load() -> dict[str, NDArray[np.uint8]]:
    """The sample by name of array: images uint8 [N, 28, 28] and labels uint8 [N] of "train" and "val"."""
    with resources.files(__name__).joinpath(FILE_NAME).open("rb") as file, np.load(file) as archive:
        return {name: archive[name] for name in ARRAYS}
