"""An observer of ours that fails is switched off and named once; the script goes on untouched."""

from pathlib import Path

import pytest

from tests.engine.script.scripts import bare, watched
from tuitrain.record.events import Capabilities

OBSERVERS = {
    "the loss": "language",
    "the optimizer": "language",
    "the DataLoader": "language",
    "the gradient norm": "gan",
    "the clipping": "language",
    "the gradient scaler": "accumulation",
    "the models": "gan",
    "the modes": "vae",
    "the scalars": "vae",
    "the steering": "vae",
    "the reports": "vae",
    "the run": "vae",
    "validation": "classifier",
    "overfitting": "vae",
    "the data": "classifier",
    "the end": "vae",
}
"""Each observer, and a program in which it has something to observe."""


@pytest.mark.parametrize("observer", OBSERVERS)
def test_an_observer_that_fails_is_named_once(observer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SABOTAGE", observer)
    program = OBSERVERS[observer]
    outcome = watched(program, tmp_path, (3, "overfit=on"), (5, "overfit=off"), tips="sabotage:TIPS")
    assert outcome.returncode == 0
    assert outcome.weights == bare(program).weights
    (named,) = [line for line in outcome.told if "failed" in line]
    assert named.startswith(f"tuitrain's observer of {observer} failed (RuntimeError: sabotaged, line ")
    assert named.endswith("it is switched off, and the script goes on.")
    if observer != "the end":  # after which nothing is said
        rows = outcome.of(Capabilities)[-1].rows
        assert observer in {row.name for row in rows if row.kind == "switched_off"}


def test_nothing_is_applied_in_the_middle_of_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SABOTAGE", "nothing, but see whether it is at rest")
    outcome = watched("accumulation", tmp_path, tips="sabotage:TIPS")
    assert len(outcome.steps) == 10
    assert not [line for line in outcome.told if "switched off" in line]


def test_what_is_still_observed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SABOTAGE", "the gradient norm")
    outcome = watched("vae", tmp_path, tips="sabotage:TIPS")
    assert len(outcome.steps) == 24
    assert all(step.loss > 0 and step.norm_before != step.norm_before for step in outcome.steps)
    rows = outcome.of(Capabilities)[-1].rows
    (off,) = [row for row in rows if row.kind == "switched_off"]
    assert (off.name, "RuntimeError: sabotaged" in off.text) == ("the gradient norm", True)
    assert {"gradient norm", "loss"} & {row.name for row in rows if row.kind == "observed"} == {"loss"}
