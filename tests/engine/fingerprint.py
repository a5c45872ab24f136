"""A digest over everything reachable from an object: how two states are shown to be the same, bit for bit.

Independent of the engine's own notion of what a run's state is: it walks all that an object holds.
"""

import hashlib
import random
from collections import deque

import numpy as np
import torch
from torch import Tensor, nn

_HOOKS = "_hooks"


def fingerprint(*things: object) -> str:
    """SHA-256 over modules (registered or held in any attribute), tensors with their gradients, and values."""
    digest = hashlib.sha256()
    _add(digest, things, set())
    return digest.hexdigest()


def rng_fingerprint() -> str:
    """SHA-256 over the states of the three global generators."""
    return fingerprint(random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state())


def _add(digest: "hashlib._Hash", thing: object, seen: set[int]) -> None:
    if isinstance(thing, nn.Module | dict | list) and id(thing) in seen:
        digest.update(b"seen")
        return
    seen.add(id(thing))
    digest.update(type(thing).__name__.encode())
    match thing:
        case nn.Module():
            attributes = {key: value for key, value in vars(thing).items() if not key.endswith(_HOOKS)}
            _add(digest, attributes, seen)
        case Tensor():
            digest.update(f"{thing.dtype} {tuple(thing.shape)} {thing.requires_grad}".encode())
            digest.update(thing.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
            _add(digest, thing.grad if thing.is_leaf else None, seen)
        case torch.Generator():
            _add(digest, thing.get_state(), seen)
        case random.Random():
            _add(digest, thing.getstate(), seen)
        case np.random.Generator():
            _add(digest, thing.bit_generator.state, seen)
        case np.ndarray():
            digest.update(f"{thing.dtype} {thing.shape}".encode() + thing.tobytes())
        case dict():
            for key, value in thing.items():
                digest.update(repr(key).encode())
                _add(digest, value, seen)
        case list() | tuple() | deque():
            for value in thing:
                _add(digest, value, seen)
        case bool() | int() | float() | str() | bytes() | None | set():
            digest.update(repr(thing).encode())
        case _:
            pass  # functions, devices and the like hold no state of a run
