"""Scalars on their way from the device to the host, without a sync in the step.

Each step writes one row of a preallocated buffer on the device. The rows travel together several times a second: on the
CPU they are read in place, on an accelerator they are copied to pinned memory on a side stream while training goes on,
and read once the copy's event says it is done.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

CAPACITY = 256
COLUMNS = ("loss", "norm_before", "norm_after", "correct")


class Row(NamedTuple):
    """The scalars of one step; NaN where there was none."""

    loss: float
    norm_before: float
    norm_after: float
    correct: float


class _Copy(NamedTuple):
    """Values under way to the host, and whom to give them to."""

    host: Tensor
    done: torch.Event | None
    deliver: Callable[[Tensor], None]


class Scalars:
    """Collects rows of 0-dimensional tensors, and delivers them as floats in batches, in order.

    `deliver(notes, rows)` is called on the training thread, from within `flush` or `collect`.
    """

    def __init__(self, device: torch.device, deliver: Callable[[list[Any], list[Row]], None]) -> None:
        self._device = device
        self._deliver = deliver
        self._on_host = device.type == "cpu"
        self._stream = None if self._on_host else torch.Stream(device)
        self._absent = torch.tensor(math.nan, device=device)
        self._buffer, self._rows = self._new_buffer()
        self._notes: list[Any] = []
        self._requests: list[tuple[Tensor, Callable[[Tensor], None]]] = []
        self._under_way: list[_Copy] = []

    @property
    def full(self) -> bool:
        """Whether the next row needs a flush first."""
        return len(self._notes) == CAPACITY

    def add(self, note: object, loss: Tensor, before: Tensor, after: Tensor | None, correct: Tensor | None) -> None:
        """Write one row of 0-dimensional tensors; `note` comes back beside it. No value is read here."""
        row = self._rows[len(self._notes)]
        absent = self._absent  # a float32, so that the others become one as they are stacked
        scalars = [
            absent if s is None else s.detach() if s.requires_grad else s for s in (loss, before, after, correct)
        ]
        torch.stack(scalars, out=row)
        self._notes.append(note)

    def read_later(self, tensor: Tensor, use: Callable[[Tensor], None]) -> None:
        """Hand `tensor`, once it is on the host, to `use`; it must not be changed in place until the next flush."""
        self._requests.append((tensor.detach(), use))

    def flush(self, *, wait: bool = False) -> None:
        """Send what was collected on its way, and deliver what has arrived; with `wait`, all of it."""
        for tensor, use in self._requests:
            self._send(tensor, use)
        self._requests.clear()
        if self._notes:
            notes, self._notes = self._notes, []
            rows = self._buffer[: len(notes)]
            self._send(rows, lambda host: self._deliver(notes, [Row(*row) for row in host.tolist()]))
            if not self._on_host:  # the copy under way still reads the old one
                self._buffer, self._rows = self._new_buffer()
        self.collect(wait=wait)

    def collect(self, *, wait: bool = False) -> None:
        """Deliver what has arrived on the host, in the order in which it was sent."""
        while self._under_way:
            copy = self._under_way[0]
            if copy.done is not None and not copy.done.query():
                if not wait:
                    return
                copy.done.synchronize()
            self._under_way.pop(0)
            copy.deliver(copy.host)

    def _send(self, tensor: Tensor, deliver: Callable[[Tensor], None]) -> None:
        if self._stream is None or tensor.device.type == "cpu":  # a batch may be on the host still
            self._under_way.append(_Copy(tensor, None, deliver))
            return
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._stream.wait_stream(torch.accelerator.current_stream(self._device))
        with self._stream:
            host.copy_(tensor, non_blocking=True)
            tensor.record_stream(self._stream)
            done = torch.Event(self._device)
            done.record(self._stream)
        self._under_way.append(_Copy(host, done, deliver))

    def _new_buffer(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        buffer = torch.empty(CAPACITY, len(COLUMNS), device=self._device)
        return buffer, buffer.unbind()


def _plain(scalar: Tensor) -> Tensor:
    """As float32, without its graph; most are: each call of torch that is not made is a microsecond a step."""
    detached = scalar.detach() if scalar.requires_grad else scalar
    return detached if detached.dtype is torch.float32 else detached.float()
