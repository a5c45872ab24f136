"""The keys: every one sends exactly the value it stands for, and the table is whole."""

import math
from itertools import pairwise

import pytest

from tests.ui.fake_run import fake_start, fake_view
from tuitrain.record.commands import WORDS, Set
from tuitrain.record.events import Rejected, Switches, TipReport, Value
from tuitrain.record.journal import News
from tuitrain.record.state import RunView
from tuitrain.ui import keymap
from tuitrain.ui.glyphs import ASCII, UNICODE
from tuitrain.ui.keymap import FACTOR, KEYS, SENSIBLE, TIP_ROWS, scaled


def started() -> RunView:
    view = RunView()
    view.update(News([], fake_start()))
    return view


def sent(name: str, view: RunView) -> tuple[str, Value | None]:
    command = keymap.command(name, view)
    assert command is not None
    return command.word, command.value if isinstance(command, Set) else None


@pytest.mark.parametrize(
    ("name", "word", "value"),
    [
        ("overfit", "overfit", True),
        ("keep", "overfit", "keep"),
        ("shuffle", "shuffle", False),
        ("normalise", "normalise", False),
        ("clip", "clip", True),
        ("max_norm_down", "max_norm", 0.8),
        ("max_norm_up", "max_norm", 1.25),
        ("clip_by", "clip_by", "value"),
        ("eval", "eval", False),
        ("validate", "validate", None),
        ("register", "register", True),
        ("pause", "pause", True),
        ("step", "steponce", None),
        ("lr_up", "lr", 1.25e-3),
        ("lr_down", "lr", 8e-4),
        ("checkpoint", "checkpoint", None),
    ],
)
def test_a_key_sends_its_command(name: str, word: str, value: Value | None) -> None:
    assert sent(name, started()) == (word, value)


def test_every_key_that_sends_is_tested_above() -> None:
    (mark,) = test_a_key_sends_its_command.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == {key.name for key in KEYS if key.command}


def test_a_second_press_asks_for_the_opposite_of_what_was_asked_for() -> None:
    view = started()
    first = keymap.command("clip", view)
    assert first is not None
    view.sent(first)
    assert sent("clip", view) == ("clip", False)
    view.update(News([], [Rejected(id=first.id, word="clip", by="key", reason="no")]))
    assert sent("clip", view) == ("clip", True)


def test_the_threshold_builds_on_what_was_asked_for() -> None:
    view = started()
    for expected in (1.25, 1.6, 2.0):
        command = keymap.command("max_norm_up", view)
        assert isinstance(command, Set)
        assert command.value == expected
        view.sent(command)


def test_overfit_that_is_being_kept_counts_as_off() -> None:
    view = started()
    keep = keymap.command("keep", view)
    assert keep is not None
    view.sent(keep)
    assert sent("overfit", view) == ("overfit", True)


def test_clip_by_goes_to_and_fro() -> None:
    view = started()
    view.update(News([], [Switches(values=view.switches | {"clip_by": "value"})]))
    assert sent("clip_by", view) == ("clip_by", "norm")


def test_a_run_without_a_switch_gets_no_command_for_it() -> None:
    view = RunView()
    view.update(News([], [Switches(values={"lr": 1e-3})]))
    assert keymap.command("clip", view) is None
    assert keymap.command("max_norm_up", view) is None
    assert keymap.command("clip_by", view) is None
    assert keymap.command("lr_up", view) is not None


@pytest.mark.parametrize("decade", [1e-5, 1e-3, 1.0, 100.0])
def test_scaling_stays_on_sensible_figures_and_undoes_itself(decade: float) -> None:
    for figure, following in pairwise(SENSIBLE):
        assert scaled(figure * decade, FACTOR) == pytest.approx(following * decade)
        assert scaled(following * decade, 1 / FACTOR) == pytest.approx(figure * decade)


def test_scaling_from_anywhere_moves_by_about_a_quarter() -> None:
    for value in (3e-4, 0.7, 1.1, 9.9, 1234.5):
        assert 1.1 < scaled(value, FACTOR) / value < 1.45
        assert 1.1 < value / scaled(value, 1 / FACTOR) < 1.45
        assert math.isfinite(scaled(value, FACTOR))


def test_no_key_means_two_things() -> None:
    keys = [name for key in KEYS for name in key.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert len({key.name for key in KEYS}) == len(KEYS)


def test_every_key_says_what_it_does() -> None:
    for key in KEYS:
        assert key.label
        assert key.help.endswith(".")
        assert key.gist.endswith(".")


def test_every_word_that_can_be_set_has_a_key() -> None:
    view = started()
    words = {command.name for key in KEYS if isinstance(command := keymap.command(key.name, view), Set)}
    assert words == set(WORDS)


def test_bindings_are_those_of_the_table() -> None:
    bound = {name for binding in keymap.bindings() for name in binding.key.split(",")}
    urgent = {name for binding in keymap.priority_bindings() for name in binding.key.split(",")}
    assert urgent == {"ctrl+c"}
    assert bound == {name for key in KEYS if key.command or key.action for name in key.keys.split(",")} - urgent


def test_a_viewer_has_every_key_and_a_reader_those_of_the_screen() -> None:
    assert keymap.keys_of("own") == KEYS
    assert [key.name for key in keymap.keys_of("viewer")] == [key.name for key in KEYS]
    reader = keymap.keys_of("reader")
    assert {key.group for key in reader} == {"The screen"}
    assert not [key.name for key in reader if key.command]


def test_elsewhere_no_key_ends_the_run_without_asking() -> None:
    changed = {key.name: key for key in keymap.keys_of("viewer") if key not in KEYS}
    assert set(changed) == {"quit", "interrupt", "suspend"}
    assert all("the run" in key.help.lower() and "goes on" in key.help for key in changed.values())
    assert changed["quit"].footer == (2, "leave, the run goes on")


def test_every_row_of_the_tips_has_a_key_that_sets_its_word() -> None:
    view = started()
    by_shown = {key.shown: key.name for key in KEYS}
    for row in TIP_ROWS:
        command = keymap.command(by_shown[row.key], view)
        assert isinstance(command, Set)
        assert command.name == row.word


def test_the_clip_row_says_whether_it_scales_or_clamps() -> None:
    view = started()
    row = next(row for row in TIP_ROWS if row.tip == "clipping")
    assert row.label(view, UNICODE) == "Clip to 1.0"
    view.update(News([], [Switches(values=view.switches | {"clip_by": "value", "max_norm": 0.25})]))
    assert row.label(view, UNICODE) == "Clamp to ±0.25"
    assert row.label(view, ASCII) == "Clamp to +/-0.25"


def test_the_registration_row_says_what_the_report_found() -> None:
    row = next(row for row in TIP_ROWS if row.tip == "registration")
    assert row.state(started()) == (False, "?")
    view = fake_view()
    assert row.state(view) == (False, "some")
    view.update(News([], [TipReport(tip="registration", verdict="good", summary="all")]))
    assert row.state(view) == (True, "all")
    view.update(News([], [Switches(values=view.switches | {"register": True})]))
    assert row.state(view) == (True, "all")


def test_the_help_tells_the_truth_about_clipping_and_modes() -> None:
    assert "SCALED by one factor" in keymap.by_name("clip").help
    assert "clamps each number" in keymap.by_name("clip_by").help
    assert "two different things" in keymap.by_name("eval").help
    assert "suspends the training too" in keymap.by_name("suspend").help
