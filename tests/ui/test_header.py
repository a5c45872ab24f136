"""The header: its numbers are the journal's, and they fit any width whole."""

import math
import re

import msgspec
import numpy as np
import pytest

from tests.ui import fake_run
from tests.ui.fake_run import fake_steps, fake_view, own_steps
from tuitrain.record.commands import Checkpoint, Set, Stop
from tuitrain.record.events import Applied, End, Mode, Status, Step, Switches, Vitals
from tuitrain.record.journal import News
from tuitrain.record.state import RunView
from tuitrain.ui import facts
from tuitrain.ui.fit import fit, part, shorten
from tuitrain.ui.glyphs import ASCII
from tuitrain.ui.numerals import (
    bytes_text,
    duration_text,
    loss_text,
    norm_text,
    percent_text,
    rate_text,
    speed_text,
)
from tuitrain.ui.panes.header import bar, first_line, second_line
from tuitrain.ui.panes.line import one_line

STEPS = 1200


def first(view: RunView, width: int = 200) -> str:
    return first_line(view, "mnist", width).plain


def second(view: RunView, width: int = 200) -> str:
    return second_line(view, width).plain


def told(view: RunView, *events: object, steps: tuple[Step, ...] = ()) -> RunView:
    view.update(News(list(steps), list(events)))  # type: ignore[arg-type]
    return view


def begun(*steps: Step) -> RunView:
    """A run that has executed just these steps."""
    return told(RunView(), *fake_run.fake_start(), steps=steps)


def test_the_first_line_says_where_the_run_is() -> None:
    line = first(fake_view(steps=STEPS))
    own = own_steps(STEPS, STEPS)
    assert "tuitrain · mnist" in line
    assert "cpu" in line
    assert f"epoch  {own // 468 + 1}/10" in line
    assert f"step {own:,} / 4,680" in line
    assert "412 it/s" in line
    assert f"ETA  {duration_text((4680 - own) / 412)}" in line


def test_the_second_line_says_the_numbers_of_the_last_step() -> None:
    step = fake_steps(STEPS)[-1]
    line = second(fake_view(steps=STEPS))
    assert "● TRAIN" in line
    assert "1 module differs" in line
    assert f"loss {loss_text(step.loss)}" in line
    assert f"‖g‖ {norm_text(step.norm_before)} → {norm_text(step.norm_after)}" in line
    assert "lr 1.0e-3" in line
    assert "mem 1.1 GiB" in line


def test_the_share_of_clipped_steps_is_that_of_the_last_two_hundred() -> None:
    last = fake_steps(STEPS)[-200:]
    share = sum(step.norm_before > step.max_norm for step in last) / 200
    assert facts.clipped_share(fake_view(steps=STEPS)) == share
    assert f"clipped {percent_text(share)}" in second(fake_view(steps=STEPS))


def test_without_clipping_there_is_one_norm_and_no_share() -> None:
    step = msgspec.structs.replace(fake_steps(1)[0], max_norm=math.nan, norm_before=1.5, norm_after=1.5)
    line = second(begun(step))
    assert "‖g‖ 1.50" in line
    assert "→" not in line
    assert "clipped" not in line


def test_the_validation_shown_is_the_latest_in_eval_mode() -> None:
    view = fake_view(steps=STEPS)
    assert [validation.mode for validation in view.validations[-2:]] == ["eval", "train"]
    assert f"val {percent_text(view.validations[-2].accuracy, 1)}" in second(view)
    told(view, fake_run.fake_validation(STEPS, STEPS, mode="train"))
    assert f"val in train mode {percent_text(view.validations[-1].accuracy, 1)}" in second(view)


def test_the_mode_is_the_one_that_holds() -> None:
    view = told(fake_view(), Mode(phase="validation", root="eval", modules=8, disagree=("a", "b")))
    assert "◆ EVAL" in second(view)
    assert "2 modules differ" in second(view)


@pytest.mark.parametrize(("state", "word"), [("paused", "PAUSED"), ("validating", "VALIDATING")])
def test_states_are_words(state: str, word: str) -> None:
    assert word in second(told(fake_view(), Status(state=state)))  # type: ignore[arg-type]


def test_a_paused_run_has_no_speed_and_no_time_left() -> None:
    view = told(fake_view(), Status(state="paused"))
    assert "— it/s" in first(view)
    assert "ETA     —" in first(view)


def test_overfitting_is_said_with_the_accuracy_on_the_batch() -> None:
    view = fake_view(steps=STEPS)
    step = msgspec.structs.replace(fake_steps(STEPS)[-1], executed=STEPS + 1, overfit=True, accuracy=0.75)
    told(view, Switches(values=view.switches | {"overfit": True}), steps=(step,))
    assert "OVERFIT ONE BATCH" in second(view)
    assert "batch 75 %" in second(view)
    assert "ETA     —" in first(view)


def test_stopping_is_said_until_the_end() -> None:
    view = fake_view()
    stop = Stop()
    view.sent(stop)
    assert "STOPPING" in second(view)
    told(view, Applied(id=stop.id, word="stop", value=True, by="key"))
    assert "STOPPING" in second(view)
    told(view, Status(state="stopped"))
    assert "STOPPING" not in second(view)
    assert "STOPPED" in second(view)


def test_a_run_that_was_stopped_and_goes_on_is_not_stopping() -> None:
    view = fake_view()
    assert view.run is not None
    stop = Applied(id="1-1", word="stop", value=True, by="tuitrain stop (9)", time_s=5.0)
    told(view, stop, Status(state="stopped"), Status(state="loading", message="Loading torch"))
    assert "stops as soon as" not in second(view)
    assert "— it/s" in first(view)
    assert "ETA     —" in first(view)
    told(view, msgspec.structs.replace(view.run, time_s=6.0), Status(state="running"))
    assert "STOPPING" not in second(view)
    assert "412 it/s" in first(view)
    told(view, msgspec.structs.replace(stop, time_s=7.0))
    assert "STOPPING" in second(view)


def test_of_a_run_that_died_it_is_said_when_and_what_was_saved() -> None:
    view = fake_view()
    view.died = True
    line = second(view)
    assert f"✗ DIED at step {own_steps(STEPS, STEPS):,}" in line
    assert "q leaves" in line
    assert view.checkpoint is not None
    assert f"last checkpoint step {view.checkpoint.step:,}" in line
    assert "— it/s" in first(view)
    assert "ETA" not in first(view)
    view.checkpoint = None
    assert "no checkpoint" in second(view)


def test_what_is_pending_is_said() -> None:
    view = fake_view()
    view.sent(Checkpoint())
    view.sent(Set(name="lr", value=1.25e-3))
    assert "… checkpoint" in second(view)
    assert "lr 1.0e-3 … 1.25e-3" in second(view)


def test_loading_says_what_and_how_far() -> None:
    view = told(RunView(), Status(state="loading", message="importing torch", progress=0.25))
    assert "LOADING" in second(view)
    assert "importing torch" in second(view)
    assert " 25%" in second(view)
    assert "tuitrain · mnist" in first(view)


def test_a_finished_run_says_its_final_numbers_and_how_to_leave() -> None:
    line = second(fake_view(end=True))
    assert "✓ FINISHED" in line
    assert "val 98.70 %" in line
    assert "val loss 0.0410" in line
    assert "weights abababababab" in line
    assert "q leaves" in line


def test_a_failed_run_says_why() -> None:
    line = second(told(fake_view(), Status(state="failed", message="ValueError: no")))
    assert "✗ FAILED" in line
    assert "ValueError: no" in line
    assert "q leaves" in line


def test_how_it_ended_is_a_word_at_every_width_that_has_room_for_it() -> None:
    view = told(fake_view(), Status(state="failed", message="ValueError: " + 9 * "some long reason "))
    for width in range(8, 200):
        assert "✗ FAILED" in second(view, width)
    assert one_line(view, 7).plain == "✗"


def test_an_end_is_an_end_even_without_a_status() -> None:
    end = End(steps=5, executed_steps=5, val_accuracy=None, val_loss=None, weights_sha256=None, reason="stopped")
    assert "STOPPED" in second(told(fake_view(), end))


def test_a_loss_that_is_no_number_is_shown_as_it_is() -> None:
    step = msgspec.structs.replace(fake_steps(1)[0], loss=math.nan)
    assert "loss nan" in second(begun(step))


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("width", range(161))
def test_numbers_are_whole_at_every_width(width: int, end: bool) -> None:
    view = fake_view(end=end)
    for line, whole in (
        (first_line(view, "mnist", width), first(view, 400)),
        (second_line(view, width), second(view, 400)),
        (one_line(view, width), first(view, 400) + second(view, 400)),
    ):
        assert line.cell_length <= width
        assert "\n" not in line.plain
        numbers = re.findall(r"\d[\d,./e-]*", line.plain)
        assert set(numbers) <= set(re.findall(r"\d[\d,./e-]*", whole))


def test_the_least_important_goes_first() -> None:
    lines = {width: second(fake_view(), width) for width in range(14, 200)}
    needed = [
        min(width for width, line in lines.items() if word in line)
        for word in ("TRAIN", "loss", "val", "‖g‖", "clipped", "lr", "mem")
    ]
    assert needed == sorted(needed)
    assert needed[0] == 14


def test_ascii_lines_are_ascii() -> None:
    for end in (False, True):
        view = fake_view(end=end)
        assert first_line(view, "mnist", 160, ASCII).plain.isascii()
        assert second_line(view, 160, ASCII).plain.isascii()


def test_speed_is_of_the_last_seconds_only() -> None:
    times = [*np.arange(0, 100, 0.5), *np.arange(100, 106, 0.1)]
    step = fake_steps(1)[0]
    steps = [msgspec.structs.replace(step, executed=i + 1, time_s=float(t)) for i, t in enumerate(times)]
    view = begun(*steps)
    assert facts.steps_per_second(view) == pytest.approx(10, rel=0.02)


def test_speed_of_very_slow_steps_is_known_from_two() -> None:
    step = fake_steps(1)[0]
    steps = tuple(msgspec.structs.replace(step, executed=i + 1, time_s=30.0 * i) for i in range(3))
    assert facts.steps_per_second(begun(*steps)) == pytest.approx(1 / 30)


@pytest.mark.parametrize(
    ("step", "epoch", "share"), [(0, 1, 0.0), (1, 1, 1 / 468), (468, 1, 1.0), (469, 2, 1 / 468), (4680, 10, 1.0)]
)
def test_an_epoch_ends_with_its_last_step(step: int, epoch: int, share: float) -> None:
    view = begun(msgspec.structs.replace(fake_steps(1)[0], step=step))
    assert facts.epoch_progress(view)[0] == epoch
    assert facts.epoch_progress(view)[1] == pytest.approx(share)


def test_a_bar_is_filled_in_halves() -> None:
    assert bar(0.0, 4).plain == "────"
    assert bar(0.5, 4).plain == "━━──"
    assert bar(0.625, 4).plain == "━━╸─"
    assert bar(1.0, 4).plain == "━━━━"
    assert bar(7.0, 4).plain == "━━━━"


def test_device_memory_is_named() -> None:
    view = told(fake_view(), Vitals(memory_bytes=2**30, device_memory_bytes=3 * 2**30))
    assert "device mem 3.0 GiB" in second(view)


def test_fit_shortens_before_it_drops() -> None:
    parts = [part(1, "a long form", "short"), part(0, "most")]
    assert fit(parts, 18).plain == "a long form   most"
    assert fit(parts, 17).plain == "short   most"
    assert fit(parts, 11).plain == "most"
    assert fit(parts, 3).plain == ""


def test_shorten_cuts_between_words() -> None:
    assert shorten("gap of 1.25 points", 18, "…") == "gap of 1.25 points"
    assert shorten("gap of 1.25 points", 13, "…") == "gap of 1.25…"
    assert shorten("gap of 1.25 points", 9, "…") == "gap of…"
    assert shorten("1234567", 4, "…") == "…"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (loss_text(0.03123), "0.0312"),
        (loss_text(1.8249), "1.82"),
        (loss_text(15.67), "15.7"),
        (loss_text(2.5e-5), "2.5e-05"),
        (loss_text(0.0), "0.00"),
        (loss_text(math.inf), "inf"),
        (norm_text(1.0), "1.00"),
        (norm_text(0.012345), "0.012"),
        (norm_text(0.4567), "0.46"),
        (rate_text(1e-3), "1.0e-3"),
        (rate_text(1.25e-3), "1.25e-3"),
        (rate_text(0.1), "1.0e-1"),
        (percent_text(0.64), "64 %"),
        (percent_text(0.99999, 1), "99.9 %"),
        (percent_text(1.0), "100 %"),
        (speed_text(412.4), "412"),
        (speed_text(3.21), "3.2"),
        (speed_text(0.083), "0.08"),
        (duration_text(72), "1:12"),
        (duration_text(3661), "1:01:01"),
        (bytes_text(300 * 2**20), "300 MiB"),
        (bytes_text(1_181_116_006), "1.1 GiB"),
    ],
)
def test_numbers_are_written_as_people_write_them(text: str, expected: str) -> None:
    assert text == expected
