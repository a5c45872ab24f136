"""What is seen only in part, or not at all, is said in the panel, by the evidence there is."""

from pathlib import Path

import pytest

from tests.engine.script.scripts import Outcome, answers, bare, watched
from tuitrain.record.events import Capabilities


def panel(outcome: Outcome, kind: str) -> dict[str, str]:
    """The last said rows of a kind."""
    return {row.name: row.text for row in outcome.of(Capabilities)[-1].rows if row.kind == kind}


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("manual", "30 backward passes, and it has no optimizer of torch.optim: how it changes"),
        ("functional", "no backward pass and no optimizer's step in the script's own process."),
        ("hogwild", "none in the script's own process; 1 forked from it are not observed."),
    ],
)
def test_training_without_a_step_is_named(how: str, why: str, tmp_path: Path) -> None:
    outcome = watched(f"unseen {how}", tmp_path)
    assert outcome.printed == bare(f"unseen {how}").printed
    assert outcome.steps == []
    assert panel(outcome, "unavailable")["steps"].startswith(why)
    assert panel(outcome, "observed") == panel(outcome, "steered") == {}


@pytest.mark.parametrize(
    ("program", "name", "text"),
    [
        ("gan", "model tree", "of 2 models: netG, netD"),
        ("gan", "optimizers", "2 in a step; loss, norm and rate are those of the first"),
        ("classifier", "learning rate", "driven by StepLR"),
        ("classifier", "validation", "loss and accuracy, from nll_loss"),
        ("accumulation", "accumulation", "an optimizer steps after up to 4 batches, which make one step"),
        ("accumulation", "skipped steps", "5 steps that the gradient scaler skipped"),
        ("lbfgs", "loss", "the closure's first in a step"),
    ],
)
def test_what_is_seen_in_part_says_of_what(program: str, name: str, text: str, tmp_path: Path) -> None:
    assert panel(watched(program, tmp_path), "observed")[name] == text


def test_a_rate_that_the_script_sets_itself_does_not_hold_and_that_is_said(tmp_path: Path) -> None:
    outcome = watched("gpt", tmp_path, (4, "lr=0.5"))
    (line,) = [line for line in outcome.told if "learning rate" in line]
    assert line.startswith("The script sets the learning rate itself: 0.5 did not hold, it is 0.00")
    assert [step.lr == 0.5 for step in outcome.steps[3:7]] == [False, True, False, False]


def test_what_is_optimized_may_belong_to_no_model(tmp_path: Path) -> None:
    """As a picture in another's style: the model's tree is shown, and there is nothing to be registered."""
    outcome = watched("unseen style", tmp_path, (5, "register=on"))
    assert outcome.printed == bare("unseen style").printed
    assert len(outcome.steps) == 30
    assert "switched_off" not in {row.kind for row in outcome.of(Capabilities)[-1].rows}
    assert panel(outcome, "observed")["model tree"] == "of 1 model: model"
    ((_, _, reason),) = answers(outcome)
    assert reason == "the script holds no model whose parameters it optimizes."
