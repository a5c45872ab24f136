"""Buckets: what they say of a curve is what the curve is, however they came about."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuitrain.record.buckets import FIELDS, Buckets, joined

values = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0])
points = st.lists(st.tuples(st.integers(1, 5), values, st.booleans()), max_size=120)
"""How far each point is from the one before, its value, and whether a NaN stands for a gap."""

Point = tuple[float, float, bool]


def placed(drawn: Sequence[tuple[int, float, bool]]) -> list[Point]:
    """Points with their x; only a NaN stands for a gap."""
    x, placed_ = 0, []
    for distance, y, gap in drawn:
        x += distance
        placed_.append((float(x), y, not (gap and math.isnan(y))))
    return placed_


def buckets(curve: Sequence[Point]) -> Buckets:
    x, y, real = (np.array(column) for column in zip(*curve, strict=True)) if curve else (np.empty(0),) * 3
    return Buckets.of(x, y, real.astype(bool))


def by_definition(curve: Sequence[Point], stride: int) -> dict[int, dict[str, float]]:
    """What each bucket of the curve holds, point by point."""
    groups: dict[int, list[Point]] = {}
    for point in curve:
        groups.setdefault((int(point[0]) - 1) // stride, []).append(point)
    return {number: _bucket(group) for number, group in groups.items()}


def _bucket(group: Sequence[Point]) -> dict[str, float]:
    held = [(x, y) for x, y, _ in group if not math.isnan(y)]
    real = [(x, y) for x, y, is_real in group if is_real]
    summed = [y for _, y in held if abs(y) <= 1e300]
    low, high = (choose(held, key=lambda point: point[1], default=(math.nan,) * 2) for choose in (min, max))
    last = real[-1] if real else (math.nan,) * 2
    x_nan = max((x for x, y, _ in group if math.isnan(y)), default=math.nan)
    return dict(zip(FIELDS, (*low, *high, *last, x_nan, sum(summed), len(summed)), strict=True))


def assert_same(found: Buckets, wanted: dict[int, dict[str, float]]) -> None:
    assert found.numbers.tolist() == list(wanted)
    for name in FIELDS:
        expected = [bucket[name] for bucket in wanted.values()]
        if name == "total":
            np.testing.assert_allclose(found.column(name), expected, rtol=1e-9, atol=1e-3)
        else:
            np.testing.assert_array_equal(found.column(name), expected)


@given(points, st.integers(1, 20), st.integers(1, 5))
def test_a_bucket_holds_what_it_says_and_widening_it_is_making_it_wide(
    drawn: list[tuple[int, float, bool]], stride: int, factor: int
) -> None:
    curve = placed(drawn)
    narrow = buckets(curve).merged(stride)
    assert_same(narrow, by_definition(curve, stride))
    assert_same(narrow.merged(factor), by_definition(curve, stride * factor))


@given(points, st.integers(1, 20), st.lists(st.integers(0, 120), max_size=5))
def test_buckets_of_pieces_are_those_of_the_whole(
    drawn: list[tuple[int, float, bool]], stride: int, cuts: list[int]
) -> None:
    curve = placed(drawn)
    bounds = [0, *sorted(min(cut, len(curve)) for cut in cuts), len(curve)]
    parts = [buckets(curve[start:end]).merged(stride) for start, end in pairwise(bounds)]
    assert_same(joined(parts), by_definition(curve, stride))


@given(points)
def test_dense_and_back(drawn: list[tuple[int, float, bool]]) -> None:
    there = buckets(placed(drawn)).merged(3)
    table = there.dense(0, 300)
    back = Buckets.from_dense(table, 0)
    np.testing.assert_array_equal(back.numbers, there.numbers)
    np.testing.assert_array_equal(back.table, there.table)


@given(points, st.integers(0, 400))
def test_split_and_joined(drawn: list[tuple[int, float, bool]], first: int) -> None:
    there = buckets(placed(drawn)).merged(2)
    before, after = there.split(first)
    assert (before.numbers < first).all()
    assert (after.numbers >= first).all()
    np.testing.assert_array_equal(joined([before, after]).table, there.table)
