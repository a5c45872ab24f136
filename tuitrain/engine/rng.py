"""The state of every random number generator that a training run may draw from."""

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


def capture_rng() -> RngState:
    """The generators as they are now."""
    numpy_random = sys.modules.get("numpy.random")
    numpy_state = None if numpy_random is None else numpy_random.get_state(legacy=False)
    return RngState(random.getstate(), numpy_state, torch.get_rng_state(), _device_states())


def restore_rng(state: RngState) -> None:
    """Put every generator back to a captured moment."""
    random.setstate(state.python)
    if state.numpy is not None:
        sys.modules["numpy.random"].set_state(state.numpy)
    torch.set_rng_state(state.cpu)
    for index, device_state in enumerate(state.devices):
        _set_device_state(index, device_state)


def _device_states() -> tuple[torch.Tensor, ...]:
    if not torch.accelerator.is_available():
        return ()
    module = _accelerator()
    if not _per_index():
        return (module.get_rng_state(),)
    return tuple(module.get_rng_state(index) for index in range(torch.accelerator.device_count()))


def _set_device_state(index: int, state: torch.Tensor) -> None:
    if _per_index():
        _accelerator().set_rng_state(state, index)
    else:
        _accelerator().set_rng_state(state)


def _accelerator() -> Any:  # noqa: ANN401 - torch types device modules as Any
    return torch.get_device_module(torch.accelerator.current_accelerator())


def _per_index() -> bool:
    kind = torch.accelerator.current_accelerator()
    return kind is not None and kind.type != "mps"  # torch.mps has one device and takes no index
