"""Long runs: what a viewer reads of them is bounded, and so is what is kept of them, where that is asked."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.record.tables import (
    MANY,
    assert_same,
    commit,
    poll,
    random_table,
    rows_of,
    traces_by_hand,
    traces_of,
    written,
)
from tuitrain.errors import UserError
from tuitrain.record import rollup
from tuitrain.record import traces as traces_module
from tuitrain.record.curves import column, steps_of
from tuitrain.record.journal import Reader
from tuitrain.record.packing import Floats
from tuitrain.record.pyramid import CHUNK, FINEST
from tuitrain.record.reader import MOST_STEPS
from tuitrain.record.store import Store
from tuitrain.record.traces import Traces, stride_for

LONG = 400_000
FEW = 256
KEPT = FEW * FINEST
"""With so few buckets to a curve, that many steps are long: there are four levels, and the third is read."""

SPIKE = 1e9


@pytest.fixture(scope="module", autouse=True)
def few_buckets() -> Iterator[None]:
    """A curve has few buckets, and fewer of the newest steps are kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces_module, "BUCKETS", FEW)
        patch.setattr(rollup, "NEWEST_KEPT", KEPT)
        yield


@pytest.fixture(scope="module")
def long_table() -> Floats:
    """The steps of a long run, with one spike early on, that only its bucket remembers after rolling up."""
    table = random_table(LONG, seed=3)
    loss = column(table, "loss")
    loss[np.isinf(loss)] = 1.0  # an infinite one beside it would be the largest
    loss[12_345] = SPIKE
    column(table, "overfit")[12_300:12_400] = 0.0
    return table


@pytest.fixture(scope="module")
def long_run(long_table: Floats, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("long") / "journal.sqlite", long_table)


@pytest.mark.parametrize("executed", [MOST_STEPS + 1, 65_536, 262_144 + 8191, 262_144 + 4096, LONG])
def test_a_viewer_that_attaches_to_a_long_run_has_the_curves_of_one_that_saw_every_step(
    executed: int, long_table: Floats, tmp_path: Path
) -> None:
    news = poll(written(tmp_path / "journal.sqlite", long_table[:, :executed]))
    assert news.overview is not None
    assert_same(traces_of(news), traces_by_hand(long_table[:, :executed]))


def test_a_reader_of_the_whole_gets_every_step(long_run: Path, long_table: Floats) -> None:
    news = poll(long_run, whole=True)
    assert news.overview is None
    assert [step.executed for step in news.steps] == list(range(1, LONG + 1))
    assert repr(news.steps[:: LONG // 100]) == repr(steps_of(long_table[:, :: LONG // 100]))


def test_what_an_attaching_viewer_reads_is_bounded(long_run: Path) -> None:
    """Rows, not seconds: of steps and of buckets, however long the run is."""
    read = 0

    def count(statement: str) -> None:
        nonlocal read
        read += 1

    with contextlib.closing(Reader(long_run)) as reader:
        reader._database.set_progress_handler(lambda: count(""), 100)
        reader.poll()
    assert read < 200, "a scan of all steps takes thousands of ticks"


def rolled(directory: Path, table: Floats, keep_every: int) -> Path:
    return written(directory / "rolled.sqlite", table, keep_every=keep_every)


def test_rolling_up_keeps_every_nth_of_the_old_steps_all_of_the_new_ones_and_the_curves(
    long_table: Floats, long_run: Path, tmp_path: Path
) -> None:
    path = rolled(tmp_path, long_table, 100)
    steps = poll(path, whole=True).steps
    whole = steps_of(long_table)
    boundary = (LONG - KEPT) // CHUNK * CHUNK
    expected = [s for s in whole if s.executed > boundary or s.executed % 100 == 0 or s.executed % CHUNK == 0]
    assert repr(steps) == repr(expected)
    assert_same(traces_of(poll(path)), traces_by_hand(long_table))
    assert column_of_loss(path).max() == SPIKE, "the spike of a step that is no longer kept"
    assert path.stat().st_size < 0.15 * long_run.stat().st_size


def column_of_loss(path: Path) -> Floats:
    _, loss = traces_of(poll(path))["loss"].extremes()
    finite: Floats = loss[np.isfinite(loss)]
    return finite


def test_rolling_up_takes_a_bounded_slice_of_each_commit_and_catches_up(
    long_table: Floats, long_run: Path, tmp_path: Path
) -> None:
    """A journal whose old steps were all kept is opened again, and now rolled up."""
    path = tmp_path / "journal.sqlite"
    path.write_bytes(long_run.read_bytes())
    with contextlib.closing(Store.reopen(path, LONG - 1000, 50)) as store:
        counts = [count_of(path, "steps")]
        for at in range(LONG - 1000, LONG):
            store.commit(long_table[:, at : at + 1], [])
            if at % 10 == 0:
                counts.append(count_of(path, "steps"))
    assert min(np.diff(counts)) > -10 * 9 * 64
    assert_same(traces_of(poll(path)), traces_by_hand(long_table))
    assert rows_of(path) == rows_of(rolled(tmp_path, long_table, 50))


def count_of(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as database:
        (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


@pytest.mark.parametrize("back_to", [1, 4095, 20_000, 100_000, 300_001, LONG - KEPT - 1, LONG - 5])
def test_a_rolled_up_run_can_go_on_from_any_step(back_to: int, long_table: Floats, tmp_path: Path) -> None:
    path = rolled(tmp_path, long_table, 100)
    with contextlib.closing(Store.reopen(path, back_to, 100)) as store:
        kept = store.executed
        assert back_to - 100 < kept <= back_to
        assert poll(path, whole=True).steps[-1:] == steps_of(long_table[:, kept - 1 : kept])[: kept > 0]
        until = min(LONG, back_to + 100_000)
        commit(store, long_table[:, back_to:until], range(MANY, until - back_to, MANY))
    found, wanted = traces_of(poll(path)), traces_by_hand(long_table[:, :until])
    assert (found.executed, found.before) == (wanted.executed, wanted.before)
    assert found.stride >= wanted.stride == stride_for(until)
    x, _ = found["norm_before"].extremes()
    assert x[0] <= 100 * found.stride
    assert np.diff(x).max() <= 2 * max(100, found.stride), "a hole in the curve"
    new = x > back_to + found.stride
    exact, _ = traces_at(long_table[:, :until], found.stride)["norm_before"].extremes()
    np.testing.assert_array_equal(x[new], exact[exact > back_to + found.stride])


def traces_at(table: Floats, stride: int) -> Traces:
    """The curves at a given stride."""
    traces = traces_by_hand(table)
    traces.curves = {
        name: trace._replace(buckets=trace.buckets.merged(stride // trace.stride), stride=stride)
        for name, trace in traces.curves.items()
    }
    return traces


@pytest.mark.parametrize("number", [0, 5])
def test_buckets_that_are_gone_are_missed(number: int, long_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(long_run.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("DELETE FROM buckets WHERE level = 2 AND number = ?", (number,)).rowcount == 1
        database.commit()
    with pytest.raises(UserError, match="buckets of level 2 are missing"):
        poll(path)
