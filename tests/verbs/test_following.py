"""What is said of a run from outside: of one that died what remains of it, of a script that it cannot be resumed."""

import math
from pathlib import Path

import msgspec
import pytest

from tests.ui.fake_script import capabilities, script_run, script_steps
from tuitrain.errors import UserError
from tuitrain.record.events import Checkpoint, Event, Status
from tuitrain.record.journal import Journal
from tuitrain.record.runs import JOURNAL, summarise
from tuitrain.verbs.following import refuse_script, standing_of

SAVED = Checkpoint(step=640, executed=640, path="there/step-640.pt", sha256="0" * 64, bytes=1)
RUNNING = Status(state="running")


def died(directory: Path, *said: Event) -> Path:
    """The directory of a run whose process is gone."""
    with Journal(directory / JOURNAL) as journal:
        journal.steps(script_steps())
        for event in said:
            journal.say(event)
    return directory


def test_a_script_cannot_be_resumed_and_the_remedy_names_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"let it load there/step-640.pt .*start it anew\.$"):
        refuse_script(died(tmp_path, script_run(), RUNNING, capabilities(), SAVED))


def test_without_a_checkpoint_there_is_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        refuse_script(died(tmp_path, script_run(), RUNNING, capabilities()))
    assert "load" not in str(refused.value)


def test_what_is_no_script_is_not_refused(tmp_path: Path) -> None:
    refuse_script(died(tmp_path, RUNNING, SAVED))


@pytest.mark.parametrize("is_script", [False, True])
def test_of_a_run_that_died_what_remains_is_said(tmp_path: Path, is_script: bool) -> None:
    said = [script_run(), RUNNING, SAVED, *([capabilities()] if is_script else [])]
    standing = standing_of(died(tmp_path, *said))
    resumes = f"{tmp_path.name} died at step 640; tuitrain resume {tmp_path.name} goes on from step 640."
    keeps = f"{tmp_path.name} died at step 640; there/step-640.pt holds its models and optimizers after step 640."
    assert standing == (keeps if is_script else resumes, 1)


def test_what_a_script_does_not_say_is_not_listed(tmp_path: Path) -> None:
    steps = script_steps()
    summary = summarise(died(tmp_path, script_run(), RUNNING, capabilities()))
    assert (summary.total_steps, summary.last_loss) == (None, steps[-1].loss)


@pytest.mark.parametrize("without", [[], ["loss"]])
def test_a_loss_that_is_not_seen_is_not_listed_and_one_that_is_nan_is(tmp_path: Path, without: list[str]) -> None:
    with Journal(tmp_path / JOURNAL) as journal:
        journal.steps([msgspec.structs.replace(script_steps()[0], loss=math.nan)])
        journal.say(capabilities(without=without))
    loss = summarise(tmp_path).last_loss
    assert loss is None if without else loss is not None and math.isnan(loss)
