"""The file of a journal: the table of buckets that grows with it, and going on after a step."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.record.tables import assert_same, commit, poll, random_table, rows_of, traces_by_hand, traces_of, written
from tuitrain.record.curves import steps_of
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.packing import Floats
from tuitrain.record.pyramid import CHUNK
from tuitrain.record.reader import MOST_STEPS, NEWEST_STEPS
from tuitrain.record.state import RunView
from tuitrain.record.store import Store

LONG = 4096 * 64 + 9000
"""Steps of a run of which a viewer reads buckets, not steps."""


@pytest.fixture(scope="module")
def long_table() -> Floats:
    return random_table(LONG, seed=3)


@pytest.mark.parametrize("executed", [MOST_STEPS + 1, 24_576, 24_577, 4096 * 64, LONG])
def test_a_viewer_that_attaches_late_has_the_curves_of_one_that_saw_every_step(
    executed: int, long_table: Floats, tmp_path: Path
) -> None:
    table = long_table[:, :executed]
    news = poll(written(tmp_path / "journal.sqlite", table))
    assert news.overview is not None
    assert news.overview.executed % CHUNK == 0
    assert NEWEST_STEPS <= len(news.steps) < NEWEST_STEPS + CHUNK
    assert repr(news.steps) == repr(steps_of(table[:, news.overview.executed :]))
    assert_same(traces_of(news), traces_by_hand(table))


def test_up_to_so_many_steps_each_comes_by_itself(long_table: Floats, tmp_path: Path) -> None:
    table = long_table[:, :MOST_STEPS]
    news = poll(written(tmp_path / "journal.sqlite", table))
    assert news.overview is None
    assert repr(news.steps) == repr(steps_of(table))


def test_a_viewer_that_lags_behind_gets_an_overview_in_the_place_of_what_it_had(
    long_table: Floats, tmp_path: Path
) -> None:
    view, path = RunView(), tmp_path / "journal.sqlite"
    with contextlib.closing(Store.create(path, None)) as store, contextlib.closing(Reader(path)) as reader:
        for start, end in ((0, 1000), (1000, 1500), (1500, 90_000), (90_000, 90_001)):
            store.commit(long_table[:, start:end], [])
            news = reader.poll()
            assert (news.overview is not None) == (end == 90_000)
            assert not news.anew
            view.update(news)
            assert_same(view.traces, traces_by_hand(long_table[:, :end]))
    assert view.last_step is not None
    assert view.last_step.executed == 90_001


@settings(deadline=None, max_examples=12)
@given(
    st.integers(1, 70_000),
    st.integers(0, 70_000),
    st.lists(st.integers(0, 70_000), max_size=5),
    st.sampled_from([None, 7]),
    st.integers(0, 5),
)
def test_a_journal_that_went_on_is_the_one_that_was_never_stopped(
    count: int, executed: int, cuts: list[int], keep_every: int | None, seed: int
) -> None:
    table = random_table(count, seed=seed)
    until = min(executed, count)
    with tempfile.TemporaryDirectory() as directory:
        straight = written(Path(directory) / "straight", table)
        path = written(Path(directory) / "stopped", table, cuts=[min(cut, count) for cut in cuts])
        with contextlib.closing(Store.reopen(path, executed, keep_every)) as store:
            assert store.executed == until
            commit(store, table[:, until:], [cut - until for cut in cuts if until < cut < count])
        assert rows_of(path) == rows_of(straight)
        assert_same(traces_of(poll(path)), traces_by_hand(table))


@settings(deadline=None, max_examples=12)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=60, unique=True), st.integers(0, 40_000))
def test_steps_that_are_missing_leave_gaps_and_nothing_else(executed: list[int], until: int) -> None:
    columns = np.array(sorted(executed)) - 1
    table = random_table(40_000)[:, columns]
    with tempfile.TemporaryDirectory() as directory:
        path = written(Path(directory) / "journal.sqlite", table, cuts=[len(columns) // 2])
        assert repr(poll(path, whole=True).steps) == repr(steps_of(table))
        assert_same(traces_of(poll(path)), traces_by_hand(table))
        rows = rows_of(path)
        kept = int(np.searchsorted(columns + 1, until, "right"))
        with contextlib.closing(Store.reopen(path, until, None)) as store:
            assert repr(poll(path, whole=True).steps) == repr(steps_of(table[:, :kept]))
            commit(store, table[:, kept:])
        assert rows_of(path) == rows


@contextlib.contextmanager
def failing_commit(store: Store) -> Iterator[None]:
    """The disk takes nothing meanwhile."""
    store._database.execute("PRAGMA max_page_count = 1")
    yield
    store._database.execute("PRAGMA max_page_count = 1000000")


def test_a_commit_that_failed_changed_nothing_and_can_be_done_again(tmp_path: Path) -> None:
    table = random_table(30_000)
    path, straight = tmp_path / "journal.sqlite", written(tmp_path / "straight.sqlite", table)
    with contextlib.closing(Store.create(path, None)) as store:
        commit(store, table[:, :10_000], [3000])
        before = rows_of(path)
        with failing_commit(store), pytest.raises(sqlite3.OperationalError, match="full"):
            store.commit(table[:, 10_000:], [])
        assert rows_of(path) == before
        commit(store, table[:, 10_000:], [7])
    assert rows_of(path) == rows_of(straight)


@pytest.mark.parametrize("keep_every", [0, -1])
def test_keeping_every_0th_step_is_no_way_of_keeping_steps(keep_every: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Journal(tmp_path / "journal.sqlite", keep_every=keep_every)
    assert not list(tmp_path.iterdir())
