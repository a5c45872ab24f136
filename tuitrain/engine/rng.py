"""The state of every random number generator that a training run may draw from."""

import importlib
import random
import sys
from typing import Any, NamedTuple

import torch


class RngState(NamedTuple):
    """A moment of Python's, NumPy's, torch's CPU and every accelerator's generators."""

    python: tuple[Any, ...]
    numpy: dict[str, Any] | None
    """None where NumPy's global generator was not loaded."""
    cpu: torch.Tensor
    devices: tuple[torch.Tensor, ...]
    """One an accelerator, where they are in use."""


def capture_rng() -> RngState:
    """The generators as they are now."""
    numpy_random = sys.modules.get("numpy.random")
    numpy_state = None if numpy_random is None else numpy_random.get_state(legacy=False)
    return RngState(random.getstate(), numpy_state, torch.get_rng_state(), _device_states())


def restore_rng(state: RngState) -> None:
    """Put every generator back to a captured moment."""
    random.setstate(state.python)
    if state.numpy is not None:
        importlib.import_module("numpy.random").set_state(state.numpy)
    torch.set_rng_state(state.cpu)
    module = _accelerator_in_use()
    if module is None:
        return
    if not _per_index():
        for device_state in state.devices:
            module.set_rng_state(device_state)
        return
    for index, device_state in zip(range(torch.accelerator.device_count()), state.devices, strict=False):
        module.set_rng_state(device_state, index)


def _device_states() -> tuple[torch.Tensor, ...]:
    module = _accelerator_in_use()
    if module is None:
        return ()
    if not _per_index():
        return (module.get_rng_state(),)
    return tuple(module.get_rng_state(index) for index in range(torch.accelerator.device_count()))


def _accelerator_in_use() -> Any:  # noqa: ANN401 - torch types device modules as Any
    """The module of the accelerator; None where there is none, or nothing in this process has used it yet.

    To ask an idle one for its generator would set it up: hundreds of MiB on a GPU that others may be using.
    """
    if not torch.accelerator.is_available():
        return None
    module = torch.get_device_module(torch.accelerator.current_accelerator())
    is_initialized = getattr(module, "is_initialized", None)
    return module if is_initialized is None or is_initialized() else None


def _per_index() -> bool:
    kind = torch.accelerator.current_accelerator()
    return kind is not None and kind.type != "mps"  # torch.mps has one device and takes no index
