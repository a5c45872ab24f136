"""What the process and its device use."""

from typing import NamedTuple

import psutil
import torch

from tuitrain.engine.devices import device_memory_bytes

_process = psutil.Process()


class VitalsNow(NamedTuple):
    """Bytes of main memory (resident set) and of device memory; None on the CPU."""

    memory_bytes: int
    device_memory_bytes: int | None


def read_vitals(device: torch.device) -> VitalsNow:
    """The figures as of now; touches no tensor."""
    return VitalsNow(_process.memory_info().rss, device_memory_bytes(device))
