import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.cells import cell_len
from textual.strip import Strip

from tuitrain.ui.arrays import Floats
from tuitrain.ui.plot import Figure, Marker, Series, Threshold, axes, draw, raster
from tuitrain.ui.plot.plan import MARKS, MARKS_ASCII, TIPS

NAN, INF = float("nan"), float("inf")

values = st.floats(width=64) | st.sampled_from([0.0, -0.0, 5e-324, 1e-300, 1e300, -1e300, 1.7e308, NAN, INF, -INF])
texts = st.text(max_size=25) | st.sampled_from(["train 0.31", "学習 loss", "a\tb\nc", "\x1b[31m", "e\u0301", "👩‍🔬"])


def series(
    y: Sequence[float] | Floats,
    x: Sequence[float] | Floats | None = None,
    name: str = "train",
    colour: str = "cyan",
    *,
    dim: bool = False,
    glyph: Literal["line", "points"] = "line",
    nan: Literal["diverged", "gap"] = "diverged",
) -> Series:
    steps = np.arange(len(y)) if x is None else x
    return Series(name, np.asarray(steps, np.float64), np.asarray(y, np.float64), colour, dim, glyph, nan)


@st.composite
def some_series(draw_: st.DrawFn) -> Series:
    y = draw_(st.lists(values, max_size=40))
    gaps = draw_(st.lists(st.floats(0, 1e6), min_size=len(y), max_size=len(y)))
    x = draw_(st.sampled_from([0.0, 1.0, -50.0, 1e6, 1e15])) + np.cumsum(np.asarray(gaps, np.float64))
    return series(
        y,
        x,
        draw_(texts),
        dim=draw_(st.booleans()),
        glyph="line" if draw_(st.booleans()) else "points",
        nan="gap" if draw_(st.booleans()) else "diverged",
    )


figures = st.builds(
    Figure,
    series=st.lists(some_series(), max_size=4),
    markers=st.lists(st.builds(Marker, x=st.floats(0, 2e6) | values, label=texts), max_size=6),
    thresholds=st.lists(st.builds(Threshold, y=values, label=texts), max_size=2),
    y_log=st.sampled_from(["auto", True, False]),
    x_label=texts,
    title=texts,
    empty=texts,
)


def strips_of(figure: Figure, width: int, height: int, *, ascii_only: bool = False, colour: bool = True) -> list[Strip]:
    return draw(figure, width, height, ascii_only=ascii_only, colour=colour)


def picture(figure: Figure, width: int, height: int, **options: bool) -> list[str]:
    return [strip.text.rstrip() for strip in strips_of(figure, width, height, **options)]


def canvas(figure: Figure, width: int = 40, height: int = 12, **options: bool) -> list[str]:
    """The cells right of the y axis, without legend and ticks."""
    rows = strips_of(figure, width, height, **options)[1:-2]
    return [row.text[6:] for row in rows]


def ink(strips: Sequence[Strip]) -> str:
    return "".join(strip.text for strip in strips).replace(" ", "")


class TestAnyFigureAtAnySize:
    @settings(deadline=None, max_examples=300)
    @given(figures, st.integers(1, 90), st.integers(1, 30), st.booleans(), st.booleans())
    @example(Figure([series([1.0])]), 1, 1, False, True)
    @example(Figure([series([NAN] * 3)]), 80, 20, False, True)
    @example(Figure([series([1e300, -1e300])]), 80, 20, True, False)
    @example(Figure([series([5e-324, 1.7e308])], y_log=True), 80, 20, False, True)
    def test_fills_exactly_the_cells_it_was_given(
        self, figure: Figure, width: int, height: int, ascii_only: bool, colour: bool
    ) -> None:
        strips = draw(figure, width, height, ascii_only=ascii_only, colour=colour)
        assert len(strips) == height
        for strip in strips:
            assert strip.cell_length == width
            assert cell_len(strip.text) == width
            assert sum(cell_len(segment.text) for segment in strip) == width
            assert strip.text.isprintable()
            assert strip.text.isascii() or not ascii_only

    @settings(deadline=None, max_examples=50)
    @given(figures, st.integers(1, 60), st.integers(1, 20))
    def test_without_colour_no_cell_has_one(self, figure: Figure, width: int, height: int) -> None:
        segments = [segment for strip in draw(figure, width, height, colour=False) for segment in strip]
        assert all(segment.style is None or segment.style.color is None for segment in segments)

    @pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 3), (5, 0), (-1, -1)])
    def test_no_room_is_no_error(self, width: int, height: int) -> None:
        strips = draw(Figure([series([1, 2])]), width, height)
        assert [strip.cell_length for strip in strips] == [0] * max(height, 0)

    def test_is_the_same_each_time(self) -> None:
        figure = Figure([series([3, 1, 2])], [Marker(1, "lr")])
        assert picture(figure, 50, 12) == picture(figure, 50, 12)


class TestPictures:
    def test_falling_line(self) -> None:
        assert picture(Figure([series([4, 3, 2, 1, 0], name="loss 0.0")]), 24, 9) == [
            "    ● loss 0.0",
            "  4┤⠉⠢⢄⡀",
            "   │   ⠈⠒⠤⣀",
            "  2┤       ⠑⠢⢄",
            "   │          ⠉⠒⢄⡀",
            "   │             ⠈⠒⠤⡀",
            "  0┤                ⠈⠑⠢●",
            "   └┬─────────┬────────┬",
            "    0         2        4",
        ]

    def test_spike_threshold_and_marker_in_ascii(self) -> None:
        figure = Figure(
            [series([1.0] * 30 + [9.0] + [1.0] * 30, name="before", dim=True), series([0.5] * 61, name="after")],
            [Marker(40, "clip on")],
            [Threshold(3.0, "max 3")],
            y_log=False,
        )
        assert picture(figure, 46, 11, ascii_only=True) == [
            "      . before   * after   - max 3",
            "                                clip on",
            "     |                   .      :",
            "     |                   ..     :",
            "     |                   ..     :",
            "    5|                   ..     :",
            "     |----------------------------------------",
            "     |                   ..     :",
            "    0|****************************************",
            "     ++------------+------------+------------+",
            "step  0            20           40          60",
        ]

    def test_divergence(self) -> None:
        y = [2.0, 4.0, 8.0, 16.0, 32.0, 300.0, INF, INF, NAN, NAN]
        assert picture(Figure([series(y, name="loss")], title="Loss"), 40, 10) == [
            "      Loss   ● loss inf NaN",
            "     │                ⢠●  ▲  ▲   ×  ×",
            "  100┤               ⡠⠃",
            "     │              ⡰⠁",
            "     │          ⢀⡠⠔⠊",
            "   10┤      ⢀⡠⠔⠊⠁",
            "     │  ⢀⡠⠔⠊⠁",
            "     │⠔⠊⠁",
            "     └┬────────────────┬───────────────┬",
            "step  0                5              10",
        ]

    def test_nothing_yet(self) -> None:
        assert picture(Figure(empty="waiting for data"), 20, 3) == ["", "  waiting for data", ""]
        assert picture(Figure([series([])], empty="waiting for data"), 9, 4) == ["", " waiting", "for data", ""]

    def test_one_point(self) -> None:
        rows = picture(Figure([series([2.5])]), 40, 8)
        assert sum(row.count("●") for row in rows[1:]) == 1

    def test_constant_is_a_level_line_in_the_middle(self) -> None:
        rows = canvas(Figure([series([7.0] * 50)]), height=12)
        drawn = [index for index, row in enumerate(rows) if row.strip()]
        assert drawn == [4]

    def test_degrades_legend_then_ticks_then_axes(self) -> None:
        figure = Figure([series(range(10))])
        five, four, three, two = (ink(draw(figure, 30, height)) for height in (5, 4, 3, 2))
        assert "train" in five
        assert "train" not in four
        assert "┬" in four
        assert "┬" not in three
        assert "└" in three
        assert "└" not in two
        assert two


class TestSpikes:
    @settings(deadline=None, max_examples=30)
    @given(st.integers(0, 99_999), st.integers(10, 120))
    def test_a_single_spike_reaches_the_top(self, where: int, width: int) -> None:
        y = np.ones(100_000)
        y[where] = 50.0
        top = draw(Figure([series(y)], y_log=False), width, 2)[0].text
        assert top.strip()
        first = len(top) - len(top.lstrip())
        assert abs(first - where / 100_000 * (width - 1)) <= 1

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=500), st.integers(2, 80))
    def test_columns_hold_the_extremes_and_the_ends(self, y: list[float], dots: int) -> None:
        x = np.arange(len(y), dtype=np.float64)
        columns = raster.reduce(x, np.asarray(y), axes.step_axis(0, len(y) - 1, 5), dots)
        assert columns.low.min() == min(y)
        assert columns.high.max() == max(y)
        assert (columns.first[0], columns.last[-1]) == (y[0], y[-1])
        assert np.all(np.diff(columns.column) > 0)

    @settings(deadline=None, max_examples=100)
    @given(st.lists(values, max_size=300), st.integers(1, 60), st.booleans())
    def test_decimation_agrees_with_a_loop(self, y: list[float], dots: int, positive: bool) -> None:
        axis = axes.step_axis(0, max(len(y) - 1, 0), 5)
        found = raster.reduce(
            np.arange(len(y), dtype=np.float64), np.asarray(y, np.float64), axis, dots, positive=positive
        )
        groups: dict[int, list[float]] = {}
        width = (axis.hi - axis.lo) / max(dots - 1, 1)
        edges = axis.lo + (np.arange(1, dots) - 0.5) * width
        for step, value in enumerate(y):
            groups.setdefault(int((edges <= step).sum()), []).append(value)
        shown = {
            column: kept
            for column, group in groups.items()
            if (kept := [v for v in group if abs(v) <= raster.BOUND and (v >= raster.TINY or not positive)])
        }
        assert found.column.tolist() == list(shown)
        assert found.low.tolist() == [min(group) for group in shown.values()]
        assert found.high.tolist() == [max(group) for group in shown.values()]
        assert found.first.tolist() == [group[0] for group in shown.values()]
        assert found.last.tolist() == [group[-1] for group in shown.values()]
        assert found.undefined.tolist() == [c for c, group in groups.items() if any(v != v for v in group)]
        assert found.above.tolist() == [c for c, group in groups.items() if max_or(group) > raster.BOUND]

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=200), st.integers(2, 60), st.integers(1, 20))
    def test_a_line_without_gaps_is_unbroken(self, y: list[float], columns: int, rows: int) -> None:
        x_axis = axes.step_axis(0, len(y) - 1, 5)
        data = raster.reduce(np.arange(len(y), dtype=np.float64), np.asarray(y), x_axis, columns)
        dots = raster.line_dots(data, axes.value_axis(min(y), max(y), 5), columns, rows * 4)
        spans = [np.flatnonzero(dots[:, column]) for column in range(data.column[0], data.column[-1] + 1)]
        assert all(len(span) and span[-1] - span[0] == len(span) - 1 for span in spans)
        assert all(left[0] - 1 <= right[-1] and right[0] - 1 <= left[-1] for left, right in pairwise(spans))


def max_or(group: list[float]) -> float:
    return max((v for v in group if v == v), default=-INF)


class TestWhatCannotBeDrawn:
    @pytest.mark.parametrize(("value", "mark", "word"), [(INF, "▲", "inf"), (NAN, "×", "NaN"), (1e305, "▲", "inf")])
    def test_divergence_is_marked_at_the_top_and_named(self, value: float, mark: str, word: str) -> None:
        strips = draw(Figure([series([1.0, 2.0] * 10 + [value] * 10)], y_log=False), 60, 12)
        assert f"train {word}" in strips[0].text
        assert mark in strips[1].text
        assert not any(mark in strip.text for strip in strips[2:])

    def test_minus_infinity_is_marked_at_the_bottom(self) -> None:
        strips = draw(Figure([series([1.0, 2.0, -INF, 1.0])]), 60, 12)
        assert "train -inf" in strips[0].text
        assert "▼" in strips[-3].text

    def test_ascii_has_its_own_marks(self) -> None:
        strips = draw(Figure([series([1.0, INF, NAN])]), 60, 12, ascii_only=True)
        assert "train inf NaN" in strips[0].text
        assert "^" in strips[1].text
        assert "!" in strips[1].text

    def test_nothing_but_nan(self) -> None:
        strips = draw(Figure([series([NAN] * 5)]), 60, 12)
        assert "NaN" in strips[0].text
        assert "×" in strips[1].text

    def test_a_gap_breaks_the_line_and_is_not_marked(self) -> None:
        y = [1.0] * 20 + [NAN] * 20 + [1.0] * 20
        strips = draw(Figure([series(y, nan="gap")]), 66, 12)
        assert "NaN" not in strips[0].text
        assert "×" not in ink(strips)
        [row] = [strip.text[6:] for strip in strips[1:-2] if strip.text[6:].strip()]
        assert row[:19].strip()
        assert not row[22:38].strip()
        assert row[41:59].strip()

    def test_zero_on_a_logarithmic_axis(self) -> None:
        strips = draw(Figure([series([1.0, 0.1, 0.01, 0.0, -1.0])], y_log=True), 60, 12)
        assert "train ≤0" in strips[0].text
        assert "▼" in strips[-3].text

    def test_log_without_positive_values_is_linear(self) -> None:
        strips = draw(Figure([series([-1.0, -2.0])], y_log=True), 60, 12)
        assert any("-2.0" in strip.text or "-2" in strip.text for strip in strips)
        assert "●" in ink(strips[1:])

    def test_one_nan_among_many_keeps_the_rest(self) -> None:
        whole = np.linspace(1, 2, 1000)
        holed = whole.copy()
        holed[500] = NAN
        expected, found = (canvas(Figure([series(y)]), 60) for y in (whole, holed))
        differing = {
            column for a, b in zip(expected, found, strict=True) for column in range(54) if a[column] != b[column]
        }
        assert differing == {27}


class TestAxes:
    @pytest.mark.parametrize(
        ("values_", "step", "labels"),
        [
            ([0, 500, 1000, 1500], 500, ["0", "500", "1k", "1.5k"]),
            ([0, 10_000, 20_000], 10_000, ["0", "10k", "20k"]),
            ([1_000_020, 1_000_040], 20, ["1000.02k", "1000.04k"]),
            ([0, 2e6], 2e6, ["0", "2M"]),
            ([0, 0.25, 0.5], 0.25, ["0.00", "0.25", "0.50"]),
            ([-0.2, 0, 0.2], 0.2, ["-0.2", "0.0", "0.2"]),
            ([0, 1e-3, 2e-3], 1e-3, ["0", "1e-3", "2e-3"]),
            ([1e12], 1e12, ["1e12"]),
        ],
    )
    def test_labels(self, values_: list[float], step: float, labels: list[str]) -> None:
        assert axes.tick_labels(values_, step) == labels

    @settings(deadline=None, max_examples=300)
    @given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300), st.integers(2, 12), st.booleans())
    def test_limits_hold_the_data_and_labels_differ(self, a: float, b: float, count: int, log: bool) -> None:
        low, high = sorted((a, b))
        if log:
            low, high = sorted((max(abs(a), raster.TINY), max(abs(b), raster.TINY)))
        axis = axes.log_axis(low, high) if log else axes.value_axis(low, high, count)
        assert axis.lo < axis.hi
        raw = [(np.log10(v) if log else v) for v in (low, high)]
        slack = 1e-6 * (axis.hi - axis.lo)
        assert axis.lo - slack <= raw[0] <= raw[1] <= axis.hi + slack
        ticks = axes.value_ticks(axis, count)
        assert len({tick.label for tick in ticks}) == len(ticks) >= 1

    @settings(deadline=None, max_examples=200)
    @given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(2, 20))
    def test_steps_are_whole_and_labels_differ(self, first: int, length: int, count: int) -> None:
        axis = axes.step_axis(first, first + length, count)
        ticks = axes.step_ticks(axis, count)
        assert axis.lo <= first <= first + length <= axis.hi
        assert all(tick.value == round(tick.value) for tick in ticks)
        assert len({tick.label for tick in ticks}) == len(ticks) >= 1

    def test_the_frame_stays_while_steps_come_in(self) -> None:
        frames = {axes.step_axis(1, last, 8) for last in range(10_000, 20_000)}
        assert len(frames) < 60

    @pytest.mark.parametrize(
        ("y", "log"),
        [
            ([2.3, 0.01], True),
            ([2.3, 0.1], False),
            ([2.3, 0.01, -0.1], False),
            ([2.3, 0.01, 0.0], True),
            ([1, 0], False),
        ],
    )
    def test_auto_scale(self, y: list[float], log: bool) -> None:
        figure, explicit = Figure([series(y)]), Figure([series(y)], y_log=log)
        assert picture(figure, 60, 14) == picture(explicit, 60, 14)

    @pytest.mark.parametrize("size", [(40, 9), (57, 13), (80, 20), (133, 41)])
    @pytest.mark.parametrize("value", [0.0, 20.0, 40.0])
    def test_a_tick_stands_beside_its_value(self, size: tuple[int, int], value: float) -> None:
        strips = draw(Figure([series([0, 40], dim=True), series([value] * 2)], y_log=False), *size)
        [row] = [strip.text for strip in strips if strip.text.lstrip().startswith(f"{value:.0f}┤")]
        assert "●" in row

    @pytest.mark.parametrize("columns", range(34, 200, 7))
    def test_every_step_tick_lands_on_its_cell(self, columns: int) -> None:
        axis_row = draw(Figure([series([0, 1], x=[0, 100])]), columns + 6, 9)[-2].text[6:]
        axis = axes.step_axis(0, 100, columns // 10)
        expected = [(axis.slot(tick.value, columns * 2) or 0) // 2 for tick in axes.step_ticks(axis, columns // 10)]
        assert [cell for cell, character in enumerate(axis_row) if character == "┬"] == expected


class TestReferences:
    def test_labels_of_markers_do_not_overlap(self) -> None:
        markers = [Marker(x, f"change {x}") for x in (10, 12, 14, 50, 99)]
        strips = draw(Figure([series(range(100))], markers), 60, 14)
        words = strips[1].text.split("  ")
        assert "change 99" in strips[1].text
        assert all(word.strip().startswith("c") for word in words if word.strip())

    def test_labels_stand_at_their_lines(self) -> None:
        strips = draw(Figure([series([0.0] * 101)], [Marker(50, "lr 3e-4")]), 60, 14)
        column = strips[1].text.index("lr 3e-4")
        assert strips[2].text[column] in "⠅⠨"

    def test_markers_outside_are_not_drawn(self) -> None:
        assert "gone" not in ink(draw(Figure([series([1, 2])], [Marker(-5, "gone"), Marker(NAN, "gone")]), 60, 14))

    @pytest.mark.parametrize("ascii_only", [False, True])
    def test_threshold_is_within_the_limits_and_named(self, ascii_only: bool) -> None:
        figure = Figure([series([0.2, 0.3])], thresholds=[Threshold(1.0, "max norm 1.0")])
        strips = draw(figure, 60, 14, ascii_only=ascii_only)
        assert "max norm 1.0" in strips[0].text
        assert any(strip.text[6:].count("-" if ascii_only else "⠁") > 40 for strip in strips[1:4])


class TestTellingApart:
    def several(self) -> Figure:
        lines = [series([float(i)] * 20, name=f"line {i}", colour="red") for i in range(4)]
        return Figure([series([4.0] * 20, name="raw", dim=True), *lines, series([5.0], name="dots", glyph="points")])

    @pytest.mark.parametrize(
        ("options", "marks"),
        [({}, TIPS), ({"colour": False}, MARKS), ({"ascii_only": True}, MARKS_ASCII)],
    )
    def test_each_series_has_its_mark_in_the_legend_and_in_the_data(self, options: dict[str, bool], marks: str) -> None:
        strips = strips_of(self.several(), 100, 20, **options)
        names = [f"line {i}" for i in range(4)] + ["dots"]
        for mark, name in zip(marks, names, strict=False):
            assert f"{mark} {name}" in strips[0].text
            assert mark in ink(strips[1:-2])

    @pytest.mark.parametrize("options", [{"colour": False}, {"ascii_only": True}])
    def test_lines_without_colour_are_made_of_their_marks(self, options: dict[str, bool]) -> None:
        rows = ["".join(sorted(set(row.replace(" ", "")))) for row in canvas(self.several(), 100, 20, **options)]
        assert len({row for row in rows if row}) == 6

    def test_the_faint_series_leaves_the_legend_first(self) -> None:
        figure = Figure([series([1, 2], name="raw", dim=True), series([1, 2], name="smooth 0.123")])
        assert "raw" in draw(figure, 40, 10)[0].text
        assert draw(figure, 20, 10)[0].text.strip() == "● smooth 0.123"

    def test_names_shrink_to_a_word_before_they_go(self) -> None:
        figure = Figure([series([1, 2], name="train 0.1234"), series([1, 2], name="validation 0.2345")])
        assert draw(figure, 24, 10)[0].text.strip() == "● train ◆ validation"

    def test_divergence_is_still_named_beside_a_shortened_name(self) -> None:
        figure = Figure([series([1, INF], name="train 0.1234"), series([1, 2], name="validation 0.2345")])
        assert draw(figure, 26, 10)[0].text.strip() == "● train inf ◆ validation"

    def test_later_series_lie_on_top(self) -> None:
        figure = Figure([series([1.0] * 9, colour="red"), series([1.0] * 9, colour="green")])
        colours = {s.style.color.name for row in draw(figure, 40, 3) for s in row if s.style and s.style.color}
        assert colours == {"green"}


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        (np.zeros(2), np.zeros(3), "shape"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "shape"),
        (np.zeros(2, np.float32), np.zeros(2), "float64"),
        (np.array([0.0, NAN]), np.zeros(2), "finite"),
    ],
)
def test_wrong_arrays_are_refused(x: NDArray[Any], y: NDArray[Any], reason: str) -> None:
    with pytest.raises(ValueError, match=rf"series 'loss': .*{reason}"):
        Series("loss", x, y, "red")


def test_plotext_is_imported_with_the_first_axes_only() -> None:
    code = (
        "import sys, tuitrain.ui.plot as p; p.draw(p.Figure(), 80, 20); assert 'plotext' not in sys.modules;"
        "import numpy as np; p.draw(p.Figure([p.Series('a', np.zeros(1), np.zeros(1), 'red')]), 80, 20);"
        "assert 'plotext' in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
