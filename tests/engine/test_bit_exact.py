"""Watching changes no bit, and overfitting one batch leaves none changed once it is switched off."""

from functools import cache

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.engine.runs import RECIPES, STEPS, STEPS_PER_EPOCH, State, train, train_bare
from tuitrain.record.events import Applied, Rejected

E = STEPS_PER_EPOCH
steps = st.integers(0, STEPS + 12)
once = st.tuples(steps, steps).map(sorted)
twice = st.tuples(steps, steps, steps, steps).map(sorted)


@cache
def untouched(name: str) -> State:
    """What the recipe becomes as plain PyTorch, never watched."""
    return train_bare(RECIPES[name].make())


@pytest.mark.parametrize("name", RECIPES)
def test_watching_alone_changes_no_bit(name: str) -> None:
    assert train(RECIPES[name].make()).state == untouched(name)


@pytest.mark.parametrize("name", RECIPES)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(switched=once | twice)
@example(switched=[0, 5])  # before the first step
@example(switched=[3, 3])  # on and off at once
@example(switched=[E - 1, E])  # the last batch of an epoch is held
@example(switched=[E, E + 2])  # switched on between two epochs: the first batch of the next one is held
@example(switched=[E - 2, E + 4])  # own steps of another epoch
@example(switched=[STEPS - 1, STEPS + 5])  # the very last batch
@example(switched=[STEPS, STEPS + 5])  # after it: nothing left to hold
@example(switched=[4, 6, 6, 9])  # twice in a row, on again as it goes off
@example(switched=[E - 1, E + 1, E + 1, E + 3])  # the same, the held batch being an epoch's last
def test_overfitting_on_and_off_leaves_no_trace(name: str, switched: list[int]) -> None:
    at = [(step, f"overfit={'off' if index % 2 else 'on'}") for index, step in enumerate(switched)]
    outcome = train(RECIPES[name].make(), at)
    assert outcome.state == untouched(name)
    own = [step for step in outcome.news.steps if not step.overfit]
    assert [step.step for step in own] == list(range(1, STEPS + 1))
    overfitted = sum(step.overfit for step in outcome.news.steps)
    applied = [event for event in outcome.news.events if isinstance(event, Applied)]
    for on, off in zip(switched[::2], switched[1::2], strict=True):
        if on < min(STEPS, off):
            assert overfitted, "it was switched on, so it must have trained on the held batch"
    assert len(outcome.news.steps) == STEPS + overfitted
    answers = len(applied) + sum(isinstance(event, Rejected) for event in outcome.news.events)
    assert answers == len(switched)


@pytest.mark.parametrize("name", ["sgd-momentum", "adamw-onecycle"])
def test_the_overfitted_weights_are_kept_on_request(name: str) -> None:
    """The counterpart, which shows that the comparison above can fail."""
    kept = train(RECIPES[name].make(), [(4, "overfit=on"), (9, "overfit=keep")])
    assert kept.state.weights != untouched(name).weights


def test_left_on_at_the_end_it_is_undone() -> None:
    outcome = train(RECIPES["dropout-norm-step"].make(), [(STEPS - 2, "overfit=on")])
    assert outcome.state == untouched("dropout-norm-step")


def test_a_bounded_run_is_the_same_with_and_without() -> None:
    recipe = RECIPES["dropout-norm-step"]
    plain = train(recipe.make(), max_steps=7)
    touched = train(recipe.make(), [(7, "overfit=on"), (12, "overfit=off")], max_steps=7)
    earlier = train(recipe.make(), [(6, "overfit=on"), (12, "overfit=off")], max_steps=7)
    assert plain.reason == touched.reason == earlier.reason == "steps"
    assert plain.state == touched.state == earlier.state
    assert earlier.probe.position.executed == 7 + 6
