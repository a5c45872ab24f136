"""What waits to be written: whatever it is, it neither stops the writer nor fills the memory."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.record.tables import random_table
from tuitrain.record import waiting as waiting_module
from tuitrain.record.curves import STEP_COLUMNS, column, steps_of
from tuitrain.record.packing import Floats
from tuitrain.record.rows import Said
from tuitrain.record.waiting import AT_ONCE, MOST_LINES, MOST_MISSING, MOST_STEPS, StepRow, Waiting, thin

anything: st.SearchStrategy[Any] = (
    st.integers(-3, 60) | st.floats() | st.none() | st.text(max_size=2) | st.sampled_from([10**400, math.nan, True])
)
junk = st.lists(anything, min_size=len(STEP_COLUMNS), max_size=len(STEP_COLUMNS)).map(tuple) | st.just((1.0,))


def rows(table: Floats) -> list[StepRow]:
    return [msgspec.structs.astuple(step) for step in steps_of(table)]


def row(executed: int) -> StepRow:
    return rows(random_table(1, first=executed))[0]


def taken(waiting: Waiting) -> Floats:
    """All the steps, part by part."""
    parts = []
    while waiting:
        part = waiting.next()
        assert part.steps.shape[1] <= AT_ONCE
        waiting.written(part)
        parts.append(part.steps)
    return np.concatenate(parts, axis=1)


@given(st.lists(junk | st.integers(1, 40).map(row), max_size=30), st.integers(0, 20))
def test_only_steps_that_go_on_come_out_whatever_goes_in(given_: list[Any], last: int) -> None:
    waiting = Waiting(last)
    waiting.add_steps([*given_, row(1000)])
    steps = taken(waiting)
    assert steps.dtype == np.float64
    executed = column(steps, "executed")
    assert (np.diff(executed, prepend=last) >= 1).all()
    for name in ("executed", "step", "epoch", "overfit"):
        assert (column(steps, name) % 1 == 0).all()
    assert executed[-1] == 1000
    steps_of(steps)
    assert bool(waiting.lost) == (steps.shape[1] < len(given_) + 1)


def test_sound_steps_all_come_out() -> None:
    table = random_table(50_000)
    waiting = Waiting(0)
    for start in range(0, 50_000, 777):
        waiting.add_steps(rows(table[:, start : start + 777]))
    np.testing.assert_array_equal(taken(waiting), table)
    assert waiting.lost == ""


@pytest.mark.parametrize(
    ("executed", "reason"),
    [
        (5, "recorded before"),
        (4, "recorded before"),
        (-1, "recorded before"),
        (5.5, "no step holds"),
        (math.nan, "no step holds"),
        (None, "no step holds"),
        (6 + MOST_MISSING, "far from the others"),
    ],
)
def test_what_cannot_be_recorded_is_counted_and_the_reason_said(executed: float | None, reason: str) -> None:
    waiting = Waiting(5)
    unsound: Any = (executed, *row(6)[1:])
    waiting.add_steps([unsound, unsound, row(6)])
    assert column(taken(waiting), "executed").tolist() == [6.0]
    assert waiting.lost.startswith("2 steps")
    assert reason in waiting.lost


def test_too_many_steps_are_thinned_and_the_spikes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_module, "MOST_STEPS", 1000)
    table = random_table(20_000, seed=1)
    loss, norm = column(table, "loss"), column(table, "norm_before")
    loss[:], norm[:] = 1.0, 1.0
    loss[7000], loss[7100], norm[15_001] = 1e30, -1e30, 1e30
    waiting = Waiting(0)
    for start in range(0, 20_000, 500):
        waiting.add_steps(rows(table[:, start : start + 500]))
        assert waiting.next().steps.shape[1] <= 1000
    steps = taken(waiting)
    assert {7001.0, 7101.0, 15_002.0, 20_000.0} <= set(column(steps, "executed"))
    assert waiting.lost == f"{20_000 - steps.shape[1]:,} steps for which there was no room"


@given(st.integers(1, 300), st.integers(0, 20))
def test_thinning_takes_about_half_and_keeps_the_extremes_of_each_eight(count: int, seed: int) -> None:
    table = random_table(count, seed=seed)
    thinned = thin(table)
    assert thinned.shape[1] <= 4 * -(-count // 8) + 1
    kept = set(column(thinned, "executed"))
    assert count in kept
    for start in range(0, count - 7, 8):
        eight = table[:, start : start + 8]
        loss = column(eight, "loss")
        if not np.isnan(loss).any():
            assert {start + 1.0 + loss.argmin(), start + 1.0 + loss.argmax()} <= kept


def test_the_bound_in_memory_is_as_stated() -> None:
    assert MOST_STEPS * len(STEP_COLUMNS) * 8 == 11 * 2**20


def test_of_too_many_log_lines_the_oldest_are_dropped_and_no_other_event() -> None:
    waiting = Waiting(0)
    waiting.add_said(Said("Applied", None, b"first"))
    for number in range(MOST_LINES + 5):
        waiting.add_said(Said("LogLine", None, b"%d" % number))
    said = waiting.next().said
    assert said[0].kind == "Applied"
    assert [line.body for line in said[1:]] == [b"%d" % number for number in range(5, MOST_LINES + 5)]
    assert waiting.lost == "5 log lines for which there was no room"
    waiting.written(waiting.next())
    waiting.add_said(Said("LogLine", None, b"new"))
    assert [line.body for line in waiting.next().said] == [b"new"]
    assert waiting.lost == "5 log lines for which there was no room"


def test_what_was_said_is_written_with_the_last_of_the_steps() -> None:
    waiting = Waiting(0)
    waiting.add_steps(rows(random_table(AT_ONCE + 1)))
    waiting.add_said(Said("Applied", None, b""))
    first = waiting.next()
    assert (first.steps.shape[1], first.said) == (AT_ONCE, [])
    waiting.written(first)
    second = waiting.next()
    assert (second.steps.shape[1], len(second.said)) == (1, 1)
    waiting.written(second)
    assert not waiting
