"""The app on a journal that the test writes: what it sends, what it shows, how it leaves, at every size."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Input

from tests.ui.fake_run import SWITCHES, fake_end, fake_start, fake_steps
from tests.ui.screen_run import (
    RecordingLink,
    fake_journal,
    journal_of,
    make_app,
    polled_until,
    screen_text,
)
from tuitrain.errors import UserError
from tuitrain.record.commands import AnyCommand
from tuitrain.record.events import Applied, End, LogLine, Rejected, Status, Switches
from tuitrain.record.journal import Journal, News
from tuitrain.record.link import ReadOnly
from tuitrain.ui.numerals import loss_text, norm_text
from tuitrain.ui.pace import HURRY_S, LONGEST_S, LOOKS, SHARE, Pace
from tuitrain.ui.screens import HelpScreen, StopQuestion
from tuitrain.ui.seat import Seat

SIZES = [
    (1, 1), (2, 30), (20, 5), (39, 9), (39, 40), (100, 9), (40, 10), (60, 20), (60, 60), (80, 10), (80, 24),
    (100, 30), (100, 50), (120, 10), (120, 20), (120, 40), (160, 48), (250, 80),
]  # fmt: skip

PRESSES: list[tuple[str, tuple[object, ...]]] = [
    ("o", ("overfit", True)),
    ("O", ("overfit", "keep")),
    ("s", ("shuffle", False)),
    ("n", ("normalise", False)),
    ("c", ("clip", True)),
    ("[", ("max_norm", 0.8)),
    ("]", ("max_norm", 1.25)),
    ("b", ("clip_by", "value")),
    ("e", ("eval", False)),
    ("v", ("validate",)),
    ("r", ("register", True)),
    ("space", ("pause", True)),
    (".", ("steponce",)),
    ("+", ("lr", 1.25e-3)),
    ("=", ("lr", 1.25e-3)),
    ("-", ("lr", 8e-4)),
    ("w", ("checkpoint",)),
]


@pytest.mark.parametrize(("key", "command"), PRESSES)
async def test_a_key_sends_just_its_command(tmp_path: Path, key: str, command: tuple[object, ...]) -> None:
    link = RecordingLink()
    async with make_app(journal_of(tmp_path, *fake_start()), link).run_test(size=(100, 30)) as pilot:
        await pilot.press(key)
        assert link.sent == [command]


async def test_keys_steer_where_there_is_room_for_one_line_only(tmp_path: Path) -> None:
    link = RecordingLink()
    async with make_app(fake_journal(tmp_path), link).run_test(size=(30, 5)) as pilot:
        await pilot.press("c", "space", ".")
        assert [sent[0] for sent in link.sent] == ["clip", "pause", "steponce"]


@pytest.mark.parametrize("pane", ["4", "5"])
async def test_keys_still_steer_while_a_pane_has_the_arrow_keys(tmp_path: Path, pane: str) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press(pane)
        assert app.focused is not None
        await pilot.press("down", "space", ".", "c")
        assert [sent[0] for sent in link.sent] == ["pause", "steponce", "clip"]


async def test_pending_is_shown_until_applied(tmp_path: Path) -> None:
    link = RecordingLink()
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        for event in fake_start():
            journal.say(event)
        app = make_app(path, link)
        async with app.run_test(size=(160, 48)) as pilot:
            await polled_until(app, pilot, lambda: bool(app.view.switches))
            await pilot.press("c")
            await pilot.pause()
            assert "Clip to 1.0         … on" in screen_text(app)
            journal.say(Switches(values=SWITCHES | {"clip": True}))
            journal.say(Applied(id=link.commands[0].id, word="clip", value=True, by="key"))
            await polled_until(app, pilot, lambda: not app.view.pending)
            await pilot.pause()
            assert "Clip to 1.0         ● on" in screen_text(app)
            await pilot.press("c")
            assert link.sent == [("clip", True), ("clip", False)]


async def test_a_refused_command_is_shown_with_its_reason(tmp_path: Path) -> None:
    link = RecordingLink()
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        for event in fake_start():
            journal.say(event)
        app = make_app(path, link)
        async with app.run_test(size=(160, 48), notifications=True) as pilot:
            await polled_until(app, pilot, lambda: bool(app.view.switches))
            await pilot.press("r")
            journal.say(Rejected(id=link.commands[0].id, word="register", by="key", reason="all [is] registered"))
            await polled_until(app, pilot, lambda: not app.view.pending)
            await pilot.pause()
            assert "Refused: register" in screen_text(app)
            assert screen_text(app).count("all [is] registered") == 2  # the notice, and the console


async def test_refusals_from_before_are_not_announced(tmp_path: Path) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        assert any(isinstance(told, Rejected) for told in app.view.timeline)
        assert "Refused" not in screen_text(app)


async def test_while_loading_a_key_says_why_it_does_nothing(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(journal_of(tmp_path, Status(state="loading", message="importing torch", progress=0.2)), link)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        assert "importing torch" in screen_text(app)
        await pilot.press("o", "v")
        await pilot.pause()
        assert link.sent == []
        assert "still loading" in screen_text(app)


async def test_after_the_end_a_key_says_why_it_does_nothing(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path, end=True), link)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.press("o")
        await pilot.pause()
        assert link.sent == []
        assert "The run has ended" in screen_text(app)


async def test_the_numbers_on_the_screen_are_the_journals(tmp_path: Path) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        step, text = fake_steps(1200)[-1], screen_text(app)
        assert f"step {step.step:,} / 4,680" in text
        assert f"loss {loss_text(step.loss)}" in text
        assert f"{norm_text(step.norm_before)} → {norm_text(step.norm_after)}" in text
        assert "MNIST, 60,000 + 10,000 digits" in text
        assert "gradient norm 14x its median" in text


@pytest.mark.parametrize("size", [(160, 48), (120, 20), (100, 30), (80, 24), (60, 20)])
async def test_the_data_in_use_are_on_the_first_screen(tmp_path: Path, size: tuple[int, int]) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert "Loss · MNIST, 60,000 + 10,000 digits" in screen_text(app)


async def test_what_the_run_adds_is_shown_at_the_next_poll(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    steps = fake_steps(900)
    with Journal(path) as journal:
        for event in fake_start():
            journal.say(event)
        app = make_app(path)
        async with app.run_test(size=(160, 48)) as pilot:
            for part in (steps[:300], steps[300:]):
                journal.steps(part)
                await polled_until(app, pilot, lambda last=part[-1]: app.view.last_step == last)  # type: ignore[misc]
                await pilot.pause()
                assert f"step   {part[-1].step:,} / 4,680" in screen_text(app)


async def test_panes_are_left_alone_while_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        shown: list[object] = []
        monkeypatch.setattr(app._board, "show", lambda *args: shown.append(args))
        for _ in range(3):
            app.poll()
        assert shown == []


@pytest.mark.parametrize(("size", "end"), [*((size, False) for size in SIZES), ((1, 1), True), ((60, 20), True)])
async def test_no_size_is_too_small_and_no_key_breaks_it(tmp_path: Path, size: tuple[int, int], end: bool) -> None:
    app = make_app(fake_journal(tmp_path, end=end))
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.press("1", "2", "3", "4", "down", "enter", "5", "up", "tab", "shift+tab", "o", "space")
        await pilot.press("question_mark", "down", "escape", "ctrl+p", "escape")
        await pilot.pause()
        lines = screen_text(app).split("\n")
        assert len(lines) == size[1]
        assert app.is_running


async def test_it_follows_the_terminal_through_every_size(tmp_path: Path) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(160, 48)) as pilot:
        for width, height in (*SIZES, (160, 48)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
        text = screen_text(app)
        assert all(f"─ {title} ─" in text for title in ("Gradient norm", "Tips", "Model", "Findings / Console"))


@pytest.mark.parametrize(
    ("size", "first", "after_4", "after_5"),
    [
        ((160, 48), "loss grad tips model log", "loss grad tips model log", "loss grad tips model log"),
        ((120, 20), "loss grad tips log", "loss tips model log", "loss tips model log"),
        ((100, 50), "loss grad tips log", "loss grad tips model", "loss grad tips log"),
        ((100, 30), "loss grad tips", "loss grad model", "loss grad log"),
        ((80, 24), "loss tips", "loss model", "loss log"),
        ((60, 20), "loss", "model", "log"),
        ((40, 10), "loss", "model", "log"),
        ((39, 9), "", "", ""),
    ],
)
async def test_panes_have_room_by_the_size(
    tmp_path: Path, size: tuple[int, int], first: str, after_4: str, after_5: str
) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        seen = [in_sight(app.query(".pane").results())]
        for digit in "45":
            await pilot.press(digit)
            await pilot.pause()
            seen.append(in_sight(app.query(".pane").results()))
        assert seen == [set(first.split()), set(after_4.split()), set(after_5.split())]


def in_sight(panes: object) -> set[str | None]:
    return {pane.id for pane in panes if pane.region.area}  # type: ignore[attr-defined]


async def test_tab_goes_through_the_panes_of_a_narrow_terminal(tmp_path: Path) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(60, 20)) as pilot:
        seen = []
        for key in ("tab", "tab", "tab", "tab", "tab", "shift+tab"):
            await pilot.press(key)
            await pilot.pause()
            seen += sorted(str(pane) for pane in in_sight(app.query(".pane").results()))
        assert seen == ["grad", "tips", "model", "log", "loss", "log"]


async def test_tabs_and_keys_can_be_clicked(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.click("TabLine", offset=(12, 0))
        await pilot.pause()
        assert in_sight(app.query(".pane").results()) == {"grad"}
        await pilot.click("KeyLine", offset=(1, 0))
        assert link.sent == [("overfit", True)]


async def test_quitting_a_live_run_asks_and_no_keeps_training(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link)
    async with app.run_test(size=(80, 24)) as pilot:
        for no in ("n", "escape"):
            await pilot.press("q")
            await pilot.pause()
            assert "The run is at step 1,100 of 4,680." in screen_text(app)
            await pilot.press(no)
            await pilot.pause()
            assert not isinstance(app.screen, StopQuestion)
        assert link.sent == []
        assert app.is_running


@pytest.mark.parametrize("yes", ["y", "enter"])
async def test_stop_and_leave_waits_for_the_end_of_the_run(tmp_path: Path, yes: str) -> None:
    link = RecordingLink()
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        for event in fake_start():
            journal.say(event)
        app = make_app(path, link)
        async with app.run_test(size=(160, 48)) as pilot:
            await polled_until(app, pilot, lambda: bool(app.view.switches))
            await pilot.press("q", yes)
            await pilot.pause()
            assert link.sent == [("stop",)]
            assert "STOPPING" in screen_text(app)
            await pilot.press("q")
            assert not isinstance(app.screen, StopQuestion)
            assert link.sent == [("stop",)]
            for event in fake_end(0):
                journal.say(event)
            await polled_until(app, pilot, lambda: app.view.end is not None)
    assert app.return_value == 0


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_a_finished_run_stays_until_q(tmp_path: Path, key: str) -> None:
    app = make_app(fake_journal(tmp_path, end=True))
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        assert "FINISHED" in screen_text(app)
        assert "val 98.70 %" in screen_text(app)
        assert "q leaves" in screen_text(app)
        assert app.is_running
        await pilot.press(key)
    assert app.return_value == 0


async def test_a_failed_run_shows_its_traceback_and_leaves_with_1(tmp_path: Path) -> None:
    lines = ["Traceback (most recent call last):", "ValueError: no such layer"]
    failed = Status(state="failed", message="ValueError: no such layer")
    path = journal_of(tmp_path, *fake_start(), *(LogLine(stream="stderr", text=line) for line in lines), failed)
    app = make_app(path)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        assert "✗ FAILED" in screen_text(app)
        assert all(line in screen_text(app) for line in lines)
        await pilot.press("q")
    assert app.return_value == 1


async def test_ctrl_c_once_stops_twice_leaves_now(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert link.sent == [("stop",)]
        assert "STOPPING" in screen_text(app)
        assert "ctrl+c leaves now" in screen_text(app)
        await pilot.press("ctrl+c")
    assert link.sent == [("stop",)]
    assert app.return_value == 130


async def test_a_run_that_another_screen_stopped_is_shown_until_one_leaves(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        for event in fake_start():
            journal.say(event)
        app = make_app(path)
        async with app.run_test(size=(160, 48)) as pilot:
            await polled_until(app, pilot, lambda: bool(app.view.switches))
            journal.say(Applied(id="9-1", word="stop", value=True, by="pts/7 (9)"))
            for event in fake_end(0):
                journal.say(msgspec.structs.replace(event, **STOPPED.get(type(event), {})))
            await polled_until(app, pilot, lambda: app.view.end is not None)
            await pilot.pause()
            assert "○ STOPPED" in screen_text(app)
            assert "stop, by pts/7 (9)" in screen_text(app)
            await pilot.press("q")
    assert app.return_value == 0


STOPPED: dict[type, dict[str, str]] = {Status: {"state": "stopped"}, End: {"reason": "stopped"}}
"""What differs at the end of a run that was stopped."""


# ---------------------------------------------------------------------- a run in another process

VIEWER = Seat(kind="viewer", name="pts/1 (11)")


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_a_viewer_leaves_at_once_and_the_run_alone(tmp_path: Path, key: str) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link, seat=VIEWER)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        assert "q leave, the run goes on" in screen_text(app)
        await pilot.press(key)
    assert link.sent == []
    assert app.return_value == 0


@pytest.mark.parametrize(("key", "command"), PRESSES)
async def test_a_viewer_has_every_key_and_signs_what_it_sends(
    tmp_path: Path, key: str, command: tuple[object, ...]
) -> None:
    link = RecordingLink()
    async with make_app(journal_of(tmp_path, *fake_start()), link, seat=VIEWER).run_test(size=(100, 30)) as pilot:
        await pilot.press(key)
        assert link.sent == [command]
        assert link.commands[0].by == VIEWER.name


async def test_a_viewer_stops_the_run_when_asked_twice_and_stays_with_its_end(tmp_path: Path) -> None:
    link = RecordingLink()
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        for event in fake_start():
            journal.say(event)
        app = make_app(path, link, seat=VIEWER)
        async with app.run_test(size=(160, 48), notifications=True) as pilot:
            await polled_until(app, pilot, lambda: bool(app.view.switches))
            await pilot.press("x")
            await pilot.pause()
            assert "Stop and save" in screen_text(app)
            assert "ends it for everyone" in screen_text(app)
            await pilot.press("n")
            assert link.sent == []
            await pilot.press("x", "y")
            await pilot.pause()
            assert link.sent == [("stop",)]
            assert "STOPPING" in screen_text(app)
            for event in fake_end(0):
                journal.say(event)
            await polled_until(app, pilot, lambda: app.view.end is not None)
            await pilot.pause()
            assert "FINISHED" in screen_text(app)
            assert "val 98.70 %" in screen_text(app)
            assert "the run goes on" not in screen_text(app)
            await pilot.press("q")
    assert app.return_value == 0


async def test_a_read_only_screen_changes_nothing_and_says_so(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), ReadOnly(link), seat=Seat(kind="reader", name="pts/1 (11)"))
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        assert "READ-ONLY  ? help  q leave, the run goes on" in screen_text(app)
        await pilot.press("c", "space", "x", "y")
        await pilot.pause()
        assert "This screen is read-only" in screen_text(app)
        assert not app.view.pending
        assert "STOPPING" not in screen_text(app)
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Leave, the run goes on" in screen_text(app)
        assert "Clip the gradients" not in screen_text(app)
        assert link.sent == []


async def test_a_run_that_dies_under_our_eyes_is_said_to_have_died_and_one_that_is_resumed_lives(
    tmp_path: Path,
) -> None:
    link, gone = RecordingLink(), False
    seat = Seat(kind="viewer", name="pts/1 (11)", has_died=lambda: gone)
    app = make_app(fake_journal(tmp_path), link, seat=seat)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        assert "412 it/s" in screen_text(app)
        await pilot.press("e")
        assert app.view.pending
        gone = True
        app.poll()
        await pilot.pause()
        text = screen_text(app)
        assert "✗ DIED at step 1,100" in text
        assert "412 it/s" not in text
        assert "ETA" not in text
        assert "TRAIN" not in text
        assert not app.view.pending
        await pilot.press("c")
        await pilot.pause()
        assert [sent[0] for sent in link.sent] == ["eval"]
        assert "The run has died" in screen_text(app)
        gone = False
        app.poll()
        await pilot.pause()
        assert "● TRAIN" in screen_text(app)
        await pilot.press("c")
        assert [sent[0] for sent in link.sent] == ["eval", "clip"]


async def test_a_run_that_ended_as_its_process_went_has_not_died(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        for event in fake_start():
            journal.say(event)

        def gone() -> bool:
            """It said its last words just before it went."""
            with Journal.reopen(path, executed=10**9) as last:
                for event in fake_end(0):
                    last.say(event)
            return True

        journal.close()
        app = make_app(path, seat=Seat(kind="viewer", name="pts/1 (11)", has_died=gone))
        async with app.run_test(size=(160, 48)) as pilot:
            await pilot.pause()
            assert "FINISHED" in screen_text(app)
            assert not app.view.died


async def test_what_another_screen_changes_is_announced_with_who_did_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        for event in fake_start():
            journal.say(event)
        app = make_app(path, seat=VIEWER)
        async with app.run_test(size=(160, 48), notifications=True) as pilot:
            await polled_until(app, pilot, lambda: bool(app.view.switches))
            for by, word in ((VIEWER.name, "eval"), ("--at", "shuffle"), ("pts/7 (9)", "clip"), ("key", "normalise")):
                journal.say(Applied(id=by, word=word, value=False, by=by))
            await polled_until(app, pilot, lambda: len(app.view.changes) == 4)
            await pilot.pause()
            told = [toast.message for toast in app._notifications]
            assert told == ["clip off, by pts/7 (9)", "normalise off, by the run's own screen"]


async def test_trouble_is_shown_as_long_as_it_lasts(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link, seat=VIEWER)
    async with app.run_test(size=(100, 30)) as pilot:
        for trouble in ("The journal [cannot] be written.", None, "No space is left."):
            link.trouble = trouble
            app.poll()
            await pilot.pause()
            assert ("! " in screen_text(app).split("\n")[2]) == (trouble is not None)
            assert trouble is None or trouble in screen_text(app)


async def test_a_command_that_the_run_did_not_take_is_waited_for_no_more(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link, seat=VIEWER)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("c", "s")
        clip, _ = link.commands
        assert app.view.pending_value("clip") is not None
        link.refused = [clip.id]
        app.poll()
        await pilot.pause()
        assert app.view.pending_value("clip") is None
        assert app.view.pending_value("shuffle") is not None
        assert screen_text(app).count("…") == 1


async def test_a_command_that_cannot_be_delivered_is_said_and_not_waited_for(tmp_path: Path) -> None:
    class Broken(RecordingLink):
        def send(self, command: AnyCommand) -> None:
            raise UserError("The run takes no commands now.")

    app = make_app(fake_journal(tmp_path), Broken(), seat=VIEWER)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.press("c")
        await pilot.pause()
        assert "The run takes no commands now." in screen_text(app)
        assert not app.view.pending


@pytest.mark.parametrize("over", ["question_mark", "q", "ctrl+p"])
async def test_ctrl_c_works_whatever_is_open(tmp_path: Path, over: str) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(over)
        await pilot.pause()
        await pilot.press("ctrl+c")
        assert link.sent == [("stop",)]


async def test_the_help_shows_every_key_and_nothing_steers_meanwhile(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link)
    async with app.run_test(size=(100, 48)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        text = screen_text(app)
        for key in app.keys:
            assert key.label in text
        await pilot.press("o", "s", "c", "space")
        assert link.sent == []
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


async def test_the_help_can_be_read_to_its_end_at_80x24(tmp_path: Path) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        await pilot.press("end")
        await pilot.pause()
        assert "suspends the training too" in screen_text(app).replace("\n", " ")


async def test_the_palette_finds_a_command_and_sends_it(tmp_path: Path) -> None:
    link = RecordingLink()
    app = make_app(fake_journal(tmp_path), link)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("ctrl+p")
        await pilot.pause()
        app.screen.query_one(Input).value = "write a check"
        await app.workers.wait_for_complete()
        await pilot.pause()
        await polled_until(app, pilot, lambda: "(w)" in screen_text(app))
        await pilot.press("enter")
        await polled_until(app, pilot, lambda: bool(link.sent))
        assert link.sent == [("checkpoint",)]


async def test_ascii_means_ascii(tmp_path: Path) -> None:
    for size in [(160, 48), (100, 30), (60, 20), (40, 10)]:
        directory = tmp_path / f"{size[0]}"
        directory.mkdir()
        app = make_app(fake_journal(directory), ascii_only=True)
        async with app.run_test(size=size) as pilot:
            for keys in (["3"], ["4"], ["5"], ["question_mark"], ["escape", "q"]):
                await pilot.press(*keys)
                await pilot.pause()
                assert screen_text(app).isascii(), keys


async def test_without_colour_the_curves_differ_by_their_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        assert "• smoothed" in screen_text(app) or "● smoothed" in screen_text(app)
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                colour = segment.style.color if segment.style else None
                triplet = colour.get_truecolor() if colour else None
                assert triplet is None or max(triplet) - min(triplet) <= 2


async def test_a_light_theme_is_there(tmp_path: Path) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert app.theme == "tuitrain-dark"
        assert {"tuitrain-light", "textual-light"} <= set(app.available_themes)
        app.theme = "tuitrain-light"
        await pilot.pause()
        assert "Loss" in screen_text(app)


async def test_a_journal_that_is_damaged_meanwhile_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()

        def damaged() -> News:
            raise UserError("The journal is damaged.")

        monkeypatch.setattr(app._reader, "poll", damaged)
        for _ in range(3):
            app.poll()
        await pilot.pause()
        assert screen_text(app).count("The journal is damaged.") == 1


async def test_a_journal_that_is_locked_is_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(fake_journal(tmp_path))
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()

        def locked() -> News:
            raise sqlite3.OperationalError("database is locked")

        with monkeypatch.context() as patch:
            patch.setattr(app._reader, "poll", locked)
            app.poll()
        await pilot.pause()
        assert "database is locked" in screen_text(app)
        app.poll()
        assert app.view.last_step is not None


def test_a_file_that_is_no_journal_is_refused_before_the_screen_opens(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        make_app(tmp_path / "nothing.sqlite")


def test_the_pace_follows_the_cost() -> None:
    pace = Pace(0.25)
    assert pace.interval_s(waiting=False) == 0.25
    for _ in range(LOOKS):
        pace.spent(0.01)
    assert pace.interval_s(waiting=False) == 0.01 / SHARE
    pace.spent(10.0)
    assert pace.interval_s(waiting=False) == 0.01 / SHARE
    for _ in range(LOOKS):
        pace.spent(1.0)
    assert pace.interval_s(waiting=False) == LONGEST_S
    pace.hurry()
    assert pace.interval_s(waiting=True) == HURRY_S
    assert pace.interval_s(waiting=False) == LONGEST_S


def test_the_screen_loads_no_torch() -> None:
    code = "import sys, tuitrain.ui.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
