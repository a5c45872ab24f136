"""The screen of a script: no number is made up, what cannot be had is said with its reason, nothing stays pending."""

import math
from pathlib import Path

import msgspec
import pytest

from tests.ui.fake_run import fake_view
from tests.ui.fake_script import BARS, NO_LOADER, PER_EPOCH, capabilities, script_journal, script_run, script_view
from tests.ui.screen_run import RecordingLink, fake_journal, journal_of, make_app, screen_text
from tuitrain.record.events import Capabilities, Capability, Status, Step, Switches, TipReport, Validation
from tuitrain.record.journal import News
from tuitrain.record.state import RunView
from tuitrain.ui import facts
from tuitrain.ui.capability_screen import CapabilityScreen, capability_lines
from tuitrain.ui.figures import gradient_figure, loss_figure
from tuitrain.ui.glyphs import ASCII
from tuitrain.ui.keymap import KEYS, TIP_ROWS, keys_of
from tuitrain.ui.panes.header import first_line, second_line
from tuitrain.ui.panes.line import one_line
from tuitrain.ui.panes.tips import tip_lines
from tuitrain.ui.script_keys import keys_for

STEP = Step(
    executed=1, step=1, epoch=0, loss=math.nan, norm_before=1.0, norm_after=1.0, max_norm=math.nan, lr=0.1,
    accuracy=math.nan, overfit=False,
)  # fmt: skip


def text_of(rows: Capabilities, width: int) -> str:
    return "\n".join(line.plain for line in capability_lines(rows.rows, width))


# ---------------------------------------------------------------------- the numbers


def test_what_a_script_does_not_say_is_not_made_up() -> None:
    view = script_view()
    line = first_line(view, "name", 160).plain
    assert "epoch 3 " in line
    assert "step 640 " in line
    assert "ETA" not in line
    assert "elapsed 0:02" in line
    assert "/" not in line.replace("it/s", "")
    assert math.isnan(facts.seconds_left(view))
    assert facts.whereabouts(view) == "The run is at step 640."


def test_the_bar_is_of_the_epoch_where_its_length_is_known() -> None:
    view = script_view()
    epoch, share = facts.epoch_progress(view)
    assert epoch == 3
    assert share == pytest.approx(40 / PER_EPOCH)
    view.update(News([], [script_run(steps_per_epoch=0)]))
    epoch, share = facts.epoch_progress(view)
    assert (epoch, math.isnan(share)) == (3, True)
    assert not set("━─") & set(first_line(view, "name", 160).plain)


def test_no_epoch_is_shown_where_there_is_none() -> None:
    view = RunView()
    view.update(News([STEP], [script_run(steps_per_epoch=0)]))
    assert "epoch" not in first_line(view, "name", 160).plain
    assert "step 1 " in first_line(view, "name", 160).plain


def test_a_loss_that_is_not_seen_is_no_nan() -> None:
    view = RunView()
    view.update(News([STEP], [script_run(), Status(state="running"), capabilities(without=["loss"])]))
    assert "loss" not in second_line(view, 160).plain
    assert loss_figure(view).series == []
    assert loss_figure(view).empty == "no loss is seen: i says why"
    view.update(News([], [capabilities(), Status(state="running")]))
    assert "loss nan" in second_line(view, 160).plain


def test_a_norm_that_is_not_seen_is_said_so() -> None:
    view = RunView()
    unseen = msgspec.structs.replace(STEP, norm_before=math.nan, norm_after=math.nan)
    view.update(News([unseen], [script_run(), capabilities(off=True)]))
    assert gradient_figure(view).empty == "no gradient norm is seen: i says why"
    assert not gradient_figure(view).series


def test_a_validation_without_an_accuracy_shows_its_loss() -> None:
    view = script_view()
    view.update(News([], [Validation(
        executed=640, epoch=2, mode="eval", loss=0.25, accuracy=math.nan, samples=10, seconds=0.1, cause="epoch",
    )]))  # fmt: skip
    assert "val loss 0.250" in second_line(view, 160).plain


async def test_a_script_of_which_no_step_is_seen_is_not_said_to_load(tmp_path: Path) -> None:
    reason = "120 backward passes, and it has no optimizer of torch.optim."
    unseen = Capabilities(rows=(Capability(kind="unavailable", name="steps", text=reason),))
    link = RecordingLink()
    app = make_app(journal_of(tmp_path, Status(state="loading", message="train.py has loaded torch"), unseen), link)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert f"! NO STEP IS SEEN   {reason}" in text
        assert "LOADING" not in text
        assert text.count("no step is seen: i says why") == 2
        assert text.count("no step of the script is seen.") == len(TIP_ROWS)
        assert "o overfit" not in text
        await pilot.press("o", "v", "x")
        await pilot.pause()
        assert "Stop the run?" not in screen_text(app)
        assert "Not available: 120 backward passes" in screen_text(app)
        assert (link.sent, app.view.pending) == ([], {})
        await pilot.press("i")
        await pilot.pause()
        assert reason in screen_text(app)


# ---------------------------------------------------------------------- what cannot be had


def tips(view: RunView, width: int = 62, height: int = 40) -> list[str]:
    return [line.plain.rstrip() for line in tip_lines(view, width, height)]


def test_a_switch_that_is_not_there_is_neither_on_nor_off_and_its_row_says_why() -> None:
    lines = tips(script_view())
    (overfit,) = [line for line in lines if line.startswith("o ")]
    assert overfit.split()[4:8] == ["—", "n/a", "the", "script"]
    assert "batch could be held." in " ".join(line.strip() for line in lines)
    assert "○ off" in next(line for line in lines if line.startswith("c "))
    assert "— n/a" not in "\n".join(tips(fake_view()))


def test_what_was_measured_is_shown_also_where_there_is_no_switch() -> None:
    lines = tips(script_view())
    (shuffle,) = [line for line in lines if line.startswith("s ")]
    assert "waits 40 % for data" in shuffle
    assert any("no switch: the script trains without" in line for line in lines)
    assert any("2.4 ms" in line for line in lines)
    (modes,) = [line for line in lines if line.startswith("e ")]
    assert "no validation seen yet" not in modes, "why there is no switch says more"


def test_a_switch_that_was_never_named_is_not_shown_as_off() -> None:
    view = script_view()
    view.update(News([], [Switches(values={"lr": 0.1})]))
    (clip,) = [line for line in tips(view) if line.startswith("c ")]
    assert "n/a" in clip
    assert any("no switch: the script has no switch clip." in line for line in tips(view))


def test_the_tips_fit_any_size() -> None:
    for width in (1, 20, 39, 58, 100):
        for height in (0, 1, 6, 15):
            lines = tip_lines(script_view(), width, height)
            assert len(lines) <= height
    assert all(line.cell_length <= 58 for line in tip_lines(script_view(), 58, 30))


def test_the_keys_are_those_of_the_run() -> None:
    of_preset = keys_for(fake_view(), KEYS)
    assert [key.name for key in of_preset] == [key.name for key in KEYS if key.name != "capabilities"]
    of_script = {key.name: key for key in keys_for(script_view(), KEYS)}
    assert set(of_script) == {key.name for key in KEYS}
    assert of_script["shuffle"].help == f"Not available: {NO_LOADER}"
    assert of_script["keep"].help.startswith("Not available: the script trains without a DataLoader, from which")
    assert [key.footer for key in of_script.values() if key.help.startswith("Not available")] == [None] * 6
    assert of_script["clip"].footer is not None
    assert "unwinds" in of_script["stop"].help
    assert "tuitrain resume" not in " ".join(key.help for key in of_script.values()).replace("cannot resume", "")


def test_elsewhere_a_script_goes_on_while_its_viewer_is_suspended() -> None:
    elsewhere = {key.name: key for key in keys_for(script_view(), keys_of("viewer"))}
    assert elsewhere["suspend"].help == "Back to the shell, fg returns. The run goes on meanwhile."


@pytest.mark.parametrize(("key", "label"), [("s", "Shuffle"), ("v", "Validate now"), ("O", "End overfitting")])
async def test_a_key_that_does_nothing_says_why_and_waits_for_nothing(tmp_path: Path, key: str, label: str) -> None:
    link = RecordingLink()
    app = make_app(script_journal(tmp_path), link)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        await pilot.press(key)
        await pilot.pause()
        text = " ".join(screen_text(app).split())
        assert label in text
        assert "Not available: the script" in text
        assert (link.sent, app.view.pending) == ([], {})


# ---------------------------------------------------------------------- the panel


def test_the_panel_says_everything_at_every_width() -> None:
    rows = capabilities(off=True)
    for width in (1, 34, 54, 92):
        lines = capability_lines(rows.rows, width)
        assert width < 30 or all(line.cell_length <= width for line in lines)
        said = " ".join(" ".join(line.plain for line in lines).split())
        for row in rows.rows:
            assert width < 30 or row.text in said
    text = text_of(rows, 92)
    assert text.index("Switched off") < text.index("Observed") < text.index("Steered") < text.index("Not available")
    assert "Clip the gradients (c)" in text
    assert "Learning rate (+ -)" in text
    assert "Overfit one batch (o)" not in text


def test_the_panel_in_ascii() -> None:
    lines = capability_lines(capabilities(off=True).rows, 60, ASCII)
    assert "\n".join(line.plain for line in lines).isascii()


@pytest.mark.parametrize("size", [(160, 48), (100, 30), (60, 20), (40, 10)])
async def test_the_panel_opens_scrolls_and_closes(tmp_path: Path, size: tuple[int, int]) -> None:
    link = RecordingLink()
    app = make_app(script_journal(tmp_path, off=True), link)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert "i script" in screen_text(app)
        await pilot.press("i")
        await pilot.pause()
        assert isinstance(app.screen, CapabilityScreen)
        assert "What can be had of train.py" in screen_text(app)
        assert "Switched off" in screen_text(app)
        await pilot.press("end", "o", "c")
        await pilot.pause()
        assert "called from outside." in " ".join(screen_text(app).replace("│", " ").split())
        assert link.sent == []
        await pilot.press("i")
        assert not isinstance(app.screen, CapabilityScreen)


async def test_the_panel_follows_the_run(tmp_path: Path) -> None:
    app = make_app(script_journal(tmp_path))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        await pilot.press("i")
        await pilot.pause()
        assert "Switched off" not in screen_text(app)
        app._take(News([], [capabilities(off=True)]))
        await pilot.pause()
        assert "RuntimeError: sabotaged" in screen_text(app)


async def test_a_preset_has_no_panel_and_says_so(tmp_path: Path) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        assert "i script" not in screen_text(app)
        await pilot.press("i")
        await pilot.pause()
        assert not isinstance(app.screen, CapabilityScreen)
        assert "This run is no script" in " ".join(screen_text(app).split())


def test_an_observer_that_is_off_is_seen_without_opening_anything() -> None:
    view = script_view(off=True)
    assert "! observer of the modes off: i says why" in second_line(view, 160).plain
    assert "! 1 observer off: i" in second_line(view, 70).plain
    assert "!1 off" in one_line(view, 40).plain
    assert "off" not in second_line(script_view(), 160).plain


# ---------------------------------------------------------------------- what it prints


async def test_bars_are_lines_below_the_log_that_change(tmp_path: Path) -> None:
    app = make_app(script_journal(tmp_path))
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        shown = [line[92:].strip("│ ▂▃▄") for line in screen_text(app).splitlines()]
        first = shown.index("epoch 1: accuracy 0.871")
        assert shown[first + 1 : first + 3] == BARS.splitlines()
        app.view.lines_begun = "x" * 30 + " 99 %"
        app._board.show(app.view)
        await pilot.pause()
        assert "epochs:" not in screen_text(app)
        assert "x 99 %" in screen_text(app)
        app.view.lines_begun = "begin " + "x" * 300 + " 99 %"
        app._board.show(app.view)
        await pilot.pause()
        (bar,) = [line for line in screen_text(app).splitlines() if "begin x" in line]
        assert "…" in bar
        assert "x 99 %" in bar
        app.view.lines_begun = ""
        app._board.show(app.view)
        await pilot.pause()
        assert "99 %" not in screen_text(app)


def test_the_row_of_a_report_without_a_switch_is_not_urgent_where_nothing_was_measured() -> None:
    view = script_view()
    view.update(News([], [TipReport(tip="shuffle", verdict="unknown", summary="no DataLoader")]))
    (shuffle,) = [line for line in tips(view, height=len(TIP_ROWS)) if line.startswith("s ")]
    assert "the script trains without" in shuffle
