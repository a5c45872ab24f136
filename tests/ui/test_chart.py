import numpy as np
import pytest
from textual.app import App, ComposeResult
from textual.containers import Horizontal

from tuitrain.ui import plot
from tuitrain.ui.panes import chart as chart_module
from tuitrain.ui.panes.chart import Chart
from tuitrain.ui.plot import Figure, Series


def figure(n: int = 500) -> Figure:
    x = np.arange(n, dtype=np.float64)
    return Figure([Series("train", x, 2.3 * np.exp(-x / 100) + 0.1, "#56b6c2")])


class Host(App[None]):
    def __init__(self, *charts: Chart) -> None:
        super().__init__()
        self.charts = charts

    def compose(self) -> ComposeResult:
        yield Horizontal(*self.charts)


def screen(app: App[None]) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Figure, int, int]]:
    """The figure and size of every drawing, as they happen."""
    calls: list[tuple[Figure, int, int]] = []

    def spy(figure: Figure, width: int, height: int, **options: bool) -> object:
        calls.append((figure, width, height))
        return plot.draw(figure, width, height, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(chart_module, "draw", spy)
    return calls


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (10, 4), (40, 10), (80, 22), (160, 48)])
async def test_fills_its_place_at_any_size(size: tuple[int, int]) -> None:
    app = Host(Chart("Loss"))
    async with app.run_test(size=size) as pilot:
        app.charts[0].show(figure())
        await pilot.pause()
        rows = screen(app)
        assert [len(row) for row in rows] == [size[0]] * size[1]
        if size[0] >= 40:
            assert "Loss" in rows[0]
            assert "● train" in rows[1]
            assert "┬" in rows[-3]


async def test_says_what_it_waits_for() -> None:
    app = Host(Chart("Loss"))
    async with app.run_test(size=(40, 10)) as pilot:
        assert any("no data yet" in row for row in screen(app))
        app.charts[0].show(Figure(empty="waiting for the first step"))
        await pilot.pause()
        assert any("waiting for the first step" in row for row in screen(app))


async def test_draws_again_only_for_a_new_figure_or_size(drawn: list[tuple[Figure, int, int]]) -> None:
    chart = Chart("Loss")
    app = Host(chart)
    async with app.run_test(size=(60, 20)) as pilot:
        first, second = figure(), figure()
        chart.show(first)
        await pilot.pause()
        drawn.clear()
        chart.show(first)
        chart.refresh()
        await pilot.pause()
        assert drawn == []
        chart.show(second)
        await pilot.pause()
        assert drawn == [(second, 58, 18)]
        await pilot.resize_terminal(70, 16)
        await pilot.pause()
        assert drawn[-1] == (second, 68, 14)
        assert chart.figure is second


async def test_a_hidden_chart_is_not_drawn_until_it_is_seen(drawn: list[tuple[Figure, int, int]]) -> None:
    seen, hidden = Chart("Loss"), Chart("Norm")
    app = Host(seen, hidden)
    async with app.run_test(size=(80, 20)) as pilot:
        hidden.display = False
        await pilot.pause()
        drawn.clear()
        late = figure()
        hidden.show(late)
        await pilot.pause()
        assert late not in [call[0] for call in drawn]
        hidden.display = True
        await pilot.pause()
        assert (late, 38, 18) in drawn


async def test_a_new_theme_reaches_the_labels(drawn: list[tuple[Figure, int, int]]) -> None:
    chart = Chart("Loss")
    app = Host(chart)
    async with app.run_test(size=(60, 20)) as pilot:
        chart.show(figure())
        await pilot.pause()
        dark = chart.render_line(0)
        app.theme = "textual-light"
        await pilot.pause()
        assert [s.text for s in chart.render_line(0)] == [s.text for s in dark]
        assert [s.style for s in chart.render_line(0)] != [s.style for s in dark]


async def test_ascii_and_colourless() -> None:
    app = Host(Chart("Loss", ascii_only=True, colour=False))
    async with app.run_test(size=(60, 20)) as pilot:
        app.charts[0].show(figure())
        await pilot.pause()
        strips = [app.charts[0].render_line(y) for y in range(18)]
        assert all(strip.text.isascii() for strip in strips)
        inks = {segment.style.color for strip in strips for segment in strip if segment.style}
        assert len(inks) == 1
