"""Traces: the curves of a run of any length, of bounded size, in which every spike survives."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.record.tables import assert_same, pieces, random_table
from tuitrain.record import traces as traces_module
from tuitrain.record.buckets import Buckets
from tuitrain.record.curves import CURVES, Before, column, cut
from tuitrain.record.packing import Floats
from tuitrain.record.traces import BUCKETS, Overview, Trace, Traces, stride_for

numbers = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf])


def traces_of(table: Floats, cuts: Sequence[int] = ()) -> Traces:
    traces = Traces()
    for piece in pieces(table, cuts):
        traces.extend(piece)
    return traces


def trace_of(values: Sequence[float], stride: int) -> Trace:
    x = np.arange(1, len(values) + 1, dtype=np.float64)
    return Trace().extended(Buckets.of(x, np.array(values), np.full(len(x), True)), stride)


@pytest.mark.parametrize(
    ("executed", "stride"),
    [(0, 1), (1, 1), (BUCKETS, 1), (BUCKETS + 1, 2), (2 * BUCKETS, 2), (2 * BUCKETS + 1, 4), (10_000_000, 4096)],
)
def test_the_stride_of_a_run(executed: int, stride: int) -> None:
    assert stride_for(executed) == stride


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2000), st.integers(0, 10), st.lists(st.integers(0, 2000), max_size=8))
def test_traces_do_not_depend_on_the_pieces_in_which_the_steps_come(count: int, seed: int, cuts: list[int]) -> None:
    table = random_table(count, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces_module, "BUCKETS", 8)
        assert_same(traces_of(table, [min(cut, count) for cut in cuts]), traces_of(table))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 10))
def test_traces_go_on_from_an_overview_as_if_they_had_seen_the_steps(chunks: int, more: int, seed: int) -> None:
    table = random_table(64 * chunks + more, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces_module, "BUCKETS", 8)
        until, stride = 64 * chunks, stride_for(64 * chunks)
        first, rest = table[:, :until], table[:, until:]
        curves = tuple(buckets.merged(stride) for buckets in cut(first, Before()))
        traces = Traces(Overview(until, stride, curves, Before.after(first)))
        traces.extend(rest)
        assert_same(traces, traces_of(table))


@given(st.lists(numbers, max_size=200), st.sampled_from([1, 2, 4, 32]))
def test_the_extremes_are_points_of_the_curve_in_order_and_none_is_missing(values: list[float], stride: int) -> None:
    x, y = trace_of(values, stride).extremes()
    assert len(x) <= 3 * -(-len(values) // stride) + 1
    assert (np.diff(x) > 0).all()
    np.testing.assert_array_equal(y, np.array(values)[x.astype(np.int64) - 1])
    assert x[-1:].tolist() == [len(values)][: len(values)]
    for start in range(0, len(values), stride):
        bucket = np.array(values[start : start + stride])
        mine = y[(x > start) & (x <= start + stride)]
        assert np.isnan(mine).any() == np.isnan(bucket).any()
        if not np.isnan(bucket).all():
            assert (np.nanmin(mine), np.nanmax(mine)) == (np.nanmin(bucket), np.nanmax(bucket))
    if stride == 1:
        assert x.tolist() == list(range(1, len(values) + 1))


@given(st.lists(numbers, max_size=200), st.sampled_from([1, 2, 4, 32]))
def test_the_means_are_those_of_the_finite_values_and_break_off_where_the_curve_does(
    values: list[float], stride: int
) -> None:
    x, y = trace_of(values, stride).means()
    expected = []
    for start in range(0, len(values), stride):
        bucket = np.array(values[start : start + stride])
        finite = bucket[np.isfinite(bucket)]
        expected.append((start + len(bucket), finite.mean() if len(finite) else np.nan))
    assert x.tolist() == [place for place, _ in expected]
    np.testing.assert_allclose(y, [mean for _, mean in expected], rtol=1e-9, atol=1e-6)


def test_the_latest_value_is_the_last_even_if_it_is_nan() -> None:
    assert math.isnan(Trace().latest)
    assert trace_of([1.0, 2.0], 4).latest == 2.0
    assert math.isnan(trace_of([1.0, math.nan], 4).latest)


@pytest.mark.parametrize("stride", [1, 4, 64])
def test_a_long_overfitted_stretch_is_a_gap_in_the_run_s_own_loss(stride: int) -> None:
    table = random_table(600)
    for name, values in (("loss", np.ones(600)), ("overfit", np.zeros(600))):
        column(table, name)[:] = values
    column(table, "overfit")[100:500] = 1.0
    column(table, "loss")[100:500] = 0.5
    traces = Traces(Overview(0, stride, (Buckets.none(),) * len(CURVES), Before()))
    traces.extend(table)
    for curve, points in ((traces["loss"], traces["loss"].extremes()), (traces["loss"], traces["loss"].means())):
        x, y = points
        assert set(y[~np.isnan(y)]) == {1.0}
        assert np.isnan(y[(x > 100) & (x <= 500)]).any(), "the line goes on across what was not trained"
        assert curve.latest == 1.0
    x, y = traces["overfit"].extremes()
    drawn = ~np.isnan(y)
    assert (x[drawn].min(), x[drawn].max()) == (101, 500) or stride > 1
    assert set(y[drawn]) == {0.5}
    assert traces["overfit"].latest == 0.5


def test_the_first_of_each_stretch_of_nan_is_told() -> None:
    table = random_table(2000)
    loss = column(table, "loss")
    loss[:] = 1.0
    loss[[9, 10, 11, 99, 500]] = np.nan
    assert traces_of(table)["undefined"].buckets.column("x_low").tolist() == [10.0, 100.0, 501.0]
