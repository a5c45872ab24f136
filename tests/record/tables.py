"""Runs as tables of steps, full of what is hard to draw; journals written from them, and what viewers make of these."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from tuitrain.record.curves import CURVES, STEP_COLUMNS
from tuitrain.record.packing import Floats
from tuitrain.record.reader import News, Reader
from tuitrain.record.state import RunView
from tuitrain.record.store import Store
from tuitrain.record.traces import Traces

MANY = 20_000


def random_table(count: int, *, seed: int = 0, first: int = 1) -> Floats:
    """Steps (11, count) with spikes, stretches of NaN, infinities, overfitted stretches, and a changing threshold."""
    random = np.random.default_rng(seed)
    executed = np.arange(first, first + count, dtype=np.float64)
    loss, norm = random.lognormal(0.0, 0.5, count), random.lognormal(0.0, 0.5, count)
    loss[random.random(count) < 1e-3] *= 1e6
    loss[random.random(count) < 1e-3] = np.inf
    loss[_stretches(random, count)] = np.nan
    norm[_stretches(random, count)] = np.nan
    overfit = _stretches(random, count)
    max_norm = np.where(_stretches(random, count), np.nan, 0.5)
    values = {
        "executed": executed, "step": np.cumsum(~overfit) + first - 1.0, "time_s": executed / 400,
        "epoch": np.ones(count), "loss": loss, "norm_before": norm, "norm_after": np.fmin(norm, max_norm),
        "max_norm": max_norm, "lr": np.full(count, 1e-3), "accuracy": np.where(overfit, 0.5, np.nan),
        "overfit": overfit,
    }  # fmt: skip
    return np.stack([values[name] for name in STEP_COLUMNS]).astype(np.float64)


def _stretches(random: np.random.Generator, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """A few stretches of a few to a few thousand steps."""
    mask = np.zeros(count, np.bool_)
    for _ in range(int(random.integers(0, 4))):
        start = int(random.integers(0, max(1, count)))
        mask[start : start + int(random.integers(1, 3000))] = True
    return mask


def pieces(table: Floats, cuts: Sequence[int]) -> Iterator[Floats]:
    """The table in pieces, cut at the columns given."""
    bounds = [0, *sorted(cuts), table.shape[1]]
    return (table[:, start:end] for start, end in pairwise(bounds))


def written(path: Path, table: Floats, *, keep_every: int | None = None, cuts: Sequence[int] | None = None) -> Path:
    """A journal that holds these steps, committed in pieces."""
    with contextlib.closing(Store.create(path, keep_every)) as store:
        commit(store, table, range(MANY, table.shape[1], MANY) if cuts is None else cuts)
    return path


def commit(store: Store, table: Floats, cuts: Sequence[int] = ()) -> None:
    for piece in pieces(table, cuts):
        store.commit(piece, [])


def poll(path: Path, *, whole: bool = False) -> News:
    with contextlib.closing(Reader(path, whole=whole)) as reader:
        return reader.poll()


def traces_of(news: News) -> Traces:
    view = RunView()
    view.update(news)
    return view.traces


def traces_by_hand(table: Floats) -> Traces:
    traces = Traces()
    traces.extend(table)
    return traces


def assert_same(one: Traces, other: Traces) -> None:
    assert (one.executed, one.before, one.stride) == (other.executed, other.before, other.stride)
    for name in CURVES:
        np.testing.assert_array_equal(one[name].buckets.numbers, other[name].buckets.numbers)
        np.testing.assert_allclose(one[name].buckets.table, other[name].buckets.table, rtol=1e-9)


def rows_of(path: Path) -> list[tuple[object, ...]]:
    """Every row of steps and buckets."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        steps = database.execute("SELECT number, body FROM steps ORDER BY number").fetchall()
        return steps + database.execute("SELECT level, number, body FROM buckets ORDER BY level, number").fetchall()
