"""Validating leaves no trace: no buffer, no attribute, no generator, no module's own training flag."""

from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.engine import zoo
from tests.engine.fingerprint import fingerprint, rng_fingerprint
from tests.engine.runs import RECIPES, STEPS, STEPS_PER_EPOCH, Recipe, tiny_inputs, tiny_targets, train, train_bare
from tuitrain.engine.validation import evaluate
from tuitrain.record.commands import AnyCommand, Validate
from tuitrain.record.events import Applied, Validation


def nothing(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", RECIPES)
def test_one_validation_leaves_no_trace(name: str, mode: Literal["eval", "train"]) -> None:
    training = RECIPES[name].make()
    train_bare(training)
    before, rng = fingerprint(training.model), rng_fingerprint()
    evaluate(training, mode, nothing)
    assert fingerprint(training.model) == before
    assert rng_fingerprint() == rng


class Broken(zoo.FrozenNorm):
    """Fails in the middle of validation."""

    def between(self, states: Tensor) -> Tensor:
        hidden = super().between(states)
        if len(states) < 8:
            raise RuntimeError("the last batch is too small")
        return hidden


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_one_that_breaks_off_leaves_none_either(mode: Literal["eval", "train"]) -> None:
    training = Recipe(model=Broken).make()
    before, rng = fingerprint(training.model), rng_fingerprint()
    with pytest.raises(RuntimeError, match="too small"):
        evaluate(training, mode, nothing)
    assert fingerprint(training.model) == before
    assert rng_fingerprint() == rng


def test_in_eval_mode_all_are_in_eval_and_in_train_mode_each_as_it_trains() -> None:
    seen: list[tuple[bool, bool]] = []

    class Watching(zoo.FrozenNorm):
        def between(self, states: Tensor) -> Tensor:
            seen.append((self.training, self.norm.training))
            return super().between(states)

    training = Recipe(model=Watching).make()
    evaluate(training, "eval", nothing)
    assert set(seen) == {(False, False)}
    seen.clear()
    evaluate(training, "train", nothing)
    assert set(seen) == {(True, False)}, "the frozen BatchNorm stays in eval mode"
    assert (training.model.training, training.model.get_submodule("norm").training) == (True, False)


def test_the_means_are_over_samples_not_over_batches() -> None:
    training = Recipe(model=zoo.Plain).make()
    result = evaluate(training, "eval", nothing)
    inputs, targets = training.prepare(tiny_inputs()[:20]), tiny_targets()[:20]  # 20 samples in batches of 8
    with torch.no_grad():
        predictions = training.model(inputs)
    assert result.samples == 20
    assert result.loss == pytest.approx(nn.functional.cross_entropy(predictions.double(), targets).item(), rel=1e-6)
    assert result.accuracy == (predictions.argmax(1) == targets).double().mean().item()


def test_the_accuracy_of_sequences_is_over_predictions() -> None:
    training = RECIPES["masking-tokens"].make()
    result = evaluate(training, "eval", nothing)
    assert result.samples == 20
    assert 0 <= result.accuracy <= 1
    assert (result.accuracy * 80).is_integer(), "20 sequences of 4 tokens"


def validations(events: Sequence[object]) -> list[Validation]:
    return [event for event in events if isinstance(event, Validation)]


Pressed = list[tuple[int, str | AnyCommand]]
pressed = st.tuples(st.integers(0, STEPS), st.sampled_from([Validate(), "eval=off", "eval=on"]))


CHANGED_BY_FORWARD = ["dropout-norm-step", "frozen-norm", "plain-attributes", "global-noise", "listed-norm"]


@pytest.mark.parametrize("name", CHANGED_BY_FORWARD)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.lists(pressed, min_size=1, max_size=6))
@example(at=[(0, Validate()), (STEPS_PER_EPOCH, Validate()), (STEPS, Validate())])
@example(at=[(2, "eval=off"), (3, Validate())])
def test_a_run_that_was_validated_at_any_time_is_the_same(name: str, at: Pressed) -> None:
    outcome = train(RECIPES[name].make(), at)
    assert outcome.state == train_bare(RECIPES[name].make())
    asked = [event for event in validations(outcome.news.events) if event.cause == "asked"]
    assert len(asked) == 2 * sum(isinstance(command, Validate) for _, command in at)


def test_while_one_batch_is_overfitted_it_leaves_no_trace_either() -> None:
    outcome = train(RECIPES["dropout-norm-step"].make(), [(4, "overfit=on"), (8, Validate()), (11, "overfit=off")])
    assert outcome.state == train_bare(RECIPES["dropout-norm-step"].make())
    last = validations(outcome.news.events)[-1]
    assert outcome.probe.last_validation == last
    assert last.executed == STEPS + 7


def test_asked_for_it_is_measured_in_both_modes_on_the_same_weights() -> None:
    outcome = train(RECIPES["dropout-norm-step"].make(), [(7, Validate())])
    asked = [event for event in validations(outcome.news.events) if event.cause == "asked"]
    assert [event.mode for event in asked] == ["eval", "train"]
    assert {event.executed for event in asked} == {7}
    assert asked[0].loss != asked[1].loss, "dropout and BatchNorm make a difference"
    applied = [event.word for event in outcome.news.events if isinstance(event, Applied)]
    assert applied == ["validate"]


def test_each_epoch_is_validated_in_the_mode_switched() -> None:
    outcome = train(RECIPES["dropout-norm-step"].make(), [(STEPS_PER_EPOCH + 1, "eval=off")])
    said = [(event.mode, event.cause, event.step) for event in validations(outcome.news.events)]
    ends = (STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH, 3 * STEPS_PER_EPOCH)
    assert said == list(zip(("eval", "train", "train"), ("epoch",) * 3, ends, strict=True))
