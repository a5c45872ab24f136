"""What is drawn in pieces is what would be drawn whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.geometry import Offset, Region
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from tests.ui.fake_run import fake_events, fake_log, fake_steps, fake_view
from tests.ui.screen_run import journal_of, make_app
from tuitrain.record.events import AnyEvent, Step
from tuitrain.record.journal import News
from tuitrain.record.state import RunView
from tuitrain.ui.panes.chart import Chart
from tuitrain.ui.panes.console import LogView
from tuitrain.ui.panes.header import Header
from tuitrain.ui.panes.text_lines import TextLines
from tuitrain.ui.panes.tips import TipsPane

STEPS = 600


class Words(TextLines):
    """Shows what it is given."""

    def __init__(self, *lines: Content | str) -> None:
        super().__init__()
        self.texts = lines

    def make_lines(self, width: int, height: int) -> list[Content]:
        return [Content(text) if isinstance(text, str) else text for text in self.texts][:height]


class Host(App[None]):
    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def seen(app: App[None]) -> list[str]:
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


@pytest.fixture
def refreshed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Region, ...]]:
    """The regions of every refresh of a widget of lines; () stands for the whole."""
    calls: list[tuple[Region, ...]] = []
    original = TextLines.refresh

    def spy(self: TextLines, *regions: Region, **options: bool) -> TextLines:
        calls.append(regions)
        return original(self, *regions, **options)

    monkeypatch.setattr(TextLines, "refresh", spy)
    return calls


async def test_only_lines_that_changed_are_drawn(refreshed: list[tuple[Region, ...]]) -> None:
    app = Host(words := Words("one", "two", "three"))
    async with app.run_test(size=(20, 5)) as pilot:
        assert seen(app) == ["one", "two", "three", "", ""]
        refreshed.clear()
        words.texts = ("one", "2", "three")
        words.renew()
        await pilot.pause()
        assert refreshed == [(Region(0, 1, 20, 1),)]
        assert seen(app) == ["one", "2", "three", "", ""]


async def test_another_style_is_a_change(refreshed: list[tuple[Region, ...]]) -> None:
    app = Host(words := Words("one", Content.styled("two", "bold")))
    async with app.run_test(size=(20, 5)):
        refreshed.clear()
        words.texts = ("one", Content.styled("two", "italic"))
        words.renew()
        assert refreshed == [(Region(0, 1, 20, 1),)]


async def test_lines_that_are_gone_leave_nothing_behind() -> None:
    app = Host(words := Words("one", "two", "three"))
    async with app.run_test(size=(20, 5)) as pilot:
        words.texts = ("one",)
        words.renew()
        await pilot.pause()
        assert seen(app) == ["one", "", "", "", ""]
        words.texts = ("one", "", "", "4")
        words.renew()
        await pilot.pause()
        assert seen(app) == ["one", "", "", "4", ""]


async def test_lines_are_made_for_the_size_there_is() -> None:
    class Ruler(TextLines):
        def make_lines(self, width: int, height: int) -> list[Content]:
            return [Content("-" * width)] * height

    app = Host(Ruler())
    async with app.run_test(size=(20, 3)) as pilot:
        await pilot.resize_terminal(12, 5)
        await pilot.pause()
        assert seen(app) == ["-" * 12] * 5


async def test_text_can_be_selected() -> None:
    app = Host(words := Words("one", "two"))
    async with app.run_test(size=(20, 3)) as pilot:
        plain = [words.render_line(y) for y in range(2)]
        app.screen.selections = {words: Selection(Offset(0, 1), Offset(2, 1))}
        await pilot.pause()
        assert app.screen.get_selected_text() == "tw"
        marked = [words.render_line(y) for y in range(2)]
        assert [line.text.rstrip() for line in marked] == ["one", "two"]
        assert [colours(line) == colours(before) for line, before in zip(marked, plain, strict=True)] == [True, False]


async def test_a_run_shown_bit_by_bit_looks_as_if_shown_at_once(tmp_path: Path) -> None:
    """Each look leaves on the screen exactly what a repaint of all of it would."""
    app = make_app(journal_of(tmp_path))
    async with app.run_test(size=(160, 48)) as pilot:
        view = RunView()
        for steps, events in bits():
            view.update(News(steps, events))
            app._board.show(view)
            await pilot.pause()
            in_pieces = app.screen._compositor.render_strips()
            forget_what_was_drawn(app)
            assert app.screen._compositor.render_strips() == in_pieces
        (tmp_path / "other").mkdir()
        shown_at_once = make_app(journal_of(tmp_path / "other"))
        async with shown_at_once.run_test(size=(160, 48)) as other:
            shown_at_once._board.show(view)
            await other.pause()
            assert shown_at_once.screen._compositor.render_strips() == in_pieces


async def test_another_theme_recolours_all() -> None:
    app = Host(Words(Content.styled("one", "$text-primary")))
    async with app.run_test(size=(20, 3)) as pilot:
        app.theme = "textual-light"
        await pilot.pause()
        in_pieces = app.screen._compositor.render_strips()
        forget_what_was_drawn(app)
        assert app.screen._compositor.render_strips() == in_pieces


async def test_a_new_line_in_the_log_lays_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(journal_of(tmp_path))
    async with app.run_test(size=(160, 48)) as pilot:
        view = fake_view()
        app._board.show(view)
        await pilot.pause()
        laid_out: list[object] = []
        monkeypatch.setattr(type(app.screen), "_refresh_layout", lambda *_, **__: laid_out.append(None))
        for line in fake_log(STEPS) * 20:
            view.update(News([], [line]))
            app._board.show(view)
            await pilot.pause()
        assert not laid_out
        log = app.query_one(LogView)
        assert log.is_vertical_scroll_end
        assert log.max_scroll_y == len(log.rows) - log.size.height > 0
        assert log.vertical_scrollbar.window_virtual_size == len(log.rows)


def colours(strip: Strip) -> list[object]:
    """The background of each cell."""
    return [segment.style and segment.style.bgcolor for segment in strip for _ in segment.text]


def bits() -> Iterator[tuple[list[Step], list[AnyEvent]]]:
    """A run in twenty pieces."""
    steps, events = fake_steps(STEPS), fake_events(STEPS, end=True)
    for piece in range(20):
        first, last = STEPS * piece // 20, STEPS * (piece + 1) // 20
        said = [event for event in events if first <= event.executed < last or (piece == 19 and event.executed >= last)]
        yield steps[first:last], said


def forget_what_was_drawn(app: App[Any]) -> None:
    """Let everything be drawn anew."""
    for widget in app.screen.walk_children(Widget, with_self=True):
        widget._styles_cache.clear()
        if isinstance(widget, TextLines):
            widget._made_for = None
        if isinstance(widget, Chart):
            widget._drawn = None


def test_the_panes_of_text_are_made_of_lines() -> None:
    assert issubclass(Header, TextLines)
    assert issubclass(TipsPane, TextLines)
