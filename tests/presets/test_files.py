"""The files themselves: each loads, names what exists, and says which key to press and what to look for."""

import re

import pytest

from tuitrain.engine.data import DATASETS
from tuitrain.engine.mistakes import MISTAKES
from tuitrain.engine.models import MODELS
from tuitrain.engine.sequence import SEQUENCE_MODELS
from tuitrain.preset import find_preset, load_preset, preset_names

KEYS = {
    "sorted": ("s",),
    "unscaled": ("n",),
    "exploding": ("c",),
    "modes": ("e", "v"),
    "unregistered": ("r",),
    "blind": ("o",),
    "chars": ("o",),
    "mnist": ("o", "s", "n", "c", "e"),
}
"""The keys that each preset is there to try."""


def test_every_preset_is_in_the_table() -> None:
    assert set(preset_names()) == set(KEYS)


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_preset_loads_and_names_what_exists(name: str) -> None:
    preset = load_preset(find_preset(name))
    assert preset.title
    assert preset.data.name in DATASETS
    assert preset.model.name in MODELS | SEQUENCE_MODELS | MISTAKES


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_preset_says_which_keys_to_press(name: str) -> None:
    path = find_preset(name)
    comment = " ".join(
        line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").split("\ntitle")[0].splitlines()
    )
    about = load_preset(path).about
    for text in (comment, about):
        assert "press " in text.lower()
        for key in KEYS[name]:
            assert re.search(rf"\b{key}\b", text), f"{key} in {text!r}"
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert len(about) <= 160, "about stands in a line of the screen"
