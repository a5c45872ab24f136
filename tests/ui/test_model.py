"""The model pane: what shows, what is folded, what is said of each row, at every width."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style
from textual.app import App, ComposeResult

from tests.ui.fake_run import fake_norms, fake_tree, fake_view
from tuitrain.record.events import GradientNorms, ModuleRow, ModuleTree
from tuitrain.record.state import RunView
from tuitrain.ui.glyphs import ASCII, UNICODE, Glyphs
from tuitrain.ui.model_cells import Table
from tuitrain.ui.outline import Outline
from tuitrain.ui.panes.model import ModelPane


class PaneApp(App[None]):
    def __init__(self, glyphs: Glyphs = UNICODE) -> None:
        super().__init__()
        self.pane = ModelPane(glyphs=glyphs)

    def compose(self) -> ComposeResult:
        yield self.pane


def lines(pane: ModelPane) -> list[str]:
    """What the pane shows, line by line."""
    return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]


def line_of(pane: ModelPane, word: str) -> str:
    """The one line on the screen that begins with this word, fold sign aside."""
    (line,) = (line for line in lines(pane) if line.lstrip(" ▸▾+-").startswith(word))
    return line


def style_of(pane: ModelPane, text: str) -> Style:
    """How a piece of text on the screen is drawn."""
    segments = [segment for y in range(pane.size.height) for segment in pane.render_line(y)]
    return next(segment.style for segment in segments if text in segment.text and segment.style)


def big_tree(blocks: int, layers: int) -> ModuleTree:
    """A model of many modules: a row for the model, for each block, each layer and each weight."""
    rows = [ModuleRow(path="", kind="module", type="Big", training=True)]
    for block in range(blocks):
        rows.append(ModuleRow(path=f"b{block}", kind="module", type="Block", training=True))
        for layer in range(layers):
            rows.append(ModuleRow(path=f"b{block}.l{layer}", kind="module", type="Linear", training=True))
            rows.append(ModuleRow(path=f"b{block}.l{layer}.weight", kind="parameter", type="Parameter", count=1))
    return ModuleTree(rows=tuple(rows))


FIRST_PATHS = ["", "conv1", "bn", "conv2", "dropout", "fc1", "fc2", "decoder", "blocks[0]"]


async def test_it_says_of_each_row_what_it_is_and_what_is_unusual() -> None:
    app = PaneApp()
    async with app.run_test(size=(120, 20)) as pilot:
        app.pane.show(fake_view())
        await pilot.pause()
        assert app.pane.shown_paths == FIRST_PATHS
        assert lines(app.pane)[0].split() == [
            "module", "type", "shape", "params", "dtype", "device", "mode", "‖g‖",
        ]  # fmt: skip
        assert line_of(app.pane, "Net").split() == ["▾", "Net", "21,860", "train", "0.74"]
        assert line_of(app.pane, "bn").split() == ["▸", "bn", "BatchNorm2d", "20", "eval", "0.25"]
        assert line_of(app.pane, "conv2").endswith("frozen")
        assert line_of(app.pane, "fc1").endswith("not in optimizer")
        assert line_of(app.pane, "decoder").split()[:4] == ["decoder", "Parameter", "10×50", "500"]
        assert line_of(app.pane, "decoder").endswith("tied to fc2.weight")
        assert line_of(app.pane, "blocks[0]").endswith("✗ not registered, used")
        assert app.pane.border_subtitle == "21,860 parameters, 2,550 not registered"


async def test_what_is_not_registered_is_red_and_says_so_in_words_at_any_width() -> None:
    for width in (120, 80, 40, 34):
        app = PaneApp()
        async with app.run_test(size=(width, 20)) as pilot:
            app.pane.show(fake_view())
            await pilot.pause()
            error = app.pane.get_component_rich_style("model--loose").color
            assert style_of(app.pane, "not registered").color == error
            assert style_of(app.pane, "blocks").color == error
            assert style_of(app.pane, "conv1").color != error


async def test_what_is_not_registered_shows_even_when_all_is_folded_and_the_parent_counts_it() -> None:
    app = PaneApp()
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(fake_view())
        app.pane.focus()
        await pilot.press("enter")
        assert app.pane.shown_paths == ["", "blocks[0]"]
        assert line_of(app.pane, "Net").endswith("✗ 1 not registered")
        await pilot.press("enter")
        assert app.pane.shown_paths == FIRST_PATHS
        assert "not registered" not in line_of(app.pane, "Net")


async def test_keys_move_fold_and_unfold() -> None:
    app = PaneApp()
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(fake_view())
        app.pane.focus()
        await pilot.press("down")
        assert app.pane.cursor_path == "conv1"
        await pilot.press("right")
        assert app.pane.shown_paths[1:5] == ["conv1", "conv1.weight", "conv1.bias", "bn"]
        await pilot.press("right", "down")
        assert app.pane.cursor_path == "conv1.bias"
        await pilot.press("enter")
        assert app.pane.cursor_path == "conv1.bias"
        await pilot.press("left")
        assert app.pane.cursor_path == "conv1"
        await pilot.press("left")
        assert app.pane.shown_paths == FIRST_PATHS
        await pilot.press("left")
        assert app.pane.cursor_path == ""
        await pilot.press("up")
        assert app.pane.cursor_path == ""
        await pilot.press("end")
        assert app.pane.cursor_path == "blocks[0]"
        await pilot.press("pageup")
        assert app.pane.cursor_path == ""
        await pilot.press("pagedown")
        assert app.pane.cursor_path == "blocks[0]"


async def test_a_click_folds_the_row_it_hits() -> None:
    app = PaneApp()
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(fake_view())
        await pilot.pause()
        row = next(y for y, line in enumerate(lines(app.pane)) if "conv1" in line)
        await pilot.click(app.pane, offset=(6, row + 1))  # below the border
        assert app.pane.cursor_path == "conv1"
        assert "conv1.weight" in app.pane.shown_paths
        shown = app.pane.shown_paths
        await pilot.click(app.pane, offset=(6, 1))
        await pilot.click(app.pane, offset=(6, 17))
        assert app.pane.shown_paths == shown


async def test_new_norms_leave_folding_and_cursor_and_rebuild_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = PaneApp()
    view = fake_view()
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(view)
        app.pane.focus()
        await pilot.press("down", "enter", "down")
        shown, cursor = app.pane.shown_paths, app.pane.cursor_path
        monkeypatch.setattr("tuitrain.ui.panes.model.Outline", None)
        view.gradient_norms = fake_norms(scale=10.0)
        app.pane.show(view)
        await pilot.pause()
        assert (app.pane.shown_paths, app.pane.cursor_path) == (shown, cursor)
        assert line_of(app.pane, "Net").endswith("7.42")


async def test_a_new_tree_keeps_folding_and_cursor_by_path_and_unfolds_what_is_new() -> None:
    app = PaneApp()
    view = fake_view()
    async with app.run_test(size=(100, 30)) as pilot:
        app.pane.show(view)
        app.pane.focus()
        await pilot.press("down", "down", "enter")
        assert app.pane.cursor_path == "bn"
        rows = [row for row in fake_tree().rows if row.registered and not row.path.startswith("conv1")]
        blocks = [
            ModuleRow(path=path, kind="module", type="Linear", training=True)
            for path in ("blocks", "blocks.0", "blocks.0.inner")
        ]
        view.tree = ModuleTree(rows=(*rows, *blocks))
        app.pane.show(view)
        await pilot.pause()
        assert app.pane.cursor_path == "bn"
        assert "bn.weight" in app.pane.shown_paths
        assert "fc1.weight" not in app.pane.shown_paths
        assert app.pane.shown_paths[-3:] == ["blocks", "blocks.0", "blocks.0.inner"]
        assert app.pane.border_subtitle == "21,860 parameters"


async def test_columns_go_as_the_room_does_and_no_line_is_too_long() -> None:
    for width in range(1, 140, 3):
        app = PaneApp()
        async with app.run_test(size=(width, 16)) as pilot:
            app.pane.show(fake_view())
            await pilot.pause()
            room = app.pane.scrollable_content_region.width
            assert {app.pane.render_line(y).cell_length for y in range(app.pane.size.height)} <= {room}
            titles = lines(app.pane)[0].split() if lines(app.pane) else []
            assert ("device" in titles) <= ("params" in titles)


@pytest.mark.parametrize("height", [1, 2, 3, 4, 6])
async def test_every_row_can_be_reached_at_any_height(height: int) -> None:
    app = PaneApp()
    async with app.run_test(size=(80, height)) as pilot:
        app.pane.show(fake_view())
        app.pane.focus()
        await pilot.pause()
        for path in FIRST_PATHS[1:]:
            await pilot.press("down")
            assert app.pane.cursor_path == path
            if app.pane.size.height:
                assert any(path in line for line in lines(app.pane))


async def test_only_the_lines_on_the_screen_are_made_of_a_model_of_20_000_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = big_tree(50, 200)
    made: list[int] = []
    line = Table.line

    def counting(table: Table, index: int, *args: object, **options: object) -> object:
        made.append(index)
        return line(table, index, *args, **options)  # type: ignore[arg-type]

    app = PaneApp()
    view = RunView()
    view.tree = tree
    async with app.run_test(size=(100, 30)) as pilot:
        app.pane.show(view)
        app.pane.focus()
        await pilot.pause()
        assert len(tree.rows) == 20_051
        assert len(app.pane.shown_paths) == 51  # the blocks, folded
        monkeypatch.setattr(Table, "line", counting)
        await pilot.press("down", "enter", "end")
        assert app.pane.cursor_path == "b49"
        assert len(app.pane.shown_paths) == 251
        assert 0 < len(made) <= 30 * 10
        assert max(made) == tree.rows.index(next(row for row in tree.rows if row.path == "b49"))


async def test_the_totals_are_said_as_far_as_there_is_room() -> None:
    totals = {}
    for width in (60, 40, 20):
        app = PaneApp()
        async with app.run_test(size=(width, 16)) as pilot:
            app.pane.show(fake_view())
            await pilot.pause()
            totals[width] = app.pane.border_subtitle
    assert totals == {60: "21,860 parameters, 2,550 not registered", 40: "2,550 not registered", 20: ""}


async def test_before_there_is_a_model_it_says_so() -> None:
    app = PaneApp()
    async with app.run_test(size=(60, 10)) as pilot:
        app.pane.show(RunView())
        app.pane.focus()
        await pilot.press("down", "enter", "left", "right", "end", "pagedown")
        assert lines(app.pane)[0] == "no model yet"
        assert app.pane.cursor_path is None


async def test_ascii_mode_uses_ascii_alone() -> None:
    app = PaneApp(ASCII)
    async with app.run_test(size=(110, 20)) as pilot:
        app.pane.show(fake_view())
        await pilot.pause()
        assert "".join(lines(app.pane)).isascii()
        assert line_of(app.pane, "blocks[0]").startswith("  + blocks")


async def test_a_norm_that_is_not_finite_is_shown_as_that_up_to_the_root() -> None:
    app = PaneApp()
    view = fake_view()
    view.gradient_norms = GradientNorms(norms={"fc2.weight": math.nan, "fc1.weight": 2.0})
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(view)
        await pilot.pause()
        assert line_of(app.pane, "Net").split()[-1] == "nan"
        assert line_of(app.pane, "fc2").split()[-1] == "nan"
        assert "2.00" in line_of(app.pane, "fc1")
        assert line_of(app.pane, "conv1").split()[-1] == "train"


def test_the_norm_of_a_module_is_that_of_all_its_parameters_each_counted_once() -> None:
    outline = Outline(fake_tree().rows)
    norms = outline.norms({"fc1.weight": 3.0, "fc1.bias": 4.0, "fc2.weight": 12.0, "decoder": 100.0, "gone": 9.0})
    by_path = dict(zip((row.path for row in outline.rows), norms, strict=True))
    assert by_path["fc1"] == pytest.approx(5.0)
    assert by_path[""] == pytest.approx(13.0)
    assert by_path["decoder"] is None
    assert by_path["conv1"] is None


def test_small_norms_are_exact_beside_huge_ones() -> None:
    outline = Outline(fake_tree().rows)
    norms = outline.norms({"conv1.weight": 1e12, "fc2.weight": 1e-6})
    by_path = dict(zip((row.path for row in outline.rows), norms, strict=True))
    assert by_path["fc2"] == pytest.approx(1e-6)


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), max_size=20), st.data())
def test_folding_hides_what_is_below_and_nothing_else(places: list[list[str]], data: st.DataObject) -> None:
    paths = sorted({"", *(".".join(place[:depth]) for place in places for depth in range(1, len(place) + 1))})
    registered = {path: not path or data.draw(st.booleans()) for path in paths}
    rows = [
        ModuleRow(
            path=path,
            kind="module",
            type="M",
            registered=all(registered[other] for other in paths if path == other or path.startswith(f"{other}.")),
        )
        for path in paths
    ]
    unfolded = set(data.draw(st.lists(st.sampled_from(paths))))
    outline = Outline(rows)
    visible = {rows[index].path for index in outline.visible(unfolded)}
    loose = {row.path for row in rows if not row.registered}
    for index, path in enumerate(paths):
        above = []
        while (index := outline.parents[index]) >= 0:
            above.append(paths[index])
        assert above == [
            other for other in reversed(paths) if other != path and (not other or path.startswith(f"{other}."))
        ]
        if path in loose:  # those above it that are registered hide nothing
            above = [other for other in above if other in loose]
        assert (path in visible) == all(other in unfolded for other in above)
