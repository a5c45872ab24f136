"""Batches, normalisation and the data sets by name."""

import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from torch import Tensor

from tuitrain.engine import mnist
from tuitrain.engine.data import DATASETS, Batches, BatchesState, DataRequest, Normaliser, TaskData
from tuitrain.errors import UserError

sizes = st.integers(1, 60)
batch_sizes = st.integers(1, 70)
seeds = st.integers(0, 2**31)
toggles = st.lists(st.sampled_from([None, True, False]), max_size=200)


def make(size: int, batch_size: int, *, shuffle: bool, seed: int = 0, drop_last: bool = False) -> Batches:
    """Batches whose inputs [size, 2] and targets [size] both tell which sample they are."""
    ids = torch.arange(size)
    return Batches(
        torch.stack([ids, -ids], dim=1),
        ids.clone(),
        batch_size,
        shuffle=shuffle,
        seed=seed,
        drop_last=drop_last,
    )


def ids_of(batch: tuple[Tensor, Tensor]) -> list[int]:
    inputs, targets = batch
    assert inputs[:, 0].equal(targets)
    assert inputs[:, 1].equal(-targets)
    ids: list[int] = targets.tolist()
    return ids


def epoch(batches: Batches) -> list[int]:
    return [i for batch in batches for i in ids_of(batch)]


class Toggler:
    """Calls set_shuffle with the next of `wishes`; None leaves it as it is."""

    def __init__(self, wishes: list[bool | None]) -> None:
        self.wishes = iter(wishes)

    def __call__(self, batches: Batches) -> None:
        wish = next(self.wishes, None)
        if wish is not None:
            batches.set_shuffle(wish)
            assert batches.shuffle is wish


@given(sizes, batch_sizes, st.booleans(), seeds, toggles)
def test_every_sample_once_an_epoch_whatever_is_toggled(
    size: int, batch_size: int, shuffle: bool, seed: int, wishes: list[bool | None]
) -> None:
    batches = make(size, batch_size, shuffle=shuffle, seed=seed)
    toggle = Toggler(wishes)
    for _ in range(3):
        toggle(batches)
        seen: list[int] = []
        iterator = iter(batches)
        toggle(batches)
        for position, batch in enumerate(iterator, start=1):
            assert batches.position == position
            seen += ids_of(batch)
            toggle(batches)
        assert position == len(batches)
        assert sorted(seen) == list(range(size))


@given(sizes, batch_sizes, st.booleans(), seeds, toggles, st.integers(0, 200))
def test_continues_identically_from_any_saved_state(
    size: int, batch_size: int, shuffle: bool, seed: int, wishes: list[bool | None], stop: int
) -> None:
    batches = make(size, batch_size, shuffle=shuffle, seed=seed)
    stop %= len(batches) + 1
    toggle = Toggler(wishes)
    iterator = iter(batches)
    for _ in range(stop):
        next(iterator)
        toggle(batches)
    state = batches.state_dict()
    fresh = make(size, batch_size, shuffle=not shuffle, seed=seed + 1)
    fresh.load_state_dict(state)
    assert fresh.position == stop
    assert fresh.shuffle == batches.shuffle
    rest = [ids_of(batch) for batch in iterator]
    if rest:
        assert [ids_of(batch) for batch in fresh] == rest
    fresh.set_shuffle(True)
    batches.set_shuffle(True)
    assert epoch(fresh) == epoch(batches)


@given(sizes, batch_sizes, st.booleans(), seeds, st.integers(0, 200))
def test_iterator_at_work_goes_back_with_its_batches(
    size: int, batch_size: int, shuffle: bool, seed: int, stop: int
) -> None:
    batches = make(size, batch_size, shuffle=shuffle, seed=seed)
    stop %= len(batches)
    iterator = iter(batches)
    for _ in range(stop):
        next(iterator)
    state = batches.state_dict()
    held = ids_of(next(iterator))
    batches.set_shuffle(not shuffle)
    batches.load_state_dict(state)
    assert batches.shuffle is shuffle
    assert ids_of(next(iterator)) == held
    assert sum(1 for _ in iterator) == len(batches) - stop - 1
    assert sorted(epoch(batches)) == list(range(size))


def test_state_survives_torch_save(tmp_path: Path) -> None:
    batches = make(40, 7, shuffle=True)
    iterator = iter(batches)
    next(iterator)
    torch.save(batches.state_dict(), tmp_path / "state.pt")
    state: BatchesState = torch.load(tmp_path / "state.pt", weights_only=True)
    other = make(40, 7, shuffle=False)
    other.load_state_dict(state)
    assert epoch(other) == [i for batch in iterator for i in ids_of(batch)]


def test_saved_state_does_not_move_with_the_run() -> None:
    batches = make(40, 7, shuffle=True)
    iterator = iter(batches)
    next(iterator)
    state = batches.state_dict()
    rest = [ids_of(batch) for batch in iterator]
    epoch(batches)
    for _ in range(2):
        batches.load_state_dict(state)
        assert [ids_of(batch) for batch in batches] == rest


@given(sizes, st.booleans(), st.booleans())
def test_global_generators_are_not_touched(size: int, shuffle: bool, toggled: bool) -> None:
    before = torch.get_rng_state(), pickle.dumps(np.random.get_state()), random.getstate()
    batches = make(size, 3, shuffle=shuffle)
    iterator = iter(batches)
    next(iterator)
    batches.set_shuffle(toggled)
    batches.load_state_dict(batches.state_dict())
    epoch(batches)
    assert torch.get_rng_state().equal(before[0])
    assert (pickle.dumps(np.random.get_state()), random.getstate()) == before[1:]


def test_order_in_sequence_and_shuffled() -> None:
    assert epoch(make(50, 8, shuffle=False)) == list(range(50))
    batches = make(50, 8, shuffle=True, seed=3)
    first, second = epoch(batches), epoch(batches)
    assert first != list(range(50))
    assert first != second
    assert epoch(make(50, 8, shuffle=True, seed=3)) == first
    assert epoch(make(50, 8, shuffle=True, seed=4)) != first


def test_toggling_acts_on_what_is_left_of_the_epoch() -> None:
    batches = make(60, 10, shuffle=True)
    iterator = iter(batches)
    given_ = ids_of(next(iterator))
    batches.set_shuffle(False)
    ordered = ids_of(next(iterator))
    assert ordered == sorted(set(range(60)) - set(given_))[:10]
    batches.set_shuffle(True)
    rest = [i for batch in iterator for i in ids_of(batch)]
    assert rest != sorted(rest)
    assert sorted(rest) == sorted(set(range(60)) - set(given_) - set(ordered))


def test_setting_what_is_already_set_changes_nothing() -> None:
    plain, told = make(60, 10, shuffle=True), make(60, 10, shuffle=True)
    expected = [epoch(plain) for _ in range(2)]
    iterator = iter(told)
    first = ids_of(next(iterator))
    told.set_shuffle(True)
    assert first + [i for batch in iterator for i in ids_of(batch)] == expected[0]
    assert epoch(told) == expected[1]


def test_abandoned_epoch_is_replaced_by_a_new_one() -> None:
    batches = make(20, 6, shuffle=True)
    abandoned = iter(batches)
    next(abandoned)
    assert sorted(epoch(batches)) == list(range(20))
    iter(batches)
    assert list(abandoned) == []


def test_epoch_abandoned_after_going_back_is_replaced_too() -> None:
    batches = make(20, 6, shuffle=True)
    iterator = iter(batches)
    next(iterator)
    batches.load_state_dict(batches.state_dict())
    next(iterator)
    assert sorted(epoch(batches)) == list(range(20))


@given(sizes, batch_sizes)
def test_drop_last_gives_whole_batches_only(size: int, batch_size: int) -> None:
    if batch_size > size:
        with pytest.raises(UserError, match=f"{size} samples do not fill a batch of {batch_size}"):
            make(size, batch_size, shuffle=True, drop_last=True)
        return
    batches = make(size, batch_size, shuffle=True, drop_last=True)
    given_ = [ids_of(batch) for batch in batches]
    assert [len(ids) for ids in given_] == [batch_size] * (size // batch_size)
    assert len(given_) == len(batches) == batches.position
    assert len({i for ids in given_ for i in ids}) == len(batches) * batch_size


def test_batches_are_copies() -> None:
    batches = make(10, 5, shuffle=False)
    for inputs, targets in batches:
        inputs.zero_()
        targets.zero_()
    assert epoch(batches) == list(range(10))


def test_refuses_what_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match="3 inputs but 2 targets"):
        Batches(torch.zeros(3, 1), torch.zeros(2), 1, shuffle=False, seed=0)
    with pytest.raises(ValueError, match="batch size of 0"):
        make(3, 0, shuffle=False)
    with pytest.raises(UserError, match="0 samples do not fill a batch"):
        make(0, 4, shuffle=False)


def test_refuses_the_state_of_other_data() -> None:
    batches = make(30, 4, shuffle=True)
    next(iter(batches))
    with pytest.raises(UserError, match=r"covers 30 samples but the data has 31; resume with the data"):
        make(31, 4, shuffle=True).load_state_dict(batches.state_dict())


def random_bytes(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


bytes_of_images = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
)


@given(bytes_of_images)
def test_normaliser_of_bytes_equals_an_independent_computation(array: NDArray[np.uint8]) -> None:
    normaliser = Normaliser(torch.from_numpy(array))
    for channel in range(array.shape[1]):
        values = [int(value) for value in array[:, channel].ravel()]
        mean = sum(values) / len(values)
        std = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
        assert normaliser.mean[channel].item() == pytest.approx(mean / 255, rel=1e-12)
        assert normaliser.std[channel].item() == pytest.approx(std / 255, rel=1e-12)
        expected = (array[:, channel] / 255 - mean / 255) / ((std or 255) / 255)
        result = normaliser(torch.from_numpy(array))
        assert result.dtype == torch.float32
        rounding = np.finfo(np.float32).eps * mean / (std or 255)  # of the mean, seen on the scale of the spread
        assert np.allclose(result[:, channel].numpy(), expected, atol=2e-5 + rounding)


def test_normaliser_measures_more_than_one_chunk() -> None:
    images = random_bytes(2_000, 2, 20, 20)
    normaliser = Normaliser(images)
    scaled = images.double() / 255
    torch.testing.assert_close(normaliser.mean, scaled.mean((0, 2, 3)), rtol=1e-12, atol=0)
    torch.testing.assert_close(normaliser.std, scaled.std((0, 2, 3), correction=0), rtol=1e-12, atol=0)


def test_normaliser_of_features_is_per_feature_and_exact_far_from_zero() -> None:
    normal = torch.randn(5_000, 3, generator=torch.Generator().manual_seed(0))
    features = normal * torch.tensor([1.0, 1e3, 1e-2]) + torch.tensor([1e4, -5.0, 0.0])
    normaliser = Normaliser(features)
    torch.testing.assert_close(normaliser.mean, features.double().mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(normaliser.std, features.double().std(0, correction=0), rtol=1e-9, atol=0)
    result = normaliser(features)
    torch.testing.assert_close(result.mean(0), torch.zeros(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(result.std(0, correction=0), torch.ones(3), rtol=1e-3, atol=0)


def test_normaliser_of_other_shapes_has_one_mean() -> None:
    rows = random_bytes(50, 28, 28)
    normaliser = Normaliser(rows)
    assert normaliser.mean.shape == normaliser.std.shape == (1,)
    assert normaliser(rows).mean().item() == pytest.approx(0, abs=1e-4)


def test_normaliser_switched_off_only_scales_bytes() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    normaliser = Normaliser(images, enabled=False)
    assert normaliser(images).equal(torch.arange(256).view(4, 1, 8, 8) / 255)
    normaliser.enabled = True
    assert normaliser(images).mean().item() == pytest.approx(0, abs=1e-6)
    floats = random_bytes(4, 3, 8, 8).float()
    untouched = Normaliser(floats, enabled=False)(floats)
    assert untouched.equal(floats)
    assert untouched.data_ptr() != floats.data_ptr()


def test_normaliser_leaves_a_constant_channel_finite() -> None:
    images = torch.full((6, 1, 4, 4), 200, dtype=torch.uint8)
    assert Normaliser(images)(images).abs().max().item() < 1e-6
    assert Normaliser(images).std.item() == 0
    for constant in (0.1, 1e-30, -7e5):
        features = torch.full((300_000, 1), constant)
        assert Normaliser(features)(features).abs().max().item() < 1e-6
        assert Normaliser(features).std.item() == 0


def test_normaliser_leaves_tokens_alone() -> None:
    tokens = torch.arange(12).view(3, 4)
    normaliser = Normaliser(tokens)
    assert not normaliser.available
    assert normaliser(tokens) is tokens


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], TaskData]:
    """Load a data set by name where no MNIST is on disk."""
    monkeypatch.delenv(mnist.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(mnist, "cache_dir", lambda: tmp_path)
    return lambda name: DATASETS[name](DataRequest())


def test_mnist_is_the_embedded_sample_without_files(load: Callable[[str], TaskData]) -> None:
    data = load("mnist")
    assert data.train_inputs.shape == (10_000, 1, 28, 28)
    assert data.val_inputs.shape == (2_000, 1, 28, 28)
    assert data.train_inputs.dtype == torch.uint8
    assert data.classes == 10
    assert data.origin == "embedded sample of MNIST, 10,000 + 2,000 images"


def test_mnist_sorted_holds_the_same_digits_in_order_of_class(load: Callable[[str], TaskData]) -> None:
    plain, data = load("mnist"), load("mnist-sorted")
    assert (data.train_targets.diff() >= 0).all()
    for digit in (0, 9):  # stable: within a class, the order of the files
        assert data.train_inputs[data.train_targets == digit].equal(plain.train_inputs[plain.train_targets == digit])
    assert data.val_targets.equal(plain.val_targets)


def test_mnist_rows_is_a_sequence_of_rows(load: Callable[[str], TaskData]) -> None:
    plain, data = load("mnist"), load("mnist-rows")
    assert data.train_inputs.shape == (10_000, 28, 28)
    assert data.val_inputs[7, 14].equal(plain.val_inputs[7, 0, 14])


def test_mnist_channels_hides_the_digit_behind_noise_until_normalised(
    load: Callable[[str], TaskData],
) -> None:
    plain, data = load("mnist"), load("mnist-channels")
    assert data.train_inputs.shape == (10_000, 3, 28, 28)
    assert data.train_inputs.dtype == torch.float32
    digit, gradient, noise = data.train_inputs.unbind(1)
    assert digit.equal(plain.train_inputs[:, 0] / 255)
    assert gradient[5, 14, 10].item() == pytest.approx((digit[5, 14, 11] - digit[5, 14, 9]).item() / 2)
    assert noise.std().item() == pytest.approx(1000, rel=0.01)
    assert noise.mean().item() == pytest.approx(500, rel=0.01)
    normalised = Normaliser(data.train_inputs)(data.train_inputs)
    torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3), rtol=1e-3, atol=0)
    assert load("mnist-channels").val_inputs.equal(data.val_inputs)


def test_chars_predicts_the_next_character_of_text_that_ships_with_python(
    load: Callable[[str], TaskData],
) -> None:
    data = load("chars")
    assert data.vocabulary is not None
    assert data.classes == len(data.vocabulary)
    assert data.train_inputs.shape[1] == 64
    assert data.train_inputs.flatten()[1:].equal(data.train_targets.flatten()[:-1])
    assert data.val_inputs[0, 0].equal(data.train_targets[-1, -1])
    assert len(data.val_inputs) == (len(data.train_inputs) + len(data.val_inputs)) // 10
    words = "".join(data.vocabulary[i] for i in data.train_inputs[:300].flatten().tolist())
    assert " the " in words
    assert load("chars").train_inputs.equal(data.train_inputs)


def test_chars_without_help_topics_reads_source(
    load: Callable[[str], TaskData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    data = load("chars")
    assert data.origin.startswith("source of Python's standard library, ")
    assert len(data.train_inputs) > 4_000


# ---------------------------------------------------------------- what is left, and the last one again


@pytest.mark.parametrize("drop_last", [False, True])
def test_what_is_left_of_an_epoch(drop_last: bool) -> None:
    batches = Batches(torch.arange(10), torch.arange(10), 4, shuffle=True, seed=0, drop_last=drop_last)
    assert batches.left == 0, "no epoch has begun"
    left = [batches.left for _ in batches]
    assert left == ([1, 0] if drop_last else [2, 1, 0])


@pytest.mark.parametrize("given", [1, 2, 3])
def test_the_last_batch_given_comes_again(given: int) -> None:
    batches = Batches(torch.arange(10), torch.arange(10), 4, shuffle=True, seed=0)
    epoch = iter(batches)
    last = [next(epoch) for _ in range(given)][-1]
    state = batches.state_dict(last_again=True)
    rest = [inputs.tolist() for inputs, _ in epoch]
    fresh = Batches(torch.arange(10), torch.arange(10), 4, shuffle=False, seed=1)
    fresh.load_state_dict(state)
    assert [inputs.tolist() for inputs, _ in fresh] == [last[0].tolist(), *rest]


def test_an_epoch_that_was_given_whole_is_followed_by_a_new_one_with_its_last_batch_dropped_too() -> None:
    batches = Batches(torch.arange(10), torch.arange(10), 4, shuffle=False, seed=0, drop_last=True)
    list(batches)
    batches.load_state_dict(batches.state_dict())
    assert len(list(batches)) == 2
