"""Watched, a script trains to the same bits; and so it does after one batch was overfitted in the middle of it."""

import importlib.util
from pathlib import Path

import pytest

from tests.engine.script.scripts import answers, arguments_of, bare, both, outcome_of, running, watched
from tuitrain.record.events import Applied, Run

STEPS = {
    "classifier": 24,
    "classifier --workers 2": 24,
    "vae": 24,
    "gan": 20,
    "language": 36,
    "lbfgs": 12,
    "accumulation": 10,
    "compiled": 24,
    "gpt": 24,
    "gpt --batches": 24,
    "siamese": 24,
    "accelerated": 18,
    "trainer": 24,
    "trainer clips": 24,
}
"""Steps that an optimizer makes in each program."""
OPTIMIZERS = {"accelerated": "AdamW", "trainer": "AdamW", "gan": "Adam, Adam"}
"""What is said to train, also where a framework wraps it in something of its own."""
NEEDS = {"accelerated": "accelerate", "trainer": "lightning"}
"""Packages without which a program cannot be run."""
REFUSED = {
    "gpt": "for x, y in tuitrain.batches(get_batch, steps):",
    "trainer": "lightning, which counts and reports each batch itself",
    "trainer clips": "have Trainer(overfit_batches=1) overfit one batch",
}
"""Programs in which no batch can be held, and why."""

LOOPS = ("for", "progress", "progress-outside", "counting", "in-place", "kept")
"""Ways to ask for batches that leave no trace of a held one."""
UNSUITABLE = {
    "zip": "through zip",
    "islice": "through islice",
    "ahead": "fetches batches ahead",
    "asked": "within a loop over something else",
    "two": "several DataLoaders",
}
"""Ways that would; and why they are refused."""


def needed(program: str) -> None:
    """Skip where a package is not there that a program is for."""
    package = NEEDS.get(program.partition(" ")[0])
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize("program", STEPS)
def test_a_watched_script_prints_and_trains_the_same(program: str, tmp_path: Path) -> None:
    needed(program)
    plain, outcome = bare(program), watched(program, tmp_path)
    assert plain.returncode == outcome.returncode == 0
    assert len(plain.weights) == 1
    assert sorted(outcome.printed) == sorted(plain.printed)  # stderr may come earlier than in a pipe
    assert [(step.executed, step.step) for step in outcome.steps] == [(n, n) for n in range(1, STEPS[program] + 1)]
    assert outcome.of(Run)[0].optimizer == OPTIMIZERS.get(program, outcome.of(Run)[0].optimizer)


def test_in_a_python_of_its_own_it_is_the_same(tmp_path: Path) -> None:
    """As in the copies of one: where the script itself imports torch, and torch its compiler after that."""
    plain, outcome = both(arguments_of("compiled"), tmp_path)
    assert plain.printed == outcome.printed
    assert plain.printed[0].startswith("1 graphs [[")
    assert plain.weights == bare("compiled").weights


@pytest.mark.parametrize(("on", "off"), [(1, 9), (4, 5), (7, 8)])
@pytest.mark.parametrize("program", sorted(STEPS.keys() - REFUSED.keys()))
def test_overfitting_in_the_middle_leaves_no_trace(program: str, on: int, off: int, tmp_path: Path) -> None:
    needed(program)
    outcome = watched(program, tmp_path, (on, "overfit=on"), (off, "overfit=off"))
    assert outcome.weights == bare(program).weights
    assert [answer[::2] for answer in answers(outcome)] == [("overfit", ""), ("overfit", "")]
    assert sum(step.overfit for step in outcome.steps) >= off - on > 0
    own = [step.step for step in outcome.steps if not step.overfit]
    assert own == list(range(1, STEPS[program] + 1))
    assert not [line for line in outcome.told if "Not put back" in line or "failed" in line]


def test_what_was_overfitted_can_be_kept(tmp_path: Path) -> None:
    """The counterpart, which shows that the comparison above can fail."""
    kept = watched("vae", tmp_path, (3, "overfit=on"), (9, "overfit=keep"))
    assert [word for word, *_ in answers(kept)] == ["overfit", "overfit"]
    assert kept.weights != bare("vae").weights


@pytest.mark.parametrize("way", LOOPS)
def test_a_loop_of_any_kind_goes_on_where_it_was(way: str, tmp_path: Path) -> None:
    outcome = watched(f"loops {way}", tmp_path, (4, "overfit=on"), (17, "overfit=off"))
    assert outcome.printed == bare(f"loops {way}").printed
    assert sum(step.overfit for step in outcome.steps) == 13


@pytest.mark.parametrize("way", UNSUITABLE)
def test_a_loop_that_would_run_on_is_refused_with_the_reason(way: str, tmp_path: Path) -> None:
    outcome = watched(f"loops {way}", tmp_path, (4, "overfit=on"))
    assert outcome.printed == bare(f"loops {way}").printed
    (answer,) = answers(outcome)
    assert UNSUITABLE[way] in answer[2]
    assert not any(step.overfit for step in outcome.steps)


@pytest.mark.parametrize("program", REFUSED)
def test_where_no_batch_can_be_held_it_is_refused_whenever_it_is_asked_for(program: str, tmp_path: Path) -> None:
    needed(program)
    outcome = watched(program, tmp_path, (0, "overfit=on"), (5, "overfit=on"))
    assert outcome.weights == bare(program).weights
    assert [(word, REFUSED[program] in reason) for word, _, reason in answers(outcome)] == [("overfit", True)] * 2
    assert not any(step.overfit for step in outcome.steps)


@pytest.mark.parametrize("program", ["accelerated", "loops pulled", "loops in-twos"])
@pytest.mark.parametrize(("on", "off"), [(5, 8), (6, 10), (12, 15)])
def test_a_loop_that_asks_in_several_places_goes_on_where_it_was(
    program: str, on: int, off: int, tmp_path: Path
) -> None:
    """One batch ahead, say: the first of an epoch, step 6 being its last, is asked for at another place."""
    needed(program)
    outcome = watched(program, tmp_path, (on, "overfit=on"), (off, "overfit=off"))
    assert outcome.weights == bare(program).weights
    assert [answer[::2] for answer in answers(outcome)] == [("overfit", ""), ("overfit", "")]
    assert any(step.overfit for step in outcome.steps)
    assert not [line for line in outcome.told if "Not put back" in line or "failed" in line]


def test_a_script_that_leaves_its_loop_meanwhile_gets_everything_back(tmp_path: Path) -> None:
    outcome = watched("loops break", tmp_path, (4, "overfit=on"))
    assert outcome.returncode == 0
    assert [line for line in outcome.told if "left its loop" in line]
    own = [step.step for step in outcome.steps if not step.overfit]
    assert own == list(range(1, len(own) + 1))


def test_switched_on_and_off_at_once_it_changes_nothing(tmp_path: Path) -> None:
    outcome = watched("gan", tmp_path, (6, "overfit=on"), (6, "overfit=off"), (6, "overfit=on"), (8, "overfit=off"))
    assert outcome.weights == bare("gan").weights
    assert len(answers(outcome)) == 4
    assert sum(step.overfit for step in outcome.steps) == 2


def test_unattended_it_ends_by_itself(tmp_path: Path) -> None:
    with running(arguments_of("vae"), tmp_path, (3, "overfit=on")) as host:
        pass
    outcome = outcome_of(host)
    assert outcome.weights == bare("vae").weights
    assert [event.by for event in outcome.of(Applied)] == ["--at", "tuitrain"]
    assert sum(step.overfit for step in outcome.steps) == 300
