"""The norms that are shown, against norms computed in float64 from what backward made and what the optimizer got."""

import math
from collections.abc import Callable, Iterable

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import Optimizer

from tests.engine import zoo
from tests.engine.runs import STEPS, Recipe, train
from tuitrain.engine.gradients import Clipping, norm_after, norms_of_each, total_norm
from tuitrain.engine.training import Training, cross_entropy
from tuitrain.record.events import GradientNorms


class Still(Optimizer):
    """Takes gradients and changes nothing, so that a gradient of NaN does not end the run."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__(parameters, {"lr": 1.0})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        pass


class Witness:
    """Notes, for each step, the float64 norm of the gradients as backward made them and as the optimizer got them."""

    def __init__(self, training: Training) -> None:
        self.before: list[float] = []
        self.after: list[float] = []
        self.largest: list[float] = []
        self._raw: dict[int, Tensor] = {}
        for parameter in training.model.parameters():
            parameter.register_post_accumulate_grad_hook(self._take)  # type: ignore[no-untyped-call]
        training.optimizer.register_step_pre_hook(self._measure)

    def _take(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        self._raw[id(parameter)] = parameter.grad.clone()

    def _measure(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        seen = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.before.append(norm64(self._raw.values()))
        self.after.append(norm64(seen))
        self.largest.append(max(float(gradient.abs().max()) for gradient in seen))


def norm64(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float((tensor.double() ** 2).sum()) for tensor in tensors))


class ScaledLoss:
    """A loss multiplied by another factor at each call made to train."""

    def __init__(self, factors: list[float]) -> None:
        self._factors = factors
        self._calls = 0

    def __call__(self, predictions: Tensor, targets: Tensor) -> Tensor:
        loss = cross_entropy(predictions, targets)
        if not torch.is_grad_enabled():
            return loss
        self._calls += 1
        return loss * self._factors[(self._calls - 1) % len(self._factors)]


def close(expected: list[float]) -> object:
    return pytest.approx(expected, rel=2e-5, abs=1e-12, nan_ok=True)


thresholds = [f"max_norm={threshold}" for threshold in (0.01, 0.2, 1, 50)]
switch = st.sampled_from(
    ["clip=on", "clip=off", "clip_by=norm", "clip_by=value", *thresholds, "overfit=on", "overfit=off"]
)
factor = st.sampled_from([1.0, 0.0, 1e-6, 1e-3, 30.0, 1e6, math.nan, math.inf, -math.inf])


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    toggles=st.lists(st.tuples(st.integers(0, STEPS), switch), max_size=8),
    factors=st.lists(factor, min_size=1, max_size=5),
)
@example(toggles=[], factors=[1.0])
@example(toggles=[(3, "clip=off"), (9, "clip=on")], factors=[1.0, 1e6])
@example(toggles=[(3, "clip_by=value"), (9, "clip_by=norm")], factors=[1.0, math.nan, math.inf])
def test_both_norms_are_those_of_the_gradients(toggles: list[tuple[int, str]], factors: list[float]) -> None:
    training = Recipe(model=zoo.DropoutNorm, optimizer=Still, criterion=ScaledLoss(factors)).make()
    witness = Witness(training)
    steps = train(training, toggles).news.steps
    assert len(steps) == len(witness.before) >= STEPS
    assert [step.norm_before for step in steps] == close(witness.before)
    assert [step.norm_after for step in steps] == close(witness.after)
    for step in steps:
        if step.norm_before <= step.max_norm:
            assert step.norm_after == step.norm_before


@pytest.mark.parametrize("max_norm", [0.01, 1.0])
def test_by_value_no_element_exceeds_the_bound(max_norm: float) -> None:
    training = Recipe(model=zoo.Plain, criterion=ScaledLoss([100.0])).make()
    witness = Witness(training)
    steps = train(training, clipping=Clipping(True, max_norm, "value")).news.steps
    assert max(witness.largest) <= max_norm
    assert [step.norm_after for step in steps] == close(witness.after)
    assert all(math.isnan(step.max_norm) for step in steps), "a bound of each value is no threshold of the norm"


def test_by_norm_gradients_are_scaled_by_one_factor() -> None:
    """Not clamped: the direction stays."""
    weights = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2))]
    for index, weight in enumerate(weights):
        weight.grad = torch.arange(weight.numel(), dtype=torch.float32).view_as(weight) + 3.0 * index
    raw = torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])
    Clipping(True, 0.25, "norm")(list(weights))
    clipped = torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])
    torch.testing.assert_close(clipped, raw * 0.25 / raw.norm(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("before", "threshold", "after"),
    [
        (2.0, 1.0, 1.0),
        (0.5, 1.0, 0.5),
        (0.0, 1.0, 0.0),
        (7.0, math.nan, 7.0),
        (math.nan, 1.0, math.nan),
        (math.inf, 1.0, math.nan),  # infinity times a factor of zero
        (math.inf, math.nan, math.inf),
    ],
)
def test_the_norm_after_follows_from_the_norm_before(before: float, threshold: float, after: float) -> None:
    assert norm_after(before, threshold) == pytest.approx(after, rel=1e-5, nan_ok=True)


def test_without_any_gradient_the_norm_is_zero() -> None:
    assert total_norm([nn.Parameter(torch.ones(2))]).item() == 0.0


def test_the_norm_of_each_parameter_is_said_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.engine.probe.SAMPLE_INTERVAL_S", 0.0)
    monkeypatch.setattr("tuitrain.engine.probe.NORMS_INTERVAL_S", 0.0)
    training = Recipe(model=zoo.Plain, optimizer=Still).make()
    witness = Witness(training)
    said = [event.norms for event in train(training).said if isinstance(event, GradientNorms)]
    assert len(said) == STEPS
    assert set(said[0]) == {"body.weight", "body.bias", "head.weight", "head.bias"}
    assert [math.hypot(*norms.values()) for norms in said] == close(witness.before)


def test_the_norms_of_each_are_in_the_order_given() -> None:
    parameters: list[Tensor] = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 4.0]), torch.zeros(3)
    assert norms_of_each(parameters).tolist() == [5.0, 0.0]
