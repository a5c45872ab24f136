"""The screen as a picture, at the four sizes of the design; `pytest --snapshot-update` takes new ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ui.fake_run import fake_start
from tests.ui.fake_script import script_journal
from tests.ui.screen_run import fake_journal, journal_of, make_app
from tuitrain.record.events import Status

Compare = Callable[..., bool]


SIZES = [(160, 48), (100, 30), (60, 20), (40, 10), (30, 3)]


@pytest.mark.parametrize("size", SIZES, ids=[f"{width}x{height}" for width, height in SIZES])
def test_training(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(fake_journal(tmp_path)), terminal_size=size)


def test_tips_of_a_narrow_terminal(snap_compare: Compare, tmp_path: Path) -> None:
    assert snap_compare(make_app(fake_journal(tmp_path)), terminal_size=(60, 20), press=["3"])


def test_pending(snap_compare: Compare, tmp_path: Path) -> None:
    assert snap_compare(make_app(journal_of(tmp_path, *fake_start())), terminal_size=(100, 30), press=["o", "]", "+"])


def test_loading(snap_compare: Compare, tmp_path: Path) -> None:
    loading = Status(state="loading", message="importing torch", progress=0.2)
    assert snap_compare(make_app(journal_of(tmp_path, loading)), terminal_size=(100, 30))


def test_finished(snap_compare: Compare, tmp_path: Path) -> None:
    assert snap_compare(make_app(fake_journal(tmp_path, end=True)), terminal_size=(160, 48))


def test_ascii(snap_compare: Compare, tmp_path: Path) -> None:
    assert snap_compare(make_app(fake_journal(tmp_path), ascii_only=True), terminal_size=(100, 30))


@pytest.mark.parametrize("key", ["question_mark", "q"])
def test_over_the_screen(snap_compare: Compare, tmp_path: Path, key: str) -> None:
    assert snap_compare(make_app(fake_journal(tmp_path)), terminal_size=(80, 24), press=[key])


@pytest.mark.parametrize("size", [(160, 48), (60, 20)], ids=["160x48", "60x20"])
def test_a_script(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(script_journal(tmp_path, off=True)), terminal_size=size)


def test_tips_of_a_script_in_a_narrow_terminal(snap_compare: Compare, tmp_path: Path) -> None:
    assert snap_compare(make_app(script_journal(tmp_path)), terminal_size=(60, 20), press=["3"])


@pytest.mark.parametrize("size", [(100, 30), (40, 10)], ids=["100x30", "40x10"])
def test_what_can_be_had_of_a_script(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(script_journal(tmp_path, off=True)), terminal_size=size, press=["i"])
