"""The digest of a model's weights: how two runs are shown to be the same, bit for bit."""

import hashlib

import torch
from torch import nn


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over the bytes of all parameters and buffers, in state_dict order."""
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        if isinstance(value, torch.Tensor):
            # a byte view works for every dtype, bfloat16 included, that NumPy does not know
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
