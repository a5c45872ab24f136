"""The tips pane: each switch, each verdict, and as much evidence as there is room for."""

import pytest

from tests.ui.fake_run import fake_reports, fake_start, fake_view
from tuitrain.record.commands import Set
from tuitrain.record.events import Applied, TipReport
from tuitrain.record.journal import News
from tuitrain.record.state import RunView
from tuitrain.ui.glyphs import ASCII
from tuitrain.ui.keymap import TIP_ROWS
from tuitrain.ui.panes.tips import tip_lines

WIDTH = 60


def lines(view: RunView, width: int = WIDTH, height: int = 40) -> list[str]:
    return [line.plain.rstrip() for line in tip_lines(view, width, height)]


def row(view: RunView, key: str, width: int = WIDTH) -> str:
    return next(line for line in lines(view, width, len(TIP_ROWS)) if line.startswith(f"{key} "))


def test_a_row_says_key_switch_verdict_and_summary() -> None:
    view = fake_view()
    assert row(view, "o").split() == ["o", "Overfit", "one", "batch", "○", "off", "✓", "PASS", "in", "87", "steps"]
    assert row(view, "s").split() == ["s", "Shuffle", "●", "on", "✓", "labels", "mixed"]
    assert row(view, "c").split() == ["c", "Clip", "to", "0.5", "●", "on", "!", "64", "%", "of", "steps"]
    assert row(view, "r").split() == ["r", "Registered", "○", "some", "✗", "2,550", "not", "registered"]


def test_what_was_sent_is_pending_until_it_was_applied() -> None:
    view = fake_view()
    command = Set(name="overfit", value=True)
    view.sent(command)
    assert "… on" in row(view, "o")
    view.update(News([], [Applied(id=command.id, word="overfit", value=True, by="key")]))
    assert "…" not in row(view, "o")


def test_a_threshold_that_was_asked_for_is_pending_too() -> None:
    view = fake_view()
    view.sent(Set(name="max_norm", value=0.64))
    assert "Clip to …0.64" in row(view, "c")


def test_before_the_run_has_said_anything_no_switch_is_claimed() -> None:
    for line in lines(RunView(), height=len(TIP_ROWS)):
        assert "●" not in line
        assert "○" not in line


def test_without_a_report_there_is_no_verdict() -> None:
    view = RunView()
    view.update(News([], fake_start()))
    assert row(view, "s").split() == ["s", "Shuffle", "●", "on"]


def test_with_room_all_evidence_is_there() -> None:
    text = " ".join(" ".join(lines(fake_view())).split())
    for report in fake_reports(1200):
        for name, value in report.rows:
            assert f"{name} {' '.join(value.split())}" in text


def test_with_little_room_the_evidence_of_what_is_bad_comes_first() -> None:
    text = lines(fake_view(), height=len(TIP_ROWS) + 2)
    assert text[-1] == "    registered  21,860 parameters"
    assert text[4] == "    median norm   1.12"
    assert not any("first loss" in line for line in text)


@pytest.mark.parametrize("height", range(40))
@pytest.mark.parametrize("width", [0, 1, 20, 38, 44, 60, 100])
def test_no_line_is_too_long_and_none_too_many(width: int, height: int) -> None:
    found = tip_lines(fake_view(), width, height)
    assert len(found) <= height
    if width >= 38:
        assert all(line.cell_length <= width for line in found)


def test_a_summary_without_room_stands_whole_beneath_its_row() -> None:
    view = fake_view()
    summary = "the gap of 1.25 points between the modes is far more than noise"
    view.update(News([], [TipReport(tip="modes", verdict="bad", summary=summary)]))
    text = lines(view, 50)
    assert "…" in next(line for line in text if line.startswith("e "))
    assert summary in " ".join(line.strip() for line in text)


def test_ascii_rows_are_ascii() -> None:
    view = fake_view()
    view.sent(Set(name="clip_by", value="value"))
    view.sent(Set(name="shuffle", value=False))
    assert all(line.plain.isascii() for line in tip_lines(view, WIDTH, 40, ASCII))
