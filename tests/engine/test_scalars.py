"""Scalars travel to the host in order, in batches; on an accelerator without waiting for it."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.engine.runs import CPU
from tuitrain.engine import scalars as module
from tuitrain.engine.scalars import CAPACITY, Row, Scalars


class Delivered:
    """What was delivered, in the order in which it came."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.rows: list[Row] = []
        self.others: list[Any] = []
        self.order: list[str] = []

    def steps(self, notes: list[Any], rows: list[Row]) -> None:
        self.notes += notes
        self.rows += rows
        self.order.append("steps")

    def other(self, values: Tensor) -> None:
        self.others.append(values.tolist())
        self.order.append("other")

    @property
    def losses(self) -> list[float]:
        return [row.loss for row in self.rows]


def scalar(value: float) -> Tensor:
    return torch.tensor(value)


def add(scalars: Scalars, first: int, end: int) -> None:
    for step in range(first, end):
        scalars.add(f"step {step}", scalar(float(step)), scalar(step + 0.5), None, None)


def test_rows_come_back_in_order_beside_their_notes() -> None:
    delivered = Delivered()
    scalars = Scalars(CPU, delivered.steps)
    add(scalars, 0, 3)
    assert delivered.notes == []
    scalars.flush()
    add(scalars, 3, 5)
    scalars.flush()
    assert delivered.notes == [f"step {step}" for step in range(5)]
    assert delivered.losses == [0, 1, 2, 3, 4]
    assert [row.norm_before for row in delivered.rows] == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_what_is_absent_is_nan_and_what_is_there_is_kept_in_float32() -> None:
    delivered = Delivered()
    scalars = Scalars(CPU, delivered.steps)
    scalars.add(None, scalar(1.5).requires_grad_(), scalar(2.5), None, torch.tensor(17))
    scalars.add(None, scalar(1.5).double(), scalar(math.nan), scalar(math.inf), None)
    scalars.add(None, scalar(1.5).bfloat16(), scalar(0.0), scalar(-0.0), None)
    scalars.flush()
    first, second, third = delivered.rows
    assert (first.loss, first.norm_before, first.correct) == (1.5, 2.5, 17.0)
    assert math.isnan(first.norm_after)
    assert math.isnan(second.norm_before)
    assert (second.norm_after, math.isnan(second.correct)) == (math.inf, True)
    assert (third.loss, third.norm_after) == (1.5, 0.0)


def test_it_holds_its_capacity_and_says_when_it_is_full() -> None:
    delivered = Delivered()
    scalars = Scalars(CPU, delivered.steps)
    add(scalars, 0, CAPACITY - 1)
    assert not scalars.full
    add(scalars, CAPACITY - 1, CAPACITY)
    assert scalars.full
    scalars.flush()
    assert not scalars.full
    assert delivered.losses == list(range(CAPACITY))
    add(scalars, CAPACITY, 2 * CAPACITY)
    scalars.flush()
    assert delivered.losses == list(range(2 * CAPACITY))


def test_other_tensors_are_read_at_the_flush_and_only_once() -> None:
    delivered = Delivered()
    scalars = Scalars(CPU, delivered.steps)
    scalars.read_later(torch.arange(3), delivered.other)
    assert delivered.others == []
    scalars.flush()
    scalars.flush()
    assert delivered.others == [[0, 1, 2]]


def test_an_empty_flush_delivers_nothing() -> None:
    delivered = Delivered()
    Scalars(CPU, delivered.steps).flush(wait=True)
    assert delivered.order == []


# ---------------------------------------------------------------- an accelerator whose copies end when they are told to


class FakeDevice:
    """A device with one side stream; `finish` completes the oldest copies."""

    type = "fake"

    def __init__(self) -> None:
        self.queued: list[tuple[Tensor, Tensor, FakeEvent]] = []
        self.started: list[tuple[Tensor, Tensor]] = []
        self.waits = 0
        self.waited_for_training = 0
        self.recorded = 0

    def finish(self, copies: int) -> None:
        for _ in range(copies):
            host, source, event = self.queued.pop(0)
            torch.Tensor.copy_(host.as_subclass(torch.Tensor), source.as_subclass(torch.Tensor))
            event.done = True


class FakeStream:
    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.current = False

    def wait_stream(self, other: object) -> None:
        assert other == "training"
        self.device.waited_for_training += 1

    def __enter__(self) -> None:
        self.current = True

    def __exit__(self, *error: object) -> None:
        self.current = False


class FakeEvent:
    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.done = False

    def record(self, stream: FakeStream) -> None:
        assert stream.current
        host, source = self.device.started.pop()
        self.device.queued.append((host, source, self))

    def query(self) -> bool:
        return self.done

    def synchronize(self) -> None:
        self.device.waits += 1
        while not self.done:
            self.device.finish(1)


class FakeTorch:
    """The torch module, as far as scalars.py uses it, for a `FakeDevice`."""

    Stream, Event = FakeStream, FakeEvent

    def __init__(self, device: FakeDevice) -> None:
        class DeviceTensor(torch.Tensor):
            device = property(lambda self: device)

            def record_stream(self, stream: object) -> None:
                device.recorded += 1

        class HostTensor(torch.Tensor):
            def copy_(self, source: Tensor, non_blocking: bool = False) -> Tensor:
                assert non_blocking
                device.started.append((self, source))
                return self

        class Accelerator:
            @staticmethod
            def current_stream(of: FakeDevice) -> str:
                assert of is device
                return "training"

        self.accelerator = Accelerator
        self.device_tensor = DeviceTensor
        self.host_tensor = HostTensor

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(torch, name)

    def empty(
        self,
        *shape: int | torch.Size,
        device: object = None,
        dtype: torch.dtype = torch.float32,
        pin_memory: bool = False,
    ) -> Tensor:
        assert pin_memory == (device is None), "what receives a copy must be pinned, else the copy waits"
        made = torch.empty(*shape, dtype=dtype).fill_(-1)  # type: ignore[arg-type]
        return made.as_subclass(self.host_tensor if pin_memory else self.device_tensor)

    def tensor(self, value: float, device: object = None) -> Tensor:
        return torch.tensor(value)


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def on_device(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> Callable[[Delivered], Scalars]:
    fake: Any = FakeTorch(device)
    monkeypatch.setattr(module, "torch", fake)

    def made(delivered: Delivered) -> Scalars:
        return Scalars(device, delivered.steps)  # type: ignore[arg-type]

    return made


Make = Callable[[Delivered], Scalars]


def test_nothing_is_delivered_before_its_copy_is_done_and_nothing_waits(device: FakeDevice, on_device: Make) -> None:
    delivered = Delivered()
    scalars = on_device(delivered)
    add(scalars, 0, 3)
    scalars.flush()
    scalars.flush()
    assert (delivered.notes, device.waits) == ([], 0)
    device.finish(1)
    assert delivered.notes == []
    scalars.collect()
    assert delivered.losses == [0, 1, 2]
    assert device.waits == 0
    assert device.waited_for_training == device.recorded == 1


def test_rows_under_way_are_not_overwritten_by_later_ones(device: FakeDevice, on_device: Make) -> None:
    delivered = Delivered()
    scalars = on_device(delivered)
    add(scalars, 0, CAPACITY)
    scalars.flush()
    add(scalars, CAPACITY, CAPACITY + 7)
    scalars.flush()
    add(scalars, CAPACITY + 7, CAPACITY + 9)
    assert delivered.notes == []
    device.finish(2)
    scalars.flush(wait=True)
    assert delivered.losses == list(range(CAPACITY + 9))


def test_delivery_keeps_the_order_of_sending(device: FakeDevice, on_device: Make) -> None:
    delivered = Delivered()
    scalars = on_device(delivered)
    add(scalars, 0, 2)
    scalars.flush()
    scalars.read_later(scalar(9.0).as_subclass(module.torch.device_tensor), delivered.other)  # type: ignore[attr-defined]
    add(scalars, 2, 4)
    scalars.flush()
    device.queued[1][2].done = device.queued[2][2].done = True  # the first is the last to be done
    scalars.collect()
    assert delivered.order == []
    device.finish(3)
    scalars.collect()
    assert delivered.order == ["steps", "other", "steps"]
    assert delivered.losses == [0, 1, 2, 3]


def test_waiting_delivers_everything(device: FakeDevice, on_device: Make) -> None:
    delivered = Delivered()
    scalars = on_device(delivered)
    for end in (3, 6, 9):
        add(scalars, end - 3, end)
        scalars.flush()
    scalars.flush(wait=True)
    assert delivered.losses == list(range(9))
    assert device.waits == 3


def test_what_is_on_the_host_already_is_not_copied(device: FakeDevice, on_device: Make) -> None:
    """As the labels of a batch are, before a script moves them; still in the order in which it was sent."""
    delivered = Delivered()
    scalars = on_device(delivered)
    add(scalars, 0, 1)
    scalars.flush()
    scalars.read_later(torch.arange(3), delivered.other)
    scalars.flush()
    assert delivered.order == []
    device.finish(1)
    scalars.flush()
    assert delivered.order == ["steps", "other"]
    assert (delivered.others, device.recorded, device.waits) == ([[0, 1, 2]], 1, 0)
