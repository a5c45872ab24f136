"""`tuitrain.batches`: batches of any origin, one by one, where nothing watches."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

import tuitrain
from tuitrain.engine.script.batches import Batches


@given(length=st.integers(0, 5), count=st.none() | st.integers(0, 7), kind=st.sampled_from(["list", "generator"]))
def test_batches_of_an_iterable(length: int, count: int | None, kind: str) -> None:
    source = list(range(length)) if kind == "list" else (number for number in range(length))
    given_ = list(tuitrain.batches(source, count))
    assert given_ == list(range(length))[:count]


def test_batches_of_a_function_come_without_end_or_as_many_as_wanted() -> None:
    numbers = itertools.count()
    assert list(tuitrain.batches(lambda: next(numbers), 3)) == [0, 1, 2]
    assert list(itertools.islice(tuitrain.batches(lambda: next(numbers)), 2)) == [3, 4]
    assert next(numbers) == 5


def test_a_loader_is_its_own_iterator() -> None:
    loader = DataLoader(TensorDataset(torch.arange(4)), batch_size=2)
    assert isinstance(tuitrain.batches(loader), _BaseDataLoaderIter)
    assert isinstance(tuitrain.batches(loader, 1), Batches)
    assert [batch[0].tolist() for batch in tuitrain.batches(loader, 1)] == [[0, 1]]


@pytest.mark.parametrize(
    ("source", "count", "error", "sentence"),
    [
        (3, None, TypeError, "an iterable of batches, or a function without arguments that makes one, not a int."),
        ([1], 1.5, TypeError, "tuitrain.batches takes a whole number of batches, not 1.5."),
        ([1], True, TypeError, "tuitrain.batches takes a whole number of batches, not True."),
        ([1], -1, ValueError, "tuitrain.batches cannot give -1 batches."),
    ],
)
def test_what_are_no_batches_is_said(source: Any, count: Any, error: type[Exception], sentence: str) -> None:  # noqa: ANN401
    with pytest.raises(error) as raised:
        tuitrain.batches(source, count)
    assert str(raised.value).endswith(sentence)


def test_nothing_is_loaded_before_it_is_used() -> None:
    program = """
import sys, tuitrain
assert {"batches", "watch"} <= set(dir(tuitrain)) and not hasattr(tuitrain, "unheard")
print(list(tuitrain.batches("ab")), sorted({"torch", "textual", "msgspec"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['a', 'b'] []\n"


def iterated() -> Iterator[int]:
    """What the checker makes of the types."""
    numbers: Iterator[int] = tuitrain.batches([1, 2])
    made: Iterator[str] = tuitrain.batches(lambda: "batch", 3)
    yield from numbers
    yield len(next(made))


def test_the_types_are_those_of_the_batches() -> None:
    assert list(iterated()) == [1, 2, 5]
