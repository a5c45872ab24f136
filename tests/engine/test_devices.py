"""Choosing a device by name; the machines are made up, so that every case is seen anywhere."""

import pytest
import torch

from tuitrain.engine.devices import choose_device, device_memory_bytes, synchronize
from tuitrain.engine.vitals import read_vitals
from tuitrain.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))


@pytest.mark.usefixtures("no_accelerator")
def test_without_an_accelerator_there_is_the_cpu() -> None:
    assert choose_device("auto") == choose_device("cpu") == choose_device("cpu:0") == CPU


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "mps", "xpu:1", "meta"])
def test_what_is_not_there_is_named_beside_what_is(wanted: str) -> None:
    with pytest.raises(UserError) as error:
        choose_device(wanted)
    assert str(error.value) == f"--device {wanted} is not there on this machine: there is cpu."


@pytest.mark.usefixtures("two_gpus")
def test_with_accelerators_they_are_chosen_and_counted() -> None:
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == CPU
    with pytest.raises(
        UserError, match=r"--device cuda:2 is not there on this machine: there is cpu, cuda:0, cuda:1\."
    ):
        choose_device("cuda:2")
    with pytest.raises(UserError, match=r"--device mps is not there .*cuda:0"):
        choose_device("mps")


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("wanted", ["gpu", "cuda:x", "", "cuda:-1"])
def test_what_is_no_device_is_named(wanted: str) -> None:
    with pytest.raises(UserError, match=r"^--device .* is no device of torch: write auto, cpu\.$"):
        choose_device(wanted)


def test_on_the_cpu_there_is_nothing_to_wait_for_and_no_memory_of_its_own() -> None:
    synchronize(CPU)
    assert device_memory_bytes(CPU) is None
    vitals = read_vitals(CPU)
    assert vitals.device_memory_bytes is None
    assert vitals.memory_bytes > 10_000_000, "Python with torch takes more"
