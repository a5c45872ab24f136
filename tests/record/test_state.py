"""The state of a run as a viewer folds it from the journal."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ui.fake_run import fake_events, fake_steps, fake_view
from tuitrain.record.commands import Set, Stop
from tuitrain.record.curves import table_of
from tuitrain.record.events import (
    AnyEvent,
    Applied,
    Checkpoint,
    End,
    Finding,
    LogLine,
    Rejected,
    Status,
    Step,
    Switches,
    Validation,
)
from tuitrain.record.journal import News
from tuitrain.record.state import TIMELINE_LENGTH, Curve, RunView


def told(view: RunView, *events: AnyEvent) -> None:
    view.update(News([], list(events)))


def test_nothing_is_known_before_the_run_has_said_it() -> None:
    view = RunView()
    assert len(view.curve) == 0
    assert view.status.state == "loading"
    assert {view.run, view.tree, view.mode, view.last_step, view.end} == {None}
    assert view.wanted("clip") is None
    assert not view.timeline


def test_everything_of_a_run_is_folded() -> None:
    view = fake_view(steps=600, end=True)
    assert view.run is not None
    assert view.run.preset == "mnist"
    assert view.status.state == "finished"
    assert len(view.curve) == 600
    assert view.last_step is not None
    assert view.last_step.executed == 600
    assert set(view.reports) == {"overfit", "shuffle", "normalise", "clipping", "modes", "registration"}
    assert [change.word for change in view.changes] == [
        "clip", "overfit", "overfit", "max_norm", "normalise", "normalise",
    ]  # fmt: skip
    assert view.switches["max_norm"] == 0.5
    assert [told.word for told in view.timeline if isinstance(told, Rejected)] == ["register"]
    assert {validation.mode for validation in view.validations} == {"eval", "train"}
    assert view.tree is not None
    assert view.tree.rows[0].type == "Net"
    assert view.gradient_norms is not None
    assert "conv1.weight" in view.gradient_norms.norms
    assert view.mode is not None
    assert view.mode.disagree == ("bn",)
    assert len(view.findings) == 1
    assert view.vitals is not None
    assert view.checkpoint is not None
    assert view.checkpoint.path == "checkpoints/last.pt"
    assert view.end is not None
    assert view.end.executed_steps == 600


@given(st.lists(st.integers(0, 300), max_size=12))
def test_the_state_does_not_depend_on_how_the_news_come(cuts: list[int]) -> None:
    steps, events = fake_steps(300), fake_events(300, end=True)
    whole, pieces = RunView(), RunView()
    whole.update(News(steps, events))
    bounds = [0, *sorted(cuts), 300]
    for start, end in pairwise(bounds):
        pieces.update(News(steps[start:end], events[start : end if end < 300 else None]))
    for name in Curve.COLUMNS:
        np.testing.assert_array_equal(pieces.curve.column(name), whole.curve.column(name))
    assert pieces.switches == whole.switches
    assert list(map(repr, pieces.timeline)) == list(map(repr, whole.timeline))
    assert repr(pieces.status) == repr(whole.status)


@given(st.lists(st.integers(0, 12_000), min_size=1, max_size=5))
def test_a_curve_holds_the_newest_steps_and_what_was_taken_out_stays_as_it_was(sizes: list[int]) -> None:
    curve = Curve()
    taken: list[tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]] = []
    executed = 0
    for size in sizes:
        table = np.tile(np.arange(executed + 1, executed + size + 1, dtype=np.float64), (len(Curve.COLUMNS), 1))
        executed += size
        curve.extend(table)
        assert min(executed, Curve.KEPT) <= len(curve) <= 2 * Curve.KEPT
        assert curve.column("executed").tolist() == list(range(executed - len(curve) + 1, executed + 1))
        taken.append((executed, curve.column("loss")))
    for last, column in taken:
        assert column.tolist() == list(range(last - len(column) + 1, last + 1))


def _step(executed: int) -> Step:
    return Step(
        executed=executed, step=executed, epoch=1, loss=1 / executed, norm_before=1.0, norm_after=1.0,
        max_norm=math.nan, lr=0.1, accuracy=math.nan, overfit=executed % 2 == 0,
    )  # fmt: skip


def test_a_curve_holds_flags_as_numbers_and_what_was_not_measured_as_nan() -> None:
    curve = Curve()
    curve.extend(table_of([_step(1), _step(2)]))
    assert curve.column("overfit").tolist() == [0.0, 1.0]
    assert np.isnan(curve.column("max_norm")).all()


def test_a_command_is_pending_until_it_is_answered() -> None:
    view = RunView()
    told(view, Switches(values={"clip": False, "lr": 0.1}))
    on, off, stop = Set(name="clip", value=True), Set(name="clip", value=False), Stop()
    for command in (on, off, stop):
        view.sent(command)
    assert view.pending_value("clip") is False
    assert view.wanted("clip") is False
    assert view.wanted("lr") == 0.1
    told(view, Applied(id=off.id, word="clip", value=False, by="key"))
    assert view.wanted("clip") is True
    told(view, Rejected(id=on.id, word="clip", by="key", reason="no"))
    assert view.pending_value("clip") is None
    assert view.wanted("clip") is False
    assert [pending.word for pending in view.pending.values()] == ["stop"]
    told(view, Applied(id="of another viewer", word="clip", value=True, by="web"))
    assert [pending.word for pending in view.pending.values()] == ["stop"]


def test_the_timeline_holds_in_order_what_is_worth_a_line() -> None:
    view = RunView()
    events: list[AnyEvent] = [
        LogLine(stream="stdout", text="a"),
        Status(state="running", message="not a line"),
        Applied(id="1", word="clip", value=True, by="key"),
        Finding(rule="r", severity="hint", message="shown apart"),
        LogLine(stream="stderr", text="b"),
        Rejected(id="2", word="lr", by="key", reason="no"),
        Validation(epoch=1, mode="eval", loss=0.1, accuracy=0.9, samples=1, seconds=0.1, cause="end"),
        Checkpoint(path="p", sha256="0", bytes=1),
        Status(state="failed", message="a line"),
        End(steps=1, executed_steps=1, val_accuracy=None, val_loss=None, weights_sha256=None, reason="failed"),
    ]
    told(view, *events)
    expected = [events[index] for index in (0, 2, 4, 5, 6, 7, 8, 9)]
    assert list(map(id, view.timeline)) == list(map(id, expected))
    assert view.told == len(expected)


def test_the_timeline_forgets_the_oldest_and_still_counts_them() -> None:
    view = RunView()
    told(view, *(LogLine(stream="run", text=str(number)) for number in range(TIMELINE_LENGTH + 5)))
    assert len(view.timeline) == TIMELINE_LENGTH
    assert view.told == TIMELINE_LENGTH + 5
    first = view.timeline[0]
    assert isinstance(first, LogLine)
    assert first.text == "5"


def test_a_step_among_the_events_is_an_error() -> None:
    with pytest.raises(TypeError, match="table of steps"):
        told(RunView(), _step(1))
