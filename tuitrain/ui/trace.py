"""Smoothing of a curve for drawing."""

import numpy as np

from tuitrain.ui.arrays import Floats

_BLOCK = 256


def smoothed(values: Floats, decay: float) -> Floats:
    """The exponential moving average of finite values with its bias towards zero corrected, as Adam does it. (N,)

    Block by block: within one, a cumulative sum of the values divided by the decay that awaits them.
    """
    blocks = -(-len(values) // _BLOCK)
    padded = np.zeros(blocks * _BLOCK)
    padded[: len(values)] = values
    decays = decay ** np.arange(1, _BLOCK + 1)
    within = np.cumsum(padded.reshape(blocks, _BLOCK) / decays, axis=1) * decays * (1 - decay)
    carried = np.zeros(blocks)
    for block in range(1, blocks):
        carried[block] = carried[block - 1] * decays[-1] + within[block - 1, -1]
    averages: Floats = (within + carried[:, np.newaxis] * decays).ravel()[: len(values)]
    return averages / (1 - decay ** np.arange(1, len(values) + 1))
