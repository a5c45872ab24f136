"""The same rules in the built-in loop, in which a preset can be at fault though the loop is not."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.tips.small_run import CLASSES, FEATURES, SAMPLES, SmallRun, features, perceptron
from tuitrain.checks import checks
from tuitrain.engine import probe
from tuitrain.record.events import Finding

Options = dict[str, Any]


class Twins(NamedTuple):
    """Options of a small run with a fault, and of one without."""

    rule: str
    make: Callable[[bool], Options]
    epochs: int = 8


class Listed(nn.Module):
    """Its hidden layer stands in a list, plain or not."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        layers = [nn.Linear(FEATURES, FEATURES)]
        self.layers = layers if plain else nn.ModuleList(layers)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.head(self.layers[0](inputs).tanh())
        return out


class Blind(nn.Module):
    """It does not look at its input, or does."""

    def __init__(self, *, blind: bool) -> None:
        super().__init__()
        self.blind = blind
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.head(inputs * (not self.blind))
        return out


def _with_softmax(faulty: bool) -> nn.Sequential:
    return nn.Sequential(perceptron(), nn.Softmax(-1) if faulty else nn.Identity())


def _sorted(faulty: bool) -> tuple[Tensor, Tensor]:
    inputs, _ = features()
    targets = torch.arange(SAMPLES) * CLASSES // SAMPLES if faulty else torch.arange(SAMPLES) % CLASSES
    return inputs, targets


def _spiked(faulty: bool) -> Options:
    """One sample is huge, and never learned."""
    inputs = torch.randn(SAMPLES, FEATURES, generator=torch.Generator().manual_seed(1))
    inputs[0] *= 1e4 if faulty else 1.0
    model = nn.Linear(FEATURES, CLASSES)
    still = torch.optim.SGD(model.parameters(), lr=1e-12)
    return {"model": model, "optimizer": still, "data": (inputs, features()[1]), "normalise": False}


TWINS = (
    Twins("unregistered-modules", lambda faulty: {"model": Listed(plain=faulty)}),
    Twins("softmax-before-cross-entropy", lambda faulty: {"model": _with_softmax(faulty)}),
    Twins("evaluation-in-train-mode", lambda faulty: {"model": perceptron(dropout=0.2), "eval": not faulty}),
    Twins("not-normalised", lambda faulty: {"normalise": not faulty}),
    Twins("sorted-labels", lambda faulty: {"data": _sorted(faulty)}),
    Twins("gradient-norm", _spiked, epochs=10),
    Twins("clipped-every-step", lambda faulty: {"max_norm": 1e-4 if faulty else 1e3}),
    Twins("cannot-overfit", lambda faulty: {"model": Blind(blind=faulty), "at": [(4, "overfit=on")]}, epochs=2),
)


@pytest.fixture(autouse=True)
def at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is looked at, delivered and reported at every step."""
    for interval in ("FLUSH_INTERVAL_S", "SAMPLE_INTERVAL_S", "NORMS_INTERVAL_S", "REPORT_INTERVAL_S"):
        monkeypatch.setattr(probe, interval, 0.0)


def findings(options: Options, epochs: int, directory: Path) -> list[Finding]:
    """What is found in a small run."""
    gc.freeze()  # what is alive by now is none of the run's
    eval_in_validation = options.pop("eval", True)
    torch.manual_seed(0)
    given: Options = {"model": perceptron(), "data": features(), "normalise": True, "overfit_steps": 150} | options
    directory.mkdir()
    run = SmallRun(directory, given.pop("model"), given.pop("data"), **given)
    run.probe.eval_in_validation = eval_in_validation
    run.probe.observe(checks)
    for _ in range(epochs):
        run.epoch()
    found = run.said(Finding)
    assert not run.probe.guard.off
    return found


@pytest.mark.parametrize("twins", TWINS, ids=lambda twins: twins.rule)
def test_found_in_the_faulty_run_and_not_in_its_twin(twins: Twins, tmp_path: Path) -> None:
    bad = findings(twins.make(True), twins.epochs, tmp_path / "bad")
    good = findings(twins.make(False), twins.epochs, tmp_path / "good")
    assert [finding.rule for finding in bad].count(twins.rule) == 1
    assert not good, good


def test_keys_are_named_where_they_work(tmp_path: Path) -> None:
    (found,) = findings({"model": Listed(plain=True)}, 2, tmp_path / "run")
    assert (found.key, found.where.partition(" ")[0]) == ("r", "layers")
