"""Resumed is never stopped: the same bits, wherever a run was stopped or killed, whatever was switched on then."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.engine.resumed import RECIPES, STEPS, STEPS_PER_EPOCH, Became, Interruption, Resumable, tiny_presets
from tuitrain.record.commands import AnyCommand, Validate, parse
from tuitrain.record.events import End, Validation
from tuitrain.record.journal import Journal
from tuitrain.record.runs import JOURNAL

E = STEPS_PER_EPOCH
Commands = Sequence[tuple[int, str | AnyCommand]]


@pytest.fixture(autouse=True)
def _tiny_presets() -> Iterator[None]:
    with tiny_presets():
        yield


@cache
def never_stopped(recipe: str, commands: Commands) -> Became:
    with TemporaryDirectory() as directory:
        run = Resumable(Path(directory), recipe, commands)
        run.start()
        return run.became()


def interrupted(
    recipe: str, commands: Commands, interruptions: Sequence[Interruption], checkpoint_every: int | None = None
) -> Became:
    with TemporaryDirectory() as directory:
        run = Resumable(Path(directory), recipe, commands, checkpoint_every=checkpoint_every)
        return run.in_parts(interruptions)


def assert_same(became: Became, expected: Became) -> None:
    for name, value, wanted in zip(Became._fields, became, expected, strict=True):
        assert value == wanted, name


OVERFITTED = ((4, "overfit=on"), (8, "overfit=off"))


@pytest.mark.parametrize("commands", [OVERFITTED, ((4, "overfit=on"), (8, "overfit=keep"))])
@pytest.mark.parametrize("recipe", RECIPES)
def test_stopped_at_any_step_it_goes_on_to_the_same_end(recipe: str, commands: Commands) -> None:
    expected = never_stopped(recipe, commands)
    for step in range(STEPS + 4):
        assert_same(interrupted(recipe, commands, [Interruption(at=step)]), expected)


def test_what_is_told_at_once_finds_the_held_batch_at_hand(tmp_path: Path) -> None:
    """Shuffling what is left of the epoch leaves out the batch that is held, which is no part of it any more."""
    run = Resumable(tmp_path, "momentum", [(3, "overfit=on"), (9, "overfit=off")])
    run.start(Interruption(at=5))
    run.resume(at=[(5, "shuffle=off")])
    expected = never_stopped("momentum", ((3, "overfit=on"), (5, "shuffle=off"), (9, "overfit=off")))
    assert_same(run.became(), expected)


@pytest.mark.parametrize("looks", [1, 2])
def test_stopped_in_a_validation_that_was_asked_for_it_validates_once(looks: int, tmp_path: Path) -> None:
    """What was due after it is not lost either."""
    commands = ((3, Validate(id="v")), (3, parse("clip=off")), (3, parse("lr=0.3")))
    run = Resumable(tmp_path, "dropout-norm-step", commands)
    run.start(Interruption(looks=looks))
    assert run.all(Validation) == []
    run.resume()
    assert_same(run.became(), never_stopped("dropout-norm-step", commands))


def test_killed_between_its_last_checkpoint_and_its_last_word(tmp_path: Path) -> None:
    run = Resumable(tmp_path, "dropout-norm-step")
    run.start()
    with Journal.reopen(tmp_path / JOURNAL, executed=STEPS):
        pass  # the End is gone
    assert run.all(End) == []
    run.resume()
    assert_same(run.became(), never_stopped("dropout-norm-step", ()))


words = st.sampled_from([
    "overfit=on", "overfit=off", "overfit=keep", "shuffle=on", "shuffle=off", "normalise=on", "normalise=off",
    "clip=on", "clip=off", "max_norm=0.1", "clip_by=value", "clip_by=norm", "lr=0.01", "lr=0.2", "eval=on", "eval=off",
    "register=on", "register=off",
])  # fmt: skip
commands = st.lists(st.tuples(st.integers(0, STEPS + 5), words), max_size=7).map(lambda drawn: tuple(sorted(drawn)))
moments = st.builds(Interruption, at=st.integers(0, STEPS + 8), lost=st.integers(0, 3)) | st.builds(
    Interruption, looks=st.integers(1, 5), lost=st.integers(0, 2)
)


@pytest.mark.parametrize("recipe", RECIPES)
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    commands=commands,
    interruptions=st.lists(moments, min_size=1, max_size=3),
    checkpoint_every=st.none() | st.integers(1, 7),
)
# the first batch of an epoch is held, stopped there, the epoch's order drawn
@example(
    commands=((E, "overfit=on"), (E + 3, "overfit=off")), interruptions=[Interruption(at=E)], checkpoint_every=None
)
# the last batch of an epoch is held
@example(
    commands=((E - 1, "overfit=on"), (E + 3, "overfit=off")), interruptions=[Interruption(at=E)], checkpoint_every=None
)
# off and on again between the same two steps
@example(
    commands=((4, "overfit=on"), (6, "overfit=off"), (6, "overfit=on"), (9, "overfit=off")),
    interruptions=[Interruption(at=6)],
    checkpoint_every=None,
)
# nobody switches it off: it ends by itself, so many steps after it began
@example(commands=((4, "overfit=on"),), interruptions=[Interruption(at=8)], checkpoint_every=None)
# what is left of the epoch is shuffled, or not, while its next batch is held
@example(
    commands=((4, "overfit=on"), (6, "shuffle=off"), (8, "overfit=off")),
    interruptions=[Interruption(at=7)],
    checkpoint_every=None,
)
# a repair is in force, and is undone after it; and again
@example(commands=((3, "register=on"), (8, "register=off")), interruptions=[Interruption(at=5)], checkpoint_every=None)
@example(
    commands=((3, "register=on"), (6, "register=off"), (9, "register=on")),
    interruptions=[Interruption(at=7), Interruption(at=10)],
    checkpoint_every=None,
)
@example(commands=(), interruptions=[Interruption(looks=1)], checkpoint_every=None)  # in the first validation
@example(commands=(), interruptions=[Interruption(looks=3)], checkpoint_every=None)  # in the last one
@example(commands=(), interruptions=[Interruption(at=E + 2, lost=1)], checkpoint_every=E)  # killed after it validated
@example(commands=(), interruptions=[Interruption(at=STEPS, lost=1)], checkpoint_every=STEPS)
def test_interrupted_anywhere_it_goes_on_to_the_same_end(
    recipe: str, commands: Commands, interruptions: list[Interruption], checkpoint_every: int | None
) -> None:
    became = interrupted(recipe, commands, interruptions, checkpoint_every)
    assert_same(became, never_stopped(recipe, commands))
