"""A learning rate set on the way: the schedule goes on from there in the same shape, scaled."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from tests.engine import zoo
from tests.engine.runs import STEPS, Recipe, train
from tuitrain.engine.learning_rate import learning_rate, set_learning_rate
from tuitrain.engine.tip import Refused
from tuitrain.record.events import Applied, Rejected

TOTAL = 40


def warmed_up_cosine(optimizer: Optimizer) -> LRScheduler:
    warm_up = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=10)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, TOTAL - 10)
    return lr_scheduler.SequentialLR(optimizer, [warm_up, cosine], milestones=[10])


SCHEDULERS: dict[str, Callable[[Optimizer], LRScheduler]] = {
    "onecycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, [0.1, 0.02], total_steps=TOTAL + 1),
    "onecycle, three phases": lambda optimizer: lr_scheduler.OneCycleLR(
        optimizer, [0.1, 0.02], total_steps=TOTAL + 1, three_phase=True, anneal_strategy="linear"
    ),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, TOTAL + 1),
    "cosine to a floor": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, TOTAL, eta_min=0.005),
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, 7, 0.5),
    "multistep": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [5, 25], 0.3),
    "exponential": lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.9),
    "constant": lambda optimizer: lr_scheduler.ConstantLR(optimizer, 0.5, 20),
    "linear": lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.1, total_iters=20),
    "polynomial": lambda optimizer: lr_scheduler.PolynomialLR(optimizer, TOTAL + 1, 2.0),
    "lambda": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "multiplicative": lambda optimizer: lr_scheduler.MultiplicativeLR(optimizer, lambda step: 0.95),
    "warm restarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 11, eta_min=0.001),
    "cyclic": lambda optimizer: lr_scheduler.CyclicLR(optimizer, [0.01, 0.002], [0.1, 0.02], step_size_up=6),
    "warm-up, then cosine": warmed_up_cosine,
    "chained": lambda optimizer: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(optimizer, 0.99), lr_scheduler.StepLR(optimizer, 9, 0.5)]
    ),
}


def two_groups() -> Optimizer:
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    return SGD([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.02}], momentum=0.9)


def rates(
    scheduler_of: Callable[[Optimizer], LRScheduler] | None, set_at: int | None = None, to: float = 0.0
) -> list[list[float]]:
    """The rate of both groups in each of TOTAL steps, the first one's set to `to` after `set_at` steps."""
    optimizer = two_groups()
    scheduler = None if scheduler_of is None else scheduler_of(optimizer)
    seen = []
    for step in range(TOTAL):
        if step == set_at:
            set_learning_rate(optimizer, scheduler, to)
            assert learning_rate(optimizer) == to
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return seen


@pytest.mark.filterwarnings("ignore:The epoch parameter in")  # SequentialLR calls it in torch itself
@pytest.mark.parametrize("set_at", [0, 1, 9, 10, 23, TOTAL - 1])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_schedule_keeps_its_shape_scaled(name: str, set_at: int) -> None:
    untouched = rates(SCHEDULERS[name])
    factor = 3.0
    changed = rates(SCHEDULERS[name], set_at, factor * untouched[set_at][0])
    assert changed[:set_at] == untouched[:set_at]
    for step in range(set_at, TOTAL):
        assert changed[step] == pytest.approx([factor * rate for rate in untouched[step]], rel=1e-9), f"step {step}"


def test_without_a_scheduler_the_rates_change_and_stay() -> None:
    changed = rates(None, 5, 0.5)
    assert changed[:5] == [[0.1, 0.02]] * 5
    assert changed[5:] == [[0.5, pytest.approx(0.1)]] * (TOTAL - 5)


def test_a_rate_of_zero_cannot_be_scaled() -> None:
    optimizer = two_groups()
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda step: float(step > 0))
    with pytest.raises(Refused, match="a learning rate of 0 here"):
        set_learning_rate(optimizer, scheduler, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0]


def test_in_a_run_it_is_read_back_and_holds_from_the_next_step() -> None:
    news = train(Recipe(model=zoo.Plain, optimizer=partial(SGD, lr=0.1)).make(), [(4, "lr=0.025")]).news
    assert [step.lr for step in news.steps] == [0.1] * 4 + [0.025] * (STEPS - 4)
    assert [(event.word, event.value, event.executed) for event in news.events if isinstance(event, Applied)] == [
        ("lr", 0.025, 4)
    ]


def test_in_a_run_that_has_come_down_to_zero_the_command_is_rejected() -> None:
    recipe = Recipe(
        model=zoo.Plain,
        scheduler=lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS),
    )
    outcome = train(recipe.make(), [(STEPS, "lr=0.1")])
    assert outcome.reason == "finished"
    assert [event.word for event in outcome.news.events if isinstance(event, Rejected)] == ["lr"]
