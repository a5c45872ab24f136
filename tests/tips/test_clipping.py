"""Tip 3 on real runs: the share of clipped steps, by norm and by value, and norms that explode."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from tests.tips.conftest import MakeRun
from tests.tips.small_run import BATCH, CLASSES, SmallRun, features, perceptron
from tuitrain.record.events import Step
from tuitrain.tips.clipping import WINDOW_STEPS, GradientClipping


class Gradients:
    """The gradients of each step as backward left them, and as the optimizer found them."""

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.before: list[Tensor] = []
        self.after: list[Tensor] = []
        self._parameters = list(model.parameters())
        self._raw: dict[int, Tensor] = {}
        for index, parameter in enumerate(self._parameters):
            parameter.register_post_accumulate_grad_hook(self._keeper(index))  # type: ignore[no-untyped-call]
        optimizer.register_step_pre_hook(self._optimizer_steps)

    def _keeper(self, index: int) -> Callable[[Tensor], None]:
        def keep(parameter: Tensor) -> None:
            assert parameter.grad is not None
            self._raw[index] = parameter.grad.clone().flatten()

        return keep

    def _optimizer_steps(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        self.before.append(torch.cat([self._raw[index] for index in range(len(self._parameters))]))
        self.after.append(torch.cat([p.grad.flatten() for p in self._parameters if p.grad is not None]))


def run_with_gradients(make_run: MakeRun, **options: object) -> tuple[SmallRun, Gradients]:
    model = perceptron()
    optimizer = Adam(model.parameters(), lr=0.02)
    gradients = Gradients(model, optimizer)
    return make_run(model, features(), optimizer=optimizer, **options), gradients


def percent(flags: list[bool]) -> str:
    return f"{100 * sum(flags) / len(flags):.0f} %"


def test_the_share_of_steps_whose_total_norm_exceeds_the_threshold(make_run: MakeRun) -> None:
    probe_run, gradients = run_with_gradients(make_run)
    probe_run.epoch()
    norms = sorted(float(step.norm()) for step in gradients.before)
    threshold = (norms[0] + norms[-1]) / 2
    run, gradients = run_with_gradients(make_run, max_norm=threshold)
    for _ in range(3):
        run.epoch()
    clipped = [float(step.double().norm()) > threshold for step in gradients.before]
    assert 0 < sum(clipped) < 12
    report = run.report(GradientClipping)
    assert report[:2] == ("good", f"{percent(clipped)} of steps")
    for before, after, flag in zip(gradients.before, gradients.after, clipped, strict=True):
        factor = threshold / float(before.norm()) if flag else 1.0
        torch.testing.assert_close(after, before * factor, rtol=1e-4, atol=1e-7)  # one factor for all


def test_by_value_the_share_of_steps_with_a_value_clamped(make_run: MakeRun) -> None:
    probe_run, gradients = run_with_gradients(make_run, max_norm=1e9)
    for _ in range(3):
        probe_run.epoch()
    largest = sorted(float(step.abs().max()) for step in gradients.before)
    bound = (largest[0] + largest[-1]) / 2
    run, gradients = run_with_gradients(make_run, max_norm=bound, at=[(0, "clip_by=value")])
    for _ in range(3):
        run.epoch()
    clamped = [float(step.abs().max()) > bound for step in gradients.before]
    assert 0 < sum(clamped) < 12
    assert run.report(GradientClipping)[:2] == ("good", f"{percent(clamped)} of steps clamped")
    for before, after in zip(gradients.before, gradients.after, strict=True):
        assert after.equal(before.clamp(-bound, bound))


def test_the_text_tells_scaling_from_clamping(make_run: MakeRun) -> None:
    run, _ = run_with_gradients(make_run, max_norm=2.5)
    run.epoch()
    scaled = run.report(GradientClipping).rows["clipping"]
    assert "one factor" in scaled
    assert "total norm is above 2.5" in scaled
    assert "none is clamped" in scaled
    run.tell("clip_by=value", "max_norm=0.5")
    run.epoch()
    clamped = run.report(GradientClipping).rows["clipping"]
    assert "clamps each value into [-0.5, 0.5]" in clamped
    assert "factor" not in clamped
    run.tell("clip=off")
    run.epoch()
    report = run.report(GradientClipping)
    assert report.rows["clipping"] == "off: gradients reach the optimizer as they are"
    assert report.summary.startswith("off; norm ")


def test_each_switch_acts_on_the_next_step_and_is_read_back(make_run: MakeRun) -> None:
    at = [(1, "clip=off"), (2, "clip=on"), (2, "max_norm=0.01"), (3, "clip_by=value")]
    run, gradients = run_with_gradients(make_run, max_norm=1e9, at=at)
    run.epoch()
    clipping = run.probe.clipping
    assert (clipping.on, clipping.max_norm, clipping.by) == (True, 0.01, "value")
    assert gradients.after[0].equal(gradients.before[0])
    assert gradients.after[1].equal(gradients.before[1])
    assert float(gradients.after[2].norm()) == pytest.approx(0.01, rel=1e-4)
    assert float(gradients.after[3].abs().max()) == pytest.approx(0.01)
    assert [step.max_norm for step in run.steps()] == pytest.approx([1e9, math.nan, 0.01, math.nan], nan_ok=True)


def test_a_change_begins_the_count_anew(make_run: MakeRun) -> None:
    run, _ = run_with_gradients(make_run, max_norm=1e-6)
    run.epoch()
    assert run.report(GradientClipping).summary == "100 % of steps"
    run.tell("max_norm=1e6")
    run.epoch()
    assert run.report(GradientClipping).summary == "0 % of steps"


def test_steps_of_an_overfitted_batch_are_not_mixed_with_the_runs_own(make_run: MakeRun) -> None:
    at = [(4, "overfit=on"), (44, "overfit=off")]
    run, gradients = run_with_gradients(make_run, at=at)
    run.epoch()
    run.epoch()
    own = [float(norm.double().norm()) for norm in gradients.before[44:]]
    assert len(own) == 4
    assert run.report(GradientClipping).rows["norm"].endswith(f"highest {max(own):.3g} in 4 steps")


# ---------------------------------------------------------------------- what only the reported steps decide


def step(executed: int, norm: float, *, max_norm: float = 1.0, loss: float = 1.0) -> Step:
    return Step(
        executed=executed,
        step=executed,
        time_s=0.0,
        epoch=1,
        loss=loss,
        norm_before=norm,
        norm_after=min(norm, max_norm),
        max_norm=max_norm,
        lr=0.1,
        accuracy=math.nan,
        overfit=False,
    )


def shown(run: SmallRun, norms: list[float], *, loss: float = 1.0) -> tuple[str, str]:
    tip = run.tip(GradientClipping)
    for executed, norm in enumerate(norms, start=1):
        tip.on_steps([step(executed, norm, loss=loss)])
    return run.report(GradientClipping)[:2]


def test_before_any_step_it_says_so(make_run: MakeRun) -> None:
    assert shown(make_run(perceptron(), features()), []) == ("unknown", "no step seen yet")


@pytest.mark.parametrize(
    ("norms", "expected"),
    [
        ([1.0] * 50 + [10.5] * 2, None),
        ([1.0] * 50 + [9.9] * 9, None),
        ([1.0] * 50 + [10.5] * 3, "norm explodes: 3 of 53 steps"),
        ([1.0] * 50 + [math.nan], "norm explodes: 1 of 51 steps"),
        ([math.inf] * 4, "norm explodes: 4 of 4 steps"),
        ([0.0] * 50 + [0.5] * 5, None),
        ([1.0] * 10 + [50.0] * 5, None),
        ([50.0] * 30 + [1.0] * 100, None),
    ],
    ids=[
        "two spikes",
        "below the factor",
        "three spikes",
        "one NaN",
        "all infinite",
        "mostly zero",
        "too few to compare with",
        "a fall is no spike",
    ],
)
@pytest.mark.parametrize("clip", ["on", "off"])
def test_spikes_are_counted_against_the_median_of_those_before(
    make_run: MakeRun, norms: list[float], expected: str | None, clip: str
) -> None:
    run = make_run(perceptron(), features())
    run.tip(GradientClipping).set("clip", clip == "on")
    verdict, summary = shown(run, norms)
    if expected is None:
        assert verdict == ("good" if clip == "on" else "unknown")
    else:
        assert (verdict, summary) == ("bad", expected)


def test_only_the_last_steps_count(make_run: MakeRun) -> None:
    run = make_run(perceptron(), features())
    assert shown(run, [1000.0] * 3 + [0.5] * (WINDOW_STEPS - 1))[0] == "good"
    assert run.report(GradientClipping).rows["norm"].endswith(f"in {WINDOW_STEPS} steps")


def test_clipping_hard_all_the_time_is_told_for_sgd_alone(make_run: MakeRun) -> None:
    sgd = make_run(perceptron(), features())
    assert shown(sgd, [50.0] * 40) == ("warning", "100 % of steps")
    assert "raise it" in sgd.report(GradientClipping).rows["so"]
    adam, _ = run_with_gradients(make_run)
    assert shown(adam, [50.0] * 40) == ("good", "100 % of steps")
    gentle = make_run(perceptron(), features())
    assert shown(gentle, [5.0] * 40) == ("good", "100 % of steps")


class Zeroed(nn.Module):
    """Multiplies its predictions by zero, and with them every gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(inputs)
        return logits * 0.0


def test_no_gradient_at_all_is_told(make_run: MakeRun) -> None:
    run = make_run(Zeroed(), features())
    run.epoch()
    assert run.report(GradientClipping)[:2] == ("bad", "no gradient reaches the weights")


def test_a_loss_of_zero_needs_no_gradient(make_run: MakeRun) -> None:
    run = make_run(perceptron(), features(), batch_size=BATCH)
    assert shown(run, [0.0] * 10, loss=0.0) == ("good", "0 % of steps")
