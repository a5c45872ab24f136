"""A script's bad habits, switched in the middle of it by the tips that presets have; and off again."""

import re
from pathlib import Path

import pytest

from tests.engine.script.scripts import Outcome, answers, bare, watched
from tuitrain.record.events import ModuleTree, Switches, TipReport, Validation

SAMPLES = list(range(40))
STEPS = 5
"""An epoch."""


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All of them on during the second epoch, and off during the fourth."""
    on = ((6, "eval=on"), (7, "shuffle=on"), (8, "normalise=on"), (9, "register=on"))
    off = ((16, "eval=off"), (17, "shuffle=off"), (18, "normalise=off"), (19, "register=off"))
    return watched("habits plain", tmp_path_factory.mktemp("switched"), *on, *off)


def orders(outcome: Outcome) -> list[list[int]]:
    """The samples of each epoch, as the script got them."""
    lists = re.findall(r"order \[(.*?)\]", "\n".join(outcome.printed))
    return [[int(sample) for sample in listed.split(", ")] for listed in lists]


def numbers(outcome: Outcome, label: str) -> list[float]:
    """The first number after a label, in each line that has it."""
    return [float(found) for found in re.findall(rf"{label} ([-\d.]+)", "\n".join(outcome.printed))]


def modes(outcome: Outcome) -> list[str]:
    """The training flags, of the model and its dropout, in each validation, and the model's after it."""
    return re.findall(r"modes (.*)", "\n".join(outcome.printed))


def test_each_switch_is_answered_where_it_was_set(switched: Outcome) -> None:
    words = ["eval", "shuffle", "normalise", "register"]
    expected = [(word, at, "") for at, word in zip([6, 7, 8, 9, 16, 17, 18, 19], words * 2, strict=True)]
    assert answers(switched) == expected
    assert [values["eval"] for values in values_of(switched)][-1] is False


def values_of(outcome: Outcome) -> list[dict[str, object]]:
    """The switches, each time they were said."""
    return [dict(event.values) for event in outcome.of(Switches)]


def test_samples_are_shuffled_from_the_next_epoch_on(switched: Outcome) -> None:
    """The epoch under way keeps its order, in which each sample comes once; then the script's own is back."""
    first, second, third, fourth, *last = orders(switched)
    assert first == second == SAMPLES
    assert third != SAMPLES
    assert fourth not in (SAMPLES, third)
    assert sorted(third) == sorted(fourth) == SAMPLES
    assert last == [SAMPLES, SAMPLES]


def test_inputs_are_standardised_while_that_is_on(switched: Outcome) -> None:
    means = numbers(switched, "mean")
    plain = numbers(bare("habits plain"), "mean")
    assert means[0] == plain[0]
    assert plain[0] > 20
    assert abs(means[2]) < 1
    assert means[4:] == plain[4:]
    report = next(report for report in switched.of(TipReport) if report.tip == "normalise")
    assert report.verdict == "warning"


def test_a_held_batch_is_standardised_too(tmp_path: Path) -> None:
    """The same numbers again and again, and once more when it is the script's next batch."""
    at = ((6, "normalise=on"), (7, "overfit=on"), (12, "overfit=off"), (13, "normalise=off"))
    outcome = watched("habits prints", tmp_path, *at)
    fed = re.findall(r"fed (\S+) at (\d+)", "\n".join(outcome.printed))
    held = fed[7:13]
    assert len(set(held)) == 1
    assert held[0][1] == "16"
    assert abs(float(held[0][0])) < 2 < 20 < float(fed[2][0])
    assert fed[13][1] == "24"


def test_eval_mode_is_forced_upon_validation_module_by_module(switched: Outcome) -> None:
    as_it_does, forced = "[(True, True)] after True", "[(False, False)] after True"
    assert modes(switched) == [as_it_does, forced, forced, as_it_does, as_it_does, as_it_does]
    assert [validation.mode for validation in switched.of(Validation)] == ["train", *["eval"] * 2, *["train"] * 3]


def test_validation_is_what_the_script_prints(switched: Outcome) -> None:
    validations = switched.of(Validation)
    assert [validation.loss for validation in validations] == pytest.approx(numbers(switched, "validated"), abs=1e-5)
    printed = [float(line.split()[2]) for line in switched.printed if line.startswith("validated")]
    assert [validation.accuracy for validation in validations] == pytest.approx(printed, abs=1e-5)
    assert {(validation.samples, validation.cause) for validation in validations} == {(12, "epoch")}
    assert [validation.step for validation in validations] == [5, 10, 15, 20, 25, 30]


def test_layers_in_a_list_are_registered_and_let_go_again(switched: Outcome) -> None:
    assert numbers(switched, "parameters") == [4, 8, 8, 4, 4, 4]
    loose = [sum(not row.registered for row in tree.rows) for tree in switched.of(ModuleTree)]
    assert (loose[0], min(loose), loose[-1]) == (6, 0, 6)
    trained = next(tree for tree in switched.of(ModuleTree) if all(row.registered for row in tree.rows))
    assert all(row.in_optimizer for row in trained.rows if row.kind == "parameter")
    assert bare("habits plain").printed[-2] != switched.printed[-2], "the first layer was not trained"
    report = switched.of(TipReport)[-1]
    assert any(report.tip == "registration" and report.verdict == "bad" for report in switched.of(TipReport)), report


@pytest.mark.parametrize("how", ["plain", "shuffled", "breaks", "with-gradients"])
def test_what_is_only_seen_changes_nothing(how: str, tmp_path: Path) -> None:
    outcome, plain = watched(f"habits {how}", tmp_path), bare(f"habits {how}")
    assert outcome.printed == plain.printed
    assert not [line for line in outcome.told if "failed" in line]


def test_the_scripts_own_sampler_and_eval_mode_come_back(tmp_path: Path) -> None:
    """Shuffling off for no epoch's beginning leaves no trace; eval mode that is the script's own is left to it."""
    at = ((6, "shuffle=off"), (7, "shuffle=on"), (8, "eval=off"), (8, "eval=on"), (9, "eval=off"))
    outcome = watched("habits shuffled", tmp_path, *at)
    assert outcome.printed == bare("habits shuffled").printed
    assert [(word, "itself validates in eval mode" in reason) for word, _, reason in answers(outcome)] == [
        *(("shuffle", False), ("shuffle", False), ("eval", True), ("eval", False), ("eval", False))
    ]


def test_another_sampler_is_left_alone_with_the_reason(tmp_path: Path) -> None:
    outcome = watched("habits subset", tmp_path, (6, "shuffle=on"))
    ((word, _, reason),) = answers(outcome)
    assert word == "shuffle"
    assert "a SubsetRandomSampler, whose order is its own" in reason
    assert outcome.weights == bare("habits subset").weights


def test_a_pass_that_is_left_early_counts_as_far_as_it_went(tmp_path: Path) -> None:
    outcome = watched("habits breaks", tmp_path, (3, "eval=on"))
    assert [validation.samples for validation in outcome.of(Validation)] == [5] * 6
    assert set(modes(outcome)) == {"[(False, False)] after True"}


def test_a_pass_over_the_training_data_is_no_validation(tmp_path: Path) -> None:
    outcome = watched("habits checks-training-data", tmp_path)
    assert outcome.printed == bare("habits checks-training-data").printed
    assert [(validation.step, validation.samples) for validation in outcome.of(Validation)] == [
        (step, 12) for step in (5, 10, 15, 20, 25, 30)
    ]


def test_validation_with_gradients_is_known_from_its_second_pass_on(tmp_path: Path) -> None:
    """The first one could be one to train on; nothing is applied within those that follow."""
    outcome = watched("habits with-gradients", tmp_path)
    assert [validation.step for validation in outcome.of(Validation)] == [10, 15, 20, 25, 30]
    assert [validation.loss for validation in outcome.of(Validation)] == pytest.approx(
        numbers(outcome, "validated")[1:], abs=1e-5
    )
