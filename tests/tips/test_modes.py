"""Tip 4 on real runs: the gap between the modes, who depends on it, and who disagrees."""

import pytest
import torch
from torch import Tensor, nn

from tests.tips.conftest import MakeRun
from tests.tips.small_run import CLASSES, FEATURES, SAMPLES, SmallRun, features, perceptron
from tuitrain.record.commands import Validate
from tuitrain.record.events import Validation
from tuitrain.tips.modes import Modes


def learnable() -> tuple[Tensor, Tensor]:
    """Normal features, the largest of which names the class."""
    inputs = torch.randn(SAMPLES, FEATURES, generator=torch.Generator().manual_seed(0))
    return inputs, inputs[:, :CLASSES].argmax(1)


def trained_with_dropout(make_run: MakeRun, *, epochs: int = 8) -> SmallRun:
    model = perceptron(dropout=0.3, width=64)
    run = make_run(model, learnable(), optimizer=torch.optim.Adam(model.parameters(), lr=0.02))
    for _ in range(epochs):
        run.epoch()
    dropout = model[3]
    assert isinstance(dropout, nn.Dropout)
    dropout.p = 0.9  # what train mode hides now, it was not trained to do without
    return run


def eval_accuracy(run: SmallRun) -> float:
    """The accuracy in eval mode, computed here."""
    model = run.training.model
    inputs, targets = learnable()
    model.eval()
    with torch.no_grad():
        share = float((model(inputs).argmax(1) == targets).float().mean())
    model.train()
    return share


def test_the_gap_is_that_of_the_two_validations(make_run: MakeRun) -> None:
    run = trained_with_dropout(make_run)
    run.tell(Validate())
    expected = eval_accuracy(run)
    run.epoch()
    report = run.report(Modes)
    evaluated, trained = (v for v in run.said(Validation) if v.cause == "asked")
    assert (evaluated.mode, trained.mode) == ("eval", "train")
    assert evaluated.accuracy == pytest.approx(expected)
    assert evaluated.accuracy - trained.accuracy > 0.05
    gap = 100 * (evaluated.accuracy - trained.accuracy)
    assert report[:2] == ("good", f"gap {gap:+.1f} pts at step 32")  # the epoch's validation later does not hide it
    assert report.rows["train mode"].startswith(f"{100 * trained.accuracy:.2f} %")
    assert report.rows["mode changes"] == "1 BatchNorm1d, 1 Dropout"


def test_eval_in_one_validation_and_train_in_another_are_no_gap(make_run: MakeRun) -> None:
    run = trained_with_dropout(make_run, epochs=1)
    assert run.report(Modes)[:2] == ("good", "validates in eval mode; v: the gap")
    run.tell("eval=off")
    run.epoch()
    report = run.report(Modes)
    assert report[:2] == ("bad", "validates in train mode: press e")
    assert {"eval mode", "train mode"} <= report.rows.keys()
    assert [validation.mode for validation in run.said(Validation)] == ["eval", "train"]


def test_a_model_that_no_mode_changes_says_so(make_run: MakeRun) -> None:
    run = make_run(perceptron(), features(), at=[(1, "eval=off")])
    run.epoch()
    report = run.report(Modes)
    assert report[:2] == ("good", "both modes give the same")
    assert report.rows["mode changes"] == "no module of this model: both modes give the same"
    run.tell(Validate())
    run.epoch()
    assert run.report(Modes)[:2] == ("good", "both modes give the same")
    evaluated, trained = (v for v in run.said(Validation) if v.cause == "asked")
    assert evaluated.accuracy == trained.accuracy


class Homemade(nn.Module):
    """Depends on its mode in a way of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(inputs)
        return -logits if self.training else logits


def test_a_gap_that_no_known_module_explains_is_shown(make_run: MakeRun) -> None:
    run = make_run(Homemade(), features(), normalise=True)
    run.tell(Validate(), "eval=off")
    run.epoch()
    report = run.report(Modes)
    assert report.verdict == "bad"
    assert report.summary.startswith("gap ")


@pytest.mark.parametrize(
    ("module", "depends"),
    [
        (nn.Dropout(0.1), True),
        (nn.Dropout(0.0), False),
        (nn.AlphaDropout(0.1), True),
        (nn.BatchNorm1d(FEATURES), True),
        (nn.BatchNorm1d(FEATURES, track_running_stats=False), False),
        (nn.LayerNorm(FEATURES), False),
        (nn.RReLU(), True),
        (nn.ReLU(), False),
    ],
    ids=repr,
)
def test_what_depends_on_the_mode_is_known(make_run: MakeRun, module: nn.Module, depends: bool) -> None:
    model = nn.Sequential(module, nn.Linear(FEATURES, CLASSES))
    inputs = features()[0]
    training = model.train()(inputs)
    assert torch.equal(training, model.eval()(inputs)) is not depends  # torch agrees
    run = make_run(model.train(), features())
    text = run.report(Modes).rows["mode changes"]
    assert text == (f"1 {type(module).__name__}" if depends else "no module of this model: both modes give the same")


@pytest.mark.parametrize(
    ("module", "depends"),
    [
        (nn.GRU(4, 4, num_layers=2, dropout=0.5), True),
        (nn.GRU(4, 4), False),
        (nn.MultiheadAttention(4, 2, dropout=0.5), True),
        (nn.MultiheadAttention(4, 2), False),
        (nn.InstanceNorm1d(4), False),
        (nn.InstanceNorm1d(4, track_running_stats=True), True),
    ],
    ids=repr,
)
def test_dropout_inside_of_modules_counts(make_run: MakeRun, module: nn.Module, depends: bool) -> None:
    model = perceptron()
    model.register_module("unused", module)
    model.forward = lambda inputs: nn.Sequential(*list(model)[:5])(inputs)  # type: ignore[method-assign]
    text = make_run(model, features()).report(Modes).rows["mode changes"]
    assert text.startswith(f"1 {type(module).__name__}") is depends


def test_modules_that_disagree_are_counted_and_named(make_run: MakeRun) -> None:
    model = perceptron(dropout=0.5)
    run = make_run(model, features())
    run.epoch()
    assert not any(name.endswith("disagree") for name in run.report(Modes).rows)
    model[1].eval()
    run.epoch()
    assert run.report(Modes).rows["1 disagree"] == "1 is not in train mode as the model is"
    for index in (0, 2, 3, 4):
        model[index].eval()
    run.epoch()
    assert run.report(Modes).rows["5 disagree"] == "0, 1, 2 and 2 more are not in train mode as the model is"
    assert not model[1].training  # validation gave back to each its own
    assert model.training
