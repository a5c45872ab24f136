"""Each preset shows what it promises: with the mistake it does badly, and its key makes it well.

Every comparison is between runs of the same seed. The bounds were set with room, from runs of several seeds.
"""

from pathlib import Path
from statistics import fmean, median

from tests.presets.cli import run
from tuitrain.engine.data import DataRequest, load_chars
from tuitrain.preset import find_preset

SORTED_EPOCH = 313


def test_sorted_digits_are_learnt_once_shuffled(tmp_path: Path) -> None:
    mistaken, cured = run(
        tmp_path,
        f"sorted --steps {2 * SORTED_EPOCH}",
        f"sorted --steps {2 * SORTED_EPOCH} --at {SORTED_EPOCH} shuffle=on",
    )
    assert mistaken.val_accuracy < 0.3
    assert cured.val_accuracy > 0.85
    saw = mistaken.series("loss")[SORTED_EPOCH:]
    assert median(saw) < 0.1, "within a class there is nothing to tell apart"
    assert max(saw) > 3, "at each new class the loss jumps"


def test_raw_features_are_learnt_once_normalised(tmp_path: Path) -> None:
    mistaken, cured = run(tmp_path, "unscaled --steps 240", "unscaled --steps 240 --at 80 normalise=on")
    assert mistaken.val_accuracy < 0.2
    assert 2.25 < mistaken.late_loss() < 2.35
    assert cured.val_accuracy > 0.8
    assert cured.late_loss() < 0.6


def test_exploding_gradients_are_tamed_by_clipping(tmp_path: Path) -> None:
    mistaken, cured, never_ill = run(
        tmp_path,
        "exploding --steps 300",
        "exploding --steps 700 --at 300 clip=on",
        "exploding --steps 300 --at 0 clip=on",
    )
    late_norms = mistaken.series("norm_before")[-200:]
    assert median(late_norms) > 5 * median(never_ill.series("norm_before")[-200:])
    assert max(late_norms) > 300
    assert mistaken.late_loss(100) > 10
    assert mistaken.val_accuracy < 0.6
    assert never_ill.late_loss(100) < 1.0
    assert never_ill.val_accuracy > 0.65
    assert cured.late_loss(100) < mistaken.late_loss(100) / 5


def test_validation_in_eval_mode_scores_higher_with_the_same_weights(tmp_path: Path) -> None:
    mistaken, cured = run(tmp_path, "modes --steps 158", "modes --steps 158 --at 0 eval=on")
    assert mistaken.end["weights_sha256"] == cured.end["weights_sha256"]
    assert [event["mode"] for event in mistaken.of("validation")] == ["train"] * len(mistaken.of("validation"))
    gaps = [
        right["accuracy"] - wrong["accuracy"]
        for wrong, right in zip(mistaken.of("validation"), cured.of("validation"), strict=True)
    ]
    assert min(gaps) > 0.1


def test_layers_in_a_list_learn_once_registered(tmp_path: Path) -> None:
    mistaken, cured = run(tmp_path, "unregistered --steps 500", "unregistered --steps 500 --at 150 register=on")
    assert mistaken.val_accuracy < 0.35
    assert cured.val_accuracy > 0.5
    assert cured.val_accuracy > mistaken.val_accuracy + 0.25


def test_a_blind_model_fails_on_one_batch_and_the_same_model_with_sight_passes(tmp_path: Path) -> None:
    text = find_preset("blind").read_text(encoding="utf-8")
    seeing_text = text.replace("layers = 1", "layers = 1, batch_first = true")
    assert seeing_text != text
    (tmp_path / "seeing.toml").write_text(seeing_text, encoding="utf-8")
    press = "--steps 20 --at 10 overfit=on --at 170 overfit=off"
    blind, seeing = run(tmp_path, f"blind {press}", f"{tmp_path / 'seeing.toml'} {press}")

    assert "bad" in blind.verdicts("overfit")
    assert "good" not in blind.verdicts("overfit")
    assert min(blind.series("loss", overfit=True)) > 1.9, "only how often each class occurs can be learnt"
    assert "good" in seeing.verdicts("overfit")
    assert "bad" not in seeing.verdicts("overfit")
    assert min(seeing.series("loss", overfit=True)) < 0.2


def test_the_language_model_learns_more_than_how_often_characters_occur(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, "chars --steps 250")
    targets = load_chars(DataRequest()).train_targets.flatten()
    shares = targets.bincount().double() / len(targets)
    unigram_entropy = float(-shares.xlogy(shares).sum())
    assert fmean(outcome.series("loss")[:5]) > unigram_entropy
    assert outcome.late_loss(20) < unigram_entropy - 0.6
    assert outcome.end["val_loss"] < unigram_entropy - 0.6
