# ruff: noqa: ANN401
"""The digest of what a program has trained: how two runs of it are compared."""

import hashlib
from typing import Any

import torch


def say_weights(*trained: Any) -> None:
    """Print one digest over the state dicts of models, optimizers and schedulers, and where every generator is."""
    digest = hashlib.sha256()
    for each in trained:
        _add(digest, each.state_dict())
    _add(digest, torch.get_rng_state())
    print("weights", digest.hexdigest())


def _add(digest: Any, value: Any) -> None:
    match value:
        case torch.Tensor():
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        case dict():
            for key, item in value.items():
                digest.update(str(key).encode())
                _add(digest, item)
        case list() | tuple():
            for item in value:
                _add(digest, item)
        case _:
            digest.update(repr(value).encode())
