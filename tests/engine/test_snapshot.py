"""A snapshot puts back what was there: the same objects, with the values they had."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim

from tests.engine import zoo
from tests.engine.fingerprint import fingerprint, rng_fingerprint
from tests.engine.runs import RECIPES, Recipe, state_of, train_bare
from tuitrain.engine.rng import capture_rng, restore_rng
from tuitrain.engine.snapshot import capture
from tuitrain.engine.training import Training


def snapshot_of(training: Training) -> "partial[None]":
    """Restores the training to this moment when called."""
    return partial(capture(training.model, training.optimizer, training.scheduler).restore)


@pytest.mark.parametrize("name", RECIPES)
def test_training_between_capture_and_restore_leaves_no_trace(name: str) -> None:
    training = RECIPES[name].make()
    training.epochs = 1
    train_bare(training)
    before = state_of(training)._replace(batches="")
    restore = snapshot_of(training)
    assert state_of(training)._replace(batches="") == before, "capturing changes nothing"
    assert train_bare(training) != before
    restore()
    assert state_of(training)._replace(batches="") == before


def test_the_objects_stay_the_same() -> None:
    """What holds a reference to a weight, a buffer or a state of the optimizer, goes on to see it."""
    training = Recipe(model=zoo.DropoutNorm).make()
    train_bare(training)
    parameters = list(training.model.parameters())
    buffers = list(training.model.buffers())
    momenta = [training.optimizer.state[parameter]["momentum_buffer"] for parameter in parameters]
    restore = snapshot_of(training)
    train_bare(training)
    restore()
    assert all(a is b for a, b in zip(parameters, training.model.parameters(), strict=True))
    assert all(a is b for a, b in zip(buffers, training.model.buffers(), strict=True))
    states = [training.optimizer.state[parameter]["momentum_buffer"] for parameter in parameters]
    assert all(a is b for a, b in zip(momenta, states, strict=True))


def test_before_the_first_step_the_optimizer_is_restored_to_having_no_state() -> None:
    training = Recipe(model=zoo.Plain, optimizer=partial(optim.AdamW, lr=0.01)).make()
    restore = snapshot_of(training)
    train_bare(training)
    assert training.optimizer.state
    restore()
    assert not training.optimizer.state
    assert all(parameter.grad is None for parameter in training.model.parameters())


def test_flags_and_frozen_weights_are_restored_one_by_one() -> None:
    training = Recipe(model=zoo.FrozenNorm).make()
    restore = snapshot_of(training)
    training.model.eval().requires_grad_(True)
    restore()
    flags = {path: module.training for path, module in training.model.named_modules()}
    assert flags == {"": True, "body": True, "head": True, "norm": False, "dropout": True}
    frozen = [path for path, parameter in training.model.named_parameters() if not parameter.requires_grad]
    assert frozen == ["body.weight"]


def test_hyperparameters_are_restored() -> None:
    training = RECIPES["adamw-onecycle"].make()
    before = fingerprint(training.optimizer.state_dict())
    restore = snapshot_of(training)
    training.optimizer.param_groups[0].update(lr=7.0, betas=(0.1, 0.2), another=1)
    restore()
    assert fingerprint(training.optimizer.state_dict()) == before


def test_lbfgs_is_restored_with_its_history() -> None:
    model = zoo.linear_network()
    inputs = torch.randn(8, zoo.FEATURES)
    optimizer = optim.LBFGS(model.parameters(), max_iter=3)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = (model(inputs) - 1).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def state() -> str:
        return fingerprint(model, list(optimizer.state.values()))

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    before = state()
    restore = capture(model, optimizer, None).restore
    optimizer.step(closure)  # type: ignore[no-untyped-call]
    assert state() != before
    restore()
    assert state() == before


def test_a_sparse_buffer_is_restored() -> None:
    model = zoo.linear_network()
    model.register_buffer("graph", torch.eye(3).to_sparse())
    restore = capture(model, optim.SGD(model.parameters(), 0.1), None).restore
    with torch.no_grad():
        model.get_buffer("graph").mul_(3)
    restore()
    assert torch.equal(model.get_buffer("graph").to_dense(), torch.eye(3))


def test_buffers_that_share_memory_are_restored() -> None:
    model = nn.Module()
    base = torch.arange(6.0)
    model.register_buffer("part", base[2:5])
    model.register_buffer("spread", base[:1].expand(4))
    restore = capture(model, optim.SGD([nn.Parameter(torch.ones(1))], 0.1), None).restore
    base.mul_(2).add_(1)
    restore()
    assert base.tolist() == [0, 3, 2, 3, 4, 11], "what the buffers show, and nothing else"


def test_every_global_generator_is_put_back() -> None:
    before, state = rng_fingerprint(), capture_rng()
    drawn = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.normal(), torch.rand(3).tolist()]
    assert rng_fingerprint() != before
    restore_rng(state)
    assert rng_fingerprint() == before
    again = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.normal(), torch.rand(3).tolist()]
    assert again == drawn


@pytest.mark.parametrize("initialized", [False, True])
def test_the_generator_of_an_accelerator_that_is_idle_is_not_asked_for(
    initialized: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask would set the accelerator up. There is none on every machine: this one is made of words."""
    asked: list[str] = []

    class Device:
        @staticmethod
        def is_initialized() -> bool:
            return initialized

        @staticmethod
        def get_rng_state(index: int) -> Tensor:
            asked.append(f"get {index}")
            return torch.zeros(1, dtype=torch.uint8)

        @staticmethod
        def set_rng_state(state: Tensor, index: int) -> None:
            asked.append(f"set {index}")

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "get_device_module", lambda device: Device)
    restore_rng(capture_rng())
    assert asked == (["get 0", "get 1", "set 0", "set 1"] if initialized else [])
