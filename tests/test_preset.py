"""Presets: what a file may say, and the sentence for each thing that it may not."""

from pathlib import Path

import pytest

from tuitrain.errors import UserError
from tuitrain.preset import Preset, find_preset, load_preset, preset_names


def written(directory: Path, text: str) -> Path:
    path = directory / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def sentence(path: Path) -> str:
    """What loading `path` says is wrong: one line that names the file."""
    with pytest.raises(UserError) as raised:
        load_preset(path)
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_a_title_is_enough(tmp_path: Path) -> None:
    assert load_preset(written(tmp_path, 'title = "Mine"')) == Preset(title="Mine")


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    preset = load_preset(
        written(
            tmp_path,
            """
            title = "Mine"
            [data]
            name = "mnist-sorted"
            shuffle = false
            [model]
            name = "rnn"
            options = { width = 3, gain = 1.5, tied = true, cell = "gru" }
            [optimizer]
            name = "sgd"
            lr = 1
            momentum = 0.9
            nesterov = true
            [schedule]
            name = "onecycle"
            [clip]
            by = "value"
            """,
        )
    )
    assert not preset.data.shuffle
    assert preset.model.options == {"width": 3, "gain": 1.5, "tied": True, "cell": "gru"}
    assert preset.optimizer.lr == 1.0
    assert preset.optimizer.nesterov
    assert preset.optimizer.weight_decay is None
    assert preset.schedule.name == "onecycle"
    assert preset.clip.by == "value"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tittle = 'x'", ["unknown key tittle", "did you mean title?", "title, about, data, model"]),
        ("title = 'x'\n[data]\nshufle = true", ["data.shufle", "did you mean shuffle?", "name, batch_size, shuffle"]),
        ("title = 'x'\n[train]\nzzz = 1", ["unknown key train.zzz", "allowed here: epochs, seed, eval"]),
        ("title = 'x'\n[modle]\nname = 'cnn'", ["unknown key modle", "did you mean model?"]),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_and_the_allowed_ones(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    message = sentence(written(tmp_path, text))
    for part in expected:
        assert part in message


def test_no_near_key_means_no_guess(tmp_path: Path) -> None:
    assert "did you mean" not in sentence(written(tmp_path, "title = 'x'\n[train]\nzzz = 1"))


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("title = 'x'\n[train]\nepochs = 'three'", "train.epochs", "expected `int`, got `str`"),
        ("title = 'x'\n[train]\nepochs = true", "train.epochs", "expected `int`, got `bool`"),
        ("title = 'x'\n[train]\nepochs = 1.5", "train.epochs", "expected `int`, got `float`"),
        ("title = 'x'\n[data]\nshuffle = 'no'", "data.shuffle", "expected `bool`, got `str`"),
        ("title = 'x'\n[optimizer]\nlr = '1e-3'", "optimizer.lr", "expected `float`, got `str`"),
        ("title = 'x'\ndata = 'mnist'", "data", "expected `object`, got `str`"),
        ("title = 3", "title", "expected `str`, got `int`"),
        ("title = 'x'\n[model]\noptions = { width = [1] }", "model.options", "got `array`"),
        ("about = 'x'", "the file", "title"),
    ],
)
def test_a_wrong_type_names_the_key_and_both_types(tmp_path: Path, text: str, key: str, expected: str) -> None:
    message = sentence(written(tmp_path, text))
    assert f": {key}" in message
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[optimizer]\nname = 'adagrad'", ["optimizer.name", "adagrad", "allowed: sgd, adam, adamw, adadelta"]),
        ("[schedule]\nname = 'linear'", ["schedule.name", "linear", "allowed: none, onecycle, cosine, step"]),
        ("[clip]\nby = 'size'", ["clip.by", "size", "allowed: norm, value"]),
    ],
)
def test_a_wrong_choice_lists_the_allowed_ones(tmp_path: Path, text: str, expected: list[str]) -> None:
    message = sentence(written(tmp_path, f"title = 'x'\n{text}"))
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[data]\nbatch_size = 0", "data.batch_size is 0; it must be above 0"),
        ("[optimizer]\nlr = -0.1", "optimizer.lr is -0.1; it must be above 0"),
        ("[optimizer]\nlr = nan", "optimizer.lr is nan; it must be above 0"),
        ("[optimizer]\nlr = inf", "optimizer.lr is inf; it must be above 0"),
        ("[optimizer]\nmomentum = -0.9", "optimizer.momentum is -0.9; it must be 0 or above"),
        ("[optimizer]\nweight_decay = nan", "optimizer.weight_decay is nan; it must be 0 or above"),
        ("[optimizer]\nnesterov = true", "optimizer.nesterov is true, which needs optimizer.momentum"),
        ("[schedule]\npct_start = 1.5", "schedule.pct_start is 1.5; it must be between 0 and 1"),
        ("[schedule]\ndiv_factor = 0", "schedule.div_factor is 0.0; it must be above 0"),
        ("[schedule]\ngamma = 0", "schedule.gamma is 0.0; it must be above 0"),
        ("[clip]\nmax_norm = 0", "clip.max_norm is 0.0; it must be above 0"),
        ("[train]\nepochs = 0", "train.epochs is 0; it must be above 0"),
        ("[train]\noverfit_steps = -1", "train.overfit_steps is -1; it must be above 0"),
        ("[train]\nseed = -1", "train.seed is -1; it must be 0 or above"),
        ("[train]\nseed = 9223372036854775808", "train.seed is 9223372036854775808; it must be at most"),
        ("optimizer.name = 'adadelta'\nschedule.name = 'onecycle'", "schedule.name is onecycle"),
    ],
)
def test_an_impossible_value_is_refused_before_torch_sees_it(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in sentence(written(tmp_path, f"title = 'x'\n{text}"))


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "no such file" in sentence(tmp_path / "absent.toml")


def test_a_directory_is_no_preset(tmp_path: Path) -> None:
    assert "cannot be read" in sentence(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"title = '\xff'")
    assert "UTF-8" in sentence(path)


def test_invalid_toml_names_the_line(tmp_path: Path) -> None:
    message = sentence(written(tmp_path, "title = 'x'\n[data\n"))
    assert "not valid TOML" in message
    assert "line 2" in message


def test_an_unknown_preset_suggests_the_nearest_and_lists_all() -> None:
    with pytest.raises(UserError, match="'mnits'") as raised:
        find_preset("mnits")
    message = str(raised.value)
    assert "Did you mean mnist?" in message
    for name in preset_names():
        assert name in message


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert find_preset(str(tmp_path / "mine.toml")) == tmp_path / "mine.toml"


def test_presets_are_found_by_name() -> None:
    assert "mnist" in preset_names()
    assert find_preset("mnist").is_file()
