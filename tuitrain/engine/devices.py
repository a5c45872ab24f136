"""Choosing the device a run trains on, through torch.accelerator."""

import torch

from tuitrain.errors import UserError


def choose_device(wanted: str) -> torch.device:
    """The device of that name ("auto": the accelerator if there is one, else the CPU); UserError if it is not there."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if wanted == "auto":
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise UserError(f"--device {wanted} is no device of torch: write auto, {_present()}.") from error
    if device.type == "cpu":
        return torch.device("cpu")
    index = device.index or 0
    if accelerator is None or device.type != accelerator.type or index >= torch.accelerator.device_count():
        raise UserError(f"--device {wanted} is not there on this machine: there is {_present()}.")
    return device


def synchronize(device: torch.device) -> None:
    """Wait until everything queued on `device` is done; nothing to do on the CPU."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def device_memory_bytes(device: torch.device) -> int | None:
    """Bytes of device memory that tensors of this process occupy; None on the CPU and where torch cannot tell."""
    if device.type == "cpu":
        return None
    module = torch.get_device_module(device)
    if device.type == "mps":
        return int(module.current_allocated_memory())
    return int(module.memory_allocated(device)) if hasattr(module, "memory_allocated") else None


def _present() -> str:
    if not torch.accelerator.is_available():
        return "cpu"
    kind = torch.accelerator.current_accelerator()
    assert kind is not None  # is_available() says there is one
    return ", ".join(["cpu", *(f"{kind.type}:{index}" for index in range(torch.accelerator.device_count()))])
