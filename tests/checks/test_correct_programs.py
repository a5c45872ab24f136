"""Correct programs, awkward ones among them: no error, no warning, and each hint at most once."""

import contextlib
import io
import runpy
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.checks.correct import CORRECT, Correct
from tests.checks.judged import Judged, judged

PROGRAMS = Path(__file__).parents[1] / "engine" / "script" / "programs"
SCRIPTS = (
    "accumulation",
    "classifier --epochs 3",
    "gan",
    "gpt",
    "language",
    "lbfgs",
    "vae",
    "loops progress",
    "loops two",
    "siamese",
)


def assert_clean(outcome: Judged) -> None:
    """Nothing but hints, each at most once, and no observer of ours failed."""
    assert not outcome.failed
    assert not outcome.graver, outcome.graver
    assert all(count == 1 for count in Counter(outcome.rules).values()), outcome.rules


@pytest.mark.parametrize("correct", CORRECT, ids=lambda correct: correct.__name__)
def test_a_correct_program(correct: Correct, tmp_path: Path) -> None:
    outcome = judged(correct, tmp_path)
    assert outcome.steps >= 3
    assert_clean(outcome)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")  # after a step that was skipped
def test_a_correct_script(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, *arguments = script.split()
    path = PROGRAMS / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    monkeypatch.syspath_prepend(PROGRAMS)

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(str(path), run_name="__main__")

    outcome = judged(run, tmp_path)
    assert outcome.steps > 5
    assert_clean(outcome)
