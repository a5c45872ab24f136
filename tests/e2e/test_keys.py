"""Every key of the one table, pressed in a real terminal: what the screen shows of it, and what the journal says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.terminal import NARROW, WIDE
from tests.e2e.watched import ENDLESS, Watched, watched
from tuitrain.record.events import Checkpoint, Rejected, Value
from tuitrain.ui.keymap import FACTOR, KEYS, Key, by_name
from tuitrain.ui.numerals import rate_text

Effect = Callable[[Watched, Key], None]

TITLES = ("Loss · ", "Gradient norm─", "─Tips─", "─Model─", "─Findings / Console─")
"""What each pane alone shows, in the order of the digits."""


def wait_row(run: Watched, label: str, state: str) -> None:
    """Wait until the row of a tip has this state."""
    pattern = re.compile(rf"{re.escape(label)} +{re.escape(state)}")
    run.terminal.wait_until(lambda: bool(pattern.search(run.terminal.text)), f"{label}: {state}")


def switched(word: str, label: str, *states: tuple[Value, str]) -> Effect:
    """The key gives the switch one value after the other, and its row shows each."""

    def effect(run: Watched, key: Key) -> None:
        wait_row(run, label, states[-1][1])
        for value, shown in states:
            run.press_and_apply(key.keys, word=word, value=value)
            wait_row(run, label, shown)

    return effect


OFF_ON = ((False, "○ off"), (True, "● on"))


def overfitted(run: Watched, key: Key) -> None:
    terminal, before = run.terminal, run.view.last_step
    run.press_and_apply(key.keys, word="overfit", value=True)
    terminal.wait_for("OVERFIT ONE BATCH")
    wait_row(run, key.label, "● on")
    run.wait_until(lambda view: view.last_step is not None and view.last_step.overfit, "a step on the one batch")
    off = run.press_and_apply(key.keys, word="overfit", value=False)
    terminal.wait_gone("OVERFIT")
    wait_row(run, key.label, "○ off")
    assert before is not None
    assert before.step <= off.step < off.executed


def refusals(run: Watched) -> list[Rejected]:
    """What the run has refused so far."""
    return [told for told in run.view.timeline if isinstance(told, Rejected)]


def kept(run: Watched, key: Key) -> None:
    """With nothing to keep it is refused; else the overfitting ends."""
    run.terminal.press(key.keys)
    run.terminal.wait_for("Refused: overfit", "no weights to keep")
    (refused,) = refusals(run)
    assert (refused.word, refused.by) == ("overfit", "key")
    run.press_and_apply(by_name("overfit").keys, word="overfit", value=True)
    run.terminal.wait_for("OVERFIT ONE BATCH")
    run.press_and_apply(key.keys, word="overfit", value=False)
    run.terminal.wait_gone("OVERFIT")


def threshold(value: float) -> Effect:
    """The key moves the threshold to this value."""

    def effect(run: Watched, key: Key) -> None:
        run.press_and_apply(key.keys, word="max_norm", value=value)
        wait_row(run, f"Clip to {value:.1f}", "● on")

    return effect


def clipped_by_the_other(run: Watched, key: Key) -> None:
    run.press_and_apply(key.keys, word="clip_by", value="value")
    wait_row(run, "Clamp to ±1.0", "● on")
    run.press_and_apply(key.keys, word="clip_by", value="norm")
    wait_row(run, "Clip to 1.0", "● on")


def validated(run: Watched, key: Key) -> None:
    run.press_and_apply(key.keys, word="validate", value=True)
    two = [(validation.cause, validation.mode) for validation in run.view.validations[-2:]]
    assert two == [("asked", "eval"), ("asked", "train")]
    run.terminal.wait_for("eval mode", "train mode")


def paused(run: Watched, key: Key) -> None:
    """Paused, it answers but executes nothing; resumed, it does."""
    at = run.press_and_apply(key.keys, word="pause", value=True)
    run.terminal.wait_for("PAUSED")
    for value in (False, True):
        assert run.press_and_apply("e", word="eval", value=value).executed == at.executed
    assert run.executed == at.executed
    run.press_and_apply(key.keys, word="pause", value=False)
    run.terminal.wait_gone("PAUSED")
    run.wait_steps(1)


def stepped(run: Watched, key: Key) -> None:
    """It pauses after one step; pressed again, exactly one more is executed."""
    at = run.press_and_apply(key.keys, word="steponce", value=True)
    run.terminal.wait_for("PAUSED")
    for more in (1, 2):
        run.wait_until(lambda view: view.status.state == "paused", "the pause")
        assert run.press_and_apply("e", word="eval", value=more == 2).executed == at.executed + more
        assert run.executed == at.executed + more
        run.terminal.wait_for(f"step {at.step + more:,}")
        if more == 1:
            run.press_and_apply(key.keys, word="steponce", value=True)
    run.press_and_apply(by_name("pause").keys, word="pause", value=False)
    run.terminal.wait_gone("PAUSED")


def rate(*, up: bool) -> Effect:
    """Each of the key's ways multiplies the learning rate."""

    def effect(run: Watched, key: Key) -> None:
        for way in key.keys.split(","):
            before, answers = run.view.switches["lr"], len(run.view.changes)
            run.terminal.press(way)
            run.wait_until(lambda view, answers=answers: len(view.changes) > answers, "another rate")  # type: ignore[misc]
            after = run.view.changes[-1].value
            assert isinstance(before, float)
            assert isinstance(after, float)
            assert after / before == pytest.approx(FACTOR if up else 1 / FACTOR, rel=0.05)
            assert [(change.word, change.by) for change in run.view.changes[answers:]] == [("lr", "key")]
            run.terminal.wait_for(f"lr {rate_text(after)} ")

    return effect


def saved(run: Watched, key: Key) -> None:
    before = run.view.checkpoint
    applied = run.press_and_apply(key.keys, word="checkpoint", value=True)
    checkpoint = run.view.checkpoint
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint is not before
    assert checkpoint.executed == applied.executed
    assert Path(checkpoint.path).stat().st_size == checkpoint.bytes
    run.terminal.wait_for(f"step {checkpoint.step:,}  checkpoint")


def brought_to_the_front(run: Watched, key: Key) -> None:
    """Where one pane has room, each digit shows its own."""
    run.terminal.resize(*NARROW)
    for way, title in [*zip(key.keys.split(","), TITLES, strict=True)][::-1]:
        run.terminal.press(way)
        run.terminal.wait_for(title)
        assert sum(run.terminal.shows(other) for other in TITLES) == 1
    run.terminal.resize(*WIDE)
    run.terminal.wait_for("o overfit", "Tips", "Findings")


def brought_in_turn(run: Watched, key: Key) -> None:
    """Tab shows the next pane, and the first after the last; shift+tab the one before."""
    run.terminal.resize(*NARROW)
    run.terminal.press("1")
    run.terminal.wait_for(TITLES[0])
    for title in (*TITLES[1:], TITLES[0]):
        run.terminal.press(key.keys)
        run.terminal.wait_for(title)
    run.terminal.press("shift+tab")
    run.terminal.wait_for(TITLES[-1])
    run.terminal.resize(*WIDE)
    run.terminal.wait_for("o overfit", "Tips", "Findings")


def found_in_the_palette(run: Watched, key: Key) -> None:
    """Escape closes it; what is chosen in it acts as its key does."""
    terminal = run.terminal
    terminal.press(key.keys)
    terminal.wait_for("Search for commands")
    terminal.press("escape")
    terminal.wait_gone("Search for commands")
    terminal.press(key.keys)
    terminal.wait_for("Search for commands")
    terminal.write("clip the grad")
    terminal.wait_gone("Overfit one batch  (o)")
    terminal.wait_for(f"{by_name('clip').label}  (c)")
    run.press_and_apply("enter", word="clip", value=False)
    terminal.wait_gone("clip the grad")
    run.press_and_apply(by_name("clip").keys, word="clip", value=True)


def helped(run: Watched, key: Key) -> None:
    """All keys at a glance; above the help no key of the run acts."""
    terminal = run.terminal
    terminal.press(key.keys)
    listed = [re.compile(rf"{re.escape(key.shown)} +{re.escape(key.label)}") for key in OF_A_PRESET]
    terminal.wait_until(lambda: all(pattern.search(terminal.text) for pattern in listed), "every key")
    terminal.press("o", "escape")
    terminal.wait_gone("tuitrain: the keys")


def asked_to_stop(run: Watched, key: Key) -> None:
    """It asks; no, and the run goes on."""
    run.terminal.press(key.keys)
    run.terminal.wait_for("Stop the run?")
    run.terminal.press("n")
    run.terminal.wait_gone("Stop the run?")
    run.wait_steps(1)


def asked_and_left(run: Watched, key: Key) -> None:
    """It asks; three ways of no, and the run goes on; y stops, saves and leaves."""
    for no in ("n", "escape", key.keys):
        run.terminal.press(key.keys)
        run.terminal.wait_for("Stop the run?", "saves a checkpoint", "Keep training")
        run.terminal.press(no)
        run.terminal.wait_gone("Stop the run?")
        run.wait_steps(1)
    run.terminal.press(key.keys)
    run.terminal.wait_for("Stop the run?")
    run.terminal.press("y")
    assert run.terminal.wait_end() == 0


EFFECTS: dict[str, Effect] = {
    "overfit": overfitted,
    "keep": kept,
    "shuffle": switched("shuffle", "Shuffle", *OFF_ON),
    "normalise": switched("normalise", "Normalise", *OFF_ON),
    "clip": switched("clip", "Clip to 1.0", *OFF_ON),
    "max_norm_down": threshold(0.8),
    "max_norm_up": threshold(1.0),
    "clip_by": clipped_by_the_other,
    "eval": switched("eval", "Eval in validation", *OFF_ON),
    "validate": validated,
    "register": switched("register", "Registered", (True, "● all"), (False, "○ some")),
    "pause": paused,
    "step": stepped,
    "lr_up": rate(up=True),
    "lr_down": rate(up=False),
    "checkpoint": saved,
    "stop": asked_to_stop,
    "pane": brought_to_the_front,
    "next_pane": brought_in_turn,
    "palette": found_in_the_palette,
    "help": helped,
    "quit": asked_and_left,
}
"""In the order of the table."""

ON_THE_SCREEN_ALONE = ("pane", "next_pane", "help")
OF_A_PRESET = [key for key in KEYS if not key.for_scripts]
ELSEWHERE = ("interrupt", "suspend")
"""Keys that end or stop the program: see test_leaving."""


def test_every_key_does_what_it_says(tmp_path: Path) -> None:
    assert [*EFFECTS, *ELSEWHERE] == [key.name for key in OF_A_PRESET]
    with watched(tmp_path, "unregistered", *ENDLESS, "--batch-size", "8") as run:
        run.terminal.wait_for("○ some")  # the screen knows the switches: from now on the keys work
        run.wait_steps(10)
        for name, effect in EFFECTS.items():
            answers = len(run.view.changes)
            effect(run, by_name(name))
            assert len(run.view.changes) == answers or name not in ON_THE_SCREEN_ALONE
            assert {refused.word for refused in refusals(run)} <= {"overfit"}
        assert run.terminal.unrestored() == []
        view = run.view
        assert view.end is not None
        assert (view.end.reason, view.status.state) == ("stopped", "stopped")
        assert view.end.executed_steps == view.curve.column("executed")[-1] > view.end.steps
        assert view.checkpoint is not None
        assert view.checkpoint.executed == view.end.executed_steps
        assert Path(view.checkpoint.path).exists()
