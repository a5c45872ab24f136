"""No tensor is read in a step: on an accelerator each read would wait for all work that is queued."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.utils._python_dispatch import TorchDispatchMode

from tests.engine import zoo
from tests.engine.runs import CPU, MAX_NORM, RECIPES, Recipe, tiny_inputs, tiny_targets, train
from tuitrain.engine.probe import Probe
from tuitrain.engine.scalars import Scalars
from tuitrain.engine.steering import Steering
from tuitrain.engine.training import Training

READS = {f"aten::{name}" for name in ("_local_scalar_dense", "item", "equal", "nonzero", "masked_select", "is_nonzero")}
STEPS = 1200


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, by where the work is, the operators whose result must be on the host before Python can go on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.where = "step"
        self.counts: Counter[tuple[str, str]] = Counter()
        self.operators = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        name = func._schema.name
        self.operators += 1
        to_host = name == "aten::_to_copy" and (kwargs or {}).get("device") == CPU
        if name in READS or to_host:
            self.counts[self.where, name] += 1
        return func(*args, **(kwargs or {}))

    def during(self, where: str, do: Callable[..., Any]) -> Callable[..., Any]:
        """`do`, its reads counted under `where`."""

        def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            outer, self.where = self.where, where
            try:
                return do(*args, **kwargs)
            finally:
                self.where = outer

        return counted

    def count(self, where: str) -> int:
        return sum(count for (place, _), count in self.counts.items() if place == where)


class Greedy(zoo.Plain):
    """Reads a value in every step: what must not escape the count."""

    def between(self, states: Tensor) -> Tensor:
        return states * (1.0 if states.sum().item() > 0 else 0.5)


def long_recipe(recipe: Recipe, steps: int = STEPS) -> Recipe:
    """The same in one epoch of so many steps."""
    return replace(
        recipe, scheduler=None, inputs=tiny_inputs(4 * steps), targets=tiny_targets(4 * steps), batch_size=4, epochs=1
    )


@pytest.fixture
def everything_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every tip look at every batch, and measure each parameter's norm in every step."""
    monkeypatch.setattr("tuitrain.engine.probe.SAMPLE_INTERVAL_S", 0.0)
    monkeypatch.setattr("tuitrain.engine.probe.NORMS_INTERVAL_S", 0.0)


def reads_of_a_run(training: Training, monkeypatch: pytest.MonkeyPatch, at: list[tuple[int, str]]) -> Reads:
    reads = Reads()
    elsewhere: list[tuple[type, str]] = [(Probe, "begin"), (Probe, "flush"), (Probe, "validate"), (Scalars, "flush")]
    for owner, name in (*elsewhere, (Steering, "between_steps"), (Steering, "batch_at_hand")):
        monkeypatch.setattr(owner, name, reads.during(f"{owner.__name__}.{name}", getattr(owner, name)))
    with reads:
        steps = len(train(training, at).news.steps)
    assert steps >= len(training.train)
    assert reads.operators > 20 * steps, "the mode saw the steps"
    return reads


def reads_of_bare_steps(training: Training) -> int:
    """What a plain loop reads: some optimizers of torch read their step counters on the CPU."""
    with Reads() as reads:
        for raw, targets in training.train:
            training.optimizer.zero_grad(set_to_none=True)
            training.criterion(training.model(training.prepare(raw)), targets).backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(training.model.parameters(), MAX_NORM)
            training.optimizer.step()
    return int(reads.count("step"))


@pytest.mark.usefixtures("everything_sampled")
@pytest.mark.parametrize("clip", ["clip=on", "clip=off", "clip_by=value"])
def test_a_step_reads_no_tensor(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reads_of_a_run(long_recipe(RECIPES["dropout-norm-step"]).make(), monkeypatch, [(1, clip)])
    assert reads.count("step") == 0
    assert reads.count("Scalars.flush") == 0, "on the CPU the rows are read in place"


@pytest.mark.usefixtures("everything_sampled")
def test_with_adamw_no_more_is_read_than_by_the_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = long_recipe(RECIPES["adamw-onecycle"], 200)
    expected = reads_of_bare_steps(recipe.make())
    assert reads_of_a_run(recipe.make(), monkeypatch, []).count("step") == expected


def test_a_step_of_overfitting_reads_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its accuracy is counted on the device."""
    recipe = long_recipe(RECIPES["sgd-momentum"], 200)
    reads = reads_of_a_run(recipe.make(), monkeypatch, [(10, "overfit=on"), (400, "overfit=off")])
    assert reads.count("step") == 0


def test_a_read_in_the_model_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reads_of_a_run(long_recipe(Recipe(model=Greedy), 50).make(), monkeypatch, [])
    assert reads.count("step") == 50


def test_a_flush_of_scalars_on_the_cpu_reads_in_place() -> None:
    delivered: list[float] = []
    scalars = Scalars(CPU, lambda notes, rows: delivered.extend(row.loss for row in rows))
    with Reads() as reads:
        for step in range(10):
            scalars.add(step, torch.full((), float(step)), torch.ones(()), None, None)
        scalars.read_later(torch.ones(3), lambda values: delivered.extend(values.tolist()))
        scalars.flush(wait=True)
    assert delivered == [1.0, 1.0, 1.0, *map(float, range(10))]
    assert reads.counts.total() == 0
