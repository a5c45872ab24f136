"""What a script's batches are looked at for, and changed in: measured as they come, in the same containers, no RNG."""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from tuitrain.engine.script.feeding import labels_in
from tuitrain.engine.script.forcing import EvalMode
from tuitrain.engine.script.loading import Loading
from tuitrain.engine.script.sampling import Sampling
from tuitrain.engine.script.standardising import MOST_VALUES, Standardising, inputs_in, some_of
from tuitrain.engine.tip import Refused

Pair = namedtuple("Pair", ["x", "y"])
IMAGES = torch.randn(30, 2, 4, 4, generator=torch.Generator().manual_seed(1)) * 7 + 40
LABELS = torch.arange(30) % 3


@pytest.mark.parametrize(
    "make", [lambda x: x, lambda x: [x, LABELS], lambda x: {"i": LABELS, "x": x}, lambda x: Pair(x, 1)]
)
def test_a_batch_keeps_its_make_and_the_scripts_tensor_its_values(make: Callable[[Tensor], object]) -> None:
    before, standardising = IMAGES.clone(), Standardising()
    for some in torch.split(IMAGES, 7):
        standardising.measure(make(some))
    batch = make(IMAGES)
    assert standardising(batch) is batch
    standardising.enabled = True
    given = standardising(batch)
    assert type(given) is type(batch)
    inputs = inputs_in(given)
    assert inputs is not None
    assert inputs.mean((0, 2, 3)) == pytest.approx([0, 0], abs=1e-5)
    assert inputs.std((0, 2, 3), correction=0) == pytest.approx([1, 1], rel=1e-4)
    assert IMAGES.equal(before)


def test_what_it_was_switched_on_with_holds_until_it_is_off() -> None:
    standardising = Standardising()
    standardising.measure([IMAGES])
    standardising.enabled = True
    first = standardising([IMAGES])[0]
    standardising.measure([10 * IMAGES])
    assert first.equal(standardising([IMAGES])[0])
    other_channels = torch.ones(2, 5, 4, 4)
    assert standardising(other_channels) is other_channels
    standardising.enabled = False
    assert standardising(IMAGES) is IMAGES


@pytest.mark.parametrize("batch", [torch.arange(6).view(2, 3), (torch.randn(4), LABELS), "text", [torch.ones(0, 3)]])
def test_where_there_are_no_inputs_it_says_so(batch: object) -> None:
    standardising = Standardising()
    standardising.measure(batch)
    standardising.enabled = True
    assert standardising.unsuitable is not None
    assert standardising(batch) is batch


def test_of_a_large_batch_a_part_is_looked_at() -> None:
    assert some_of(torch.empty(64, MOST_VALUES // 16)).shape[0] == 16
    assert some_of(torch.empty(3, 2 * MOST_VALUES)).shape[0] == 1


def test_labels_are_told_from_other_tensors() -> None:
    assert labels_in((IMAGES, LABELS, torch.arange(30))) is LABELS
    assert labels_in({"x": IMAGES, "y": torch.randn(30)}) is None
    assert labels_in(LABELS) is None


def trained_on(**options: Any) -> tuple[DataLoader[Any], Sampling]:  # noqa: ANN401 - as DataLoader takes them
    """A loader that a script trains on."""
    loader, loading = DataLoader(TensorDataset(torch.arange(20)), batch_size=4, **options), Loading()
    loading.asked(iter(loader))
    loading.backward()
    return loader, Sampling(loading)


def sampler_of(loader: DataLoader[Any]) -> object:
    """Where its batches take their samples from."""
    return vars(loader.batch_sampler)["sampler"]


def order(loader: DataLoader[Any]) -> list[int]:
    """Its next epoch."""
    return [int(sample) for (batch,) in loader for sample in batch]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_order_changes_and_comes_back_and_nothing_is_drawn(workers: int) -> None:
    loader, sampling = trained_on(num_workers=workers, persistent_workers=workers > 0)
    own, drawn = sampler_of(loader), torch.get_rng_state()
    assert not sampling.shuffle
    sampling.set_shuffle(True)
    assert sampling.shuffle
    assert torch.get_rng_state().equal(drawn)
    first, second = order(loader), order(loader)
    assert sorted(first) == sorted(second) == list(range(20)) != first != second
    sampling.set_shuffle(False)
    assert sampler_of(loader) is own
    assert order(loader) == list(range(20))


def test_a_script_that_shuffles_gets_its_own_sampler_back() -> None:
    loader, sampling = trained_on(shuffle=True)
    own = sampler_of(loader)
    sampling.set_shuffle(False)
    assert order(loader) == list(range(20))
    sampling.set_shuffle(True)
    assert sampler_of(loader) is own


class Own(BatchSampler):
    """A batch sampler of the script's own."""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sampler": torch.utils.data.WeightedRandomSampler([1.0] * 20, 20)}, "a WeightedRandomSampler"),
        ({"sampler": RandomSampler(range(20), replacement=True)}, "with replacement"),
        ({"batch_sampler": Own(SequentialSampler(range(20)), 4, False), "batch_size": 1}, "from a Own"),
        ({"batch_size": None}, "one by one"),
    ],
)
def test_any_other_order_is_the_scripts(options: dict[str, Any], reason: str) -> None:
    loader, loading = DataLoader(TensorDataset(torch.arange(20)), **options), Loading()
    loading.asked(iter(loader))
    loading.backward()
    with pytest.raises(Refused, match=reason):
        Sampling(loading).set_shuffle(True)


def test_modes_are_put_back_one_by_one() -> None:
    frozen = nn.BatchNorm1d(2).eval()
    model = nn.Sequential(nn.Dropout(), nn.Sequential(frozen, nn.Dropout()))
    flags = [module.training for module in model.modules()]
    mode = EvalMode()
    mode.begin([model])
    assert [module.training for module in model.modules()] == flags
    mode.wanted = True
    mode.begin([model])
    assert not any(module.training for module in model.modules())
    mode.end()
    assert [module.training for module in model.modules()] == flags


def test_tensors_are_not_compared_by_value() -> None:
    """Two tensors of a batch that are equal are two."""
    standardising, twin = Standardising(), torch.ones(4, 2)
    batch: list[Tensor] = [torch.ones(4, 2), twin]
    standardising.measure(batch)
    standardising.enabled = True
    assert standardising(batch)[1] is twin
