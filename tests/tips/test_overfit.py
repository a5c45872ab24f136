"""Tip 1 on real runs: the verdict, and what on, off and keep leave behind."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tips.conftest import MakeRun
from tests.tips.small_run import CLASSES, SmallRun, features, perceptron
from tuitrain.record.events import Applied, Event, Rejected, Step, TipReport
from tuitrain.tips.overfit import PASS_SHARE, OverfitOneBatch


class Blind(nn.Module):
    """Does not see its input."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.bias.expand(len(inputs), -1)


class NotANumber(nn.Module):
    """Gives NaN, whose argmax is class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, inputs: Tensor) -> Tensor:
        return (self.weight / 0.0).expand(len(inputs), -1)


def steps_to_pass(steps: list[Step]) -> int:
    """Naively: the first held step, counted from 1, that meets one of the two conditions."""
    held = [step for step in steps if step.overfit]
    return next(
        count
        for count, step in enumerate(held, start=1)
        if step.loss < PASS_SHARE * held[0].loss or step.accuracy == 1.0
    )


@pytest.mark.parametrize("begin", [0, 3])
def test_a_sane_model_passes_and_the_count_is_right(make_run: MakeRun, begin: int) -> None:
    run = make_run(perceptron(), features(), at=[(begin, "overfit=on"), (begin + 60, "overfit=off")])
    run.epoch()
    report = run.report(OverfitOneBatch)
    count = steps_to_pass(run.steps())
    assert 1 < count < 60
    assert (report.verdict, report.summary) == ("good", f"PASS in {count} steps")
    assert [step.overfit for step in run.steps()] == [False] * begin + [True] * 60 + [False] * (4 - begin)
    assert report.rows["loss"].endswith("in 60 steps")
    assert "suspect" not in report.rows


def test_the_accuracy_shown_is_that_of_the_held_batch(make_run: MakeRun) -> None:
    run = make_run(perceptron(), features(), at=[(0, "overfit=on"), (1, "overfit=off")])
    with torch.no_grad():
        predictions = run.training.model(features()[0][:8]).argmax(1)
    share = (predictions == features()[1][:8]).float().mean().item()
    run.epoch()
    assert run.report(OverfitOneBatch).rows["accuracy"] == f"{100 * share:.1f} % of this batch"
    assert run.steps()[0].accuracy == share
    assert math.isnan(run.steps()[1].accuracy)


def test_a_model_that_cannot_fails_after_the_limit_and_is_let_go(make_run: MakeRun) -> None:
    run = make_run(Blind(), features(), overfit_steps=20, at=[(1, "overfit=on")])
    run.epoch()
    report = run.report(OverfitOneBatch)
    assert (report.verdict, report.summary) == ("bad", "FAIL after 20 steps")
    assert "hides the input" in report.rows["suspect"]
    assert sum(step.overfit for step in run.steps()) == 20  # nobody is there to switch it off
    assert [applied.by for applied in run.said(Applied)] == ["--at", "tuitrain"]


def test_a_loss_that_is_not_a_number_fails_at_once_even_where_its_argmax_scores(make_run: MakeRun) -> None:
    inputs, targets = features()
    run = make_run(NotANumber(), (inputs, torch.zeros_like(targets)), at=[(0, "overfit=on"), (5, "overfit=off")])
    run.epoch()
    assert run.steps()[0].accuracy == 1.0
    report = run.report(OverfitOneBatch)
    assert (report.verdict, report.summary) == ("bad", "FAIL after 1 step")
    assert "not finite" in report.rows["suspect"]


def test_while_undecided_it_says_how_far_it_is(make_run: MakeRun) -> None:
    run = make_run(Blind(), features(), at=[(0, "overfit=on"), (7, "overfit=off")])
    assert run.report(OverfitOneBatch)[:2] == ("unknown", "can it learn one batch by heart?")
    run.epoch()
    report = run.report(OverfitOneBatch)
    assert report.verdict == "unknown"
    assert report.summary.endswith("step 7 of 100")


def test_the_verdict_reaches_the_journal_while_the_batch_is_held(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(perceptron(), features(), at=[(0, "overfit=on"), (60, "overfit=off")])
    journal, said = run.probe.recorder.journal, list[Event]()
    say = journal.say

    def heard(event: Event) -> None:
        said.append(event)
        say(event)

    monkeypatch.setattr(journal, "say", heard)
    run.epoch()
    reports = [event for event in said if isinstance(event, TipReport) and event.tip == "overfit"]
    passed = next(report for report in reports if report.verdict == "good")
    assert passed.executed == steps_to_pass(run.steps())


def final_digest(make_run: MakeRun, *at: tuple[int, str]) -> tuple[str, SmallRun]:
    """A model with dropout and batch norm, trained for two epochs of four steps."""
    torch.manual_seed(1)
    model = perceptron(dropout=0.3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    run = make_run(model, features(), at=at, optimizer=optimizer, shuffle=True)
    run.epoch()
    run.epoch()
    return run.digest(), run


@pytest.mark.parametrize(
    "at",
    [
        [(2, "overfit=on"), (12, "overfit=off")],
        [(2, "overfit=on"), (2, "overfit=on"), (7, "overfit=on"), (12, "overfit=off"), (12, "overfit=off")],
        [(2, "overfit=on"), (2, "overfit=off")],
        [(3, "overfit=on"), (9, "overfit=off"), (9, "overfit=on"), (15, "overfit=off")],
        [(4, "overfit=off")],
    ],
    ids=["once", "on when on, off when off", "no step between", "twice", "off when off"],
)
def test_on_and_off_again_leaves_the_run_as_if_never_touched(make_run: MakeRun, at: list[tuple[int, str]]) -> None:
    untouched, _ = final_digest(make_run)
    touched, run = final_digest(make_run, *at)
    assert touched == untouched
    assert not run.said(Rejected)
    assert [step.step for step in run.steps() if not step.overfit] == list(range(1, 9))


def test_on_when_on_does_not_begin_anew(make_run: MakeRun) -> None:
    at = [(0, "overfit=on"), (30, "overfit=on"), (60, "overfit=off")]
    run = make_run(perceptron(), features(), at=at)
    run.epoch()
    assert run.report(OverfitOneBatch).rows["loss"].endswith("in 60 steps")
    assert run.report(OverfitOneBatch).summary == f"PASS in {steps_to_pass(run.steps())} steps"


def test_a_second_hold_is_judged_on_its_own(make_run: MakeRun) -> None:
    at = [(0, "overfit=on"), (60, "overfit=off"), (60, "overfit=on"), (63, "overfit=off")]
    run = make_run(perceptron(), features(), at=at)
    run.epoch()
    assert run.report(OverfitOneBatch).verdict == "unknown"
    assert run.report(OverfitOneBatch).summary.endswith("step 3 of 100")


def test_keep_goes_on_from_the_overfitted_weights_with_the_held_batch(make_run: MakeRun) -> None:
    run = make_run(perceptron(), features(), at=[(1, "overfit=on"), (31, "overfit=keep")])
    run.epoch()
    weights = {received.executed: received.weights for received in run.in_training()}
    inputs = {received.executed: received.inputs for received in run.in_training()}
    assert len({weights[k] for k in range(1, 32)}) == 31  # never put back: no two are alike
    assert torch.equal(inputs[31], inputs[1])
    assert [step.overfit for step in run.steps()] == [False] + [True] * 30 + [False] * 3
    (on, keep) = run.said(Applied)
    assert (keep.executed, keep.value) == (31, False)
    assert on.executed == 1


def test_keep_while_off_is_refused_with_a_reason(make_run: MakeRun) -> None:
    run = make_run(perceptron(), features(), at=[(1, "overfit=keep")])
    run.epoch()
    (rejected,) = run.said(Rejected)
    assert "no batch is being overfitted" in rejected.reason
    assert not run.said(Applied)


def test_off_puts_back_what_only_the_hold_changed(make_run: MakeRun) -> None:
    run = make_run(perceptron(), features(), at=[(2, "overfit=on"), (40, "overfit=off")])
    run.epoch()
    weights = {received.executed: received.weights for received in run.in_training()}
    assert weights[40] == weights[2]
    assert weights[39] != weights[2]
    inputs: dict[int, Any] = {received.executed: received.inputs for received in run.in_training()}
    assert all(torch.equal(inputs[k], inputs[2]) for k in range(2, 41))
    assert not torch.equal(inputs[41], inputs[2])
