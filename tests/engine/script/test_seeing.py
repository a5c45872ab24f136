"""What is recorded of a script is what the script itself prints."""

import math
import re
from pathlib import Path

import pytest

from tests.engine.script.scripts import Outcome, watched
from tuitrain.record.events import Capabilities, Mode, ModuleTree, Run, Status, Switches, TipReport


def numbers_after(label: str, printed: list[str]) -> list[float]:
    """Each number that follows a label."""
    return [float(number) for line in printed for number in re.findall(rf"{re.escape(label)} ([-+.\de]+)", line)]


def of_script(outcome: Outcome) -> dict[tuple[str, str], str]:
    """How, or why not, of all that was last said to be had of a script, or not, by kind and name."""
    return {(row.kind, row.name): row.text for row in outcome.of(Capabilities)[-1].rows}


@pytest.mark.parametrize("how", ["none", "norm", "value", "max", "two-roots", "checkpoint"])
def test_loss_norms_and_rate_are_those_of_the_script(how: str, tmp_path: Path) -> None:
    outcome = watched(f"norms {how}", tmp_path)
    rows = [[float(cell) for cell in line.split()[1:]] for line in outcome.printed if line.startswith("row ")]
    assert len(rows) == len(outcome.steps) == 12
    for (loss, before, after, lr), step in zip(rows, outcome.steps, strict=True):
        assert step.loss == pytest.approx(loss, rel=1e-5)
        assert step.lr == pytest.approx(lr)
        assert step.norm_after == pytest.approx(after, rel=1e-4)
        assert math.isnan(step.norm_before) if how == "max" else step.norm_before == pytest.approx(before, rel=1e-5)
        assert (step.max_norm == 1.5) if how == "norm" else math.isnan(step.max_norm)
    assert of_script(outcome)["observed", "loss"] == "what backward() is called on", "one backward pass a step"
    assert any(before > 1.5 for _, before, _, _ in rows), "nothing was clipped: the test shows nothing"


def test_without_a_backward_pass_there_is_no_loss_to_see(tmp_path: Path) -> None:
    outcome = watched("norms autograd", tmp_path)
    assert len(outcome.steps) == 12
    assert all(math.isnan(step.loss) and step.norm_before > 0 for step in outcome.steps)
    assert "no backward pass" in of_script(outcome)["unavailable", "loss"]


def test_the_loss_of_a_gan_is_that_of_its_first_optimizer(tmp_path: Path) -> None:
    outcome = watched("gan", tmp_path)
    printed = numbers_after("Loss_D:", outcome.printed)
    assert [step.loss for step in outcome.steps] == pytest.approx(printed, abs=1e-5)
    assert [step.epoch for step in outcome.steps] == [epoch for epoch in (1, 2, 3, 4) for _ in range(5)]
    (tree,) = outcome.of(ModuleTree)
    assert {row.path for row in tree.rows} >= {"", "netG", "netD", "netG.0.weight", "netD.2.bias"}
    assert all(row.in_optimizer for row in tree.rows if row.kind == "parameter")
    assert outcome.of(Run)[0].optimizer == "Adam, Adam"


def test_a_closures_first_loss_counts(tmp_path: Path) -> None:
    outcome = watched("lbfgs", tmp_path)
    printed = numbers_after("loss:", outcome.printed)
    assert [step.loss for step in outcome.steps] == pytest.approx(printed, abs=1e-5)
    assert all(step.norm_before > 0 for step in outcome.steps)


def test_accumulated_and_scaled_losses_add_up(tmp_path: Path) -> None:
    """Each step's loss is that of its micro-batches, without the scale; skipped steps are none."""
    outcome = watched("accumulation", tmp_path)
    sums, sum_ = list[float](), 0.0
    for line in outcome.printed:
        sum_ += sum(numbers_after("micro", [line]))
        if line == "stepped":
            sums.append(sum_)
        if line in ("stepped", "skipped"):
            sum_ = 0.0
    assert [step.loss for step in outcome.steps] == pytest.approx(sums, rel=1e-4)
    assert any("skipped a step" in line for line in outcome.told)
    assert of_script(outcome)["observed", "skipped steps"] == "5 steps that the gradient scaler skipped"
    assert outcome.of(Run)[0].steps_per_epoch == 3


def test_phases_and_modes(tmp_path: Path) -> None:
    outcome = watched("classifier", tmp_path)
    states = [status.state for status in outcome.of(Status)]
    assert states.count("validating") == 3
    assert states[-1] == "finished"
    assert {(mode.phase, mode.root) for mode in outcome.of(Mode)} == {("train", "train"), ("validation", "eval")}
    modes = next(report for report in outcome.of(TipReport) if report.tip == "modes")
    assert (modes.rows[-1][0], modes.rows[-1][1].partition(",")[0]) == ("last pass", "32 samples in 4 batches")
    run = outcome.of(Run)[0]
    assert (run.batch_size, run.steps_per_epoch, run.model) == (16, 8, "Net")


def test_how_the_script_clips_is_said(tmp_path: Path) -> None:
    outcome = watched("language", tmp_path)
    switches = outcome.of(Switches)
    assert [switches[0].values["clip"], switches[1].values["clip"]] == [False, True]
    assert switches[-1].values["max_norm"] == 0.25
    assert all(step.max_norm == 0.25 for step in outcome.steps)


def test_there_is_no_thread_of_ours(tmp_path: Path) -> None:
    outcome = watched("classifier --threads-shown", tmp_path)
    assert "threads ['MainThread']" in outcome.printed


def test_the_capabilities_are_told(tmp_path: Path) -> None:
    outcome = watched("gpt", tmp_path)
    said = of_script(outcome)
    assert "without a DataLoader" in said["unavailable", "overfit"]
    assert "the script clips" in said["observed", "gradient norm"]
    assert ("steered", "overfit") not in said
    assert {name for kind, name in said if kind == "steered"} >= {"pause", "lr", "clip", "checkpoint", "stop"}
