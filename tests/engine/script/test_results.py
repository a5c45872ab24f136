"""Loss functions heard while a script evaluates: what a pass comes to, and that nothing is left in their place."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional
from torch.nn.functional import cross_entropy, mse_loss

from tuitrain.engine.script.losses import HEARD, Losses
from tuitrain.engine.script.results import Means, Results, means_of

ORIGINALS = {name: getattr(functional, name) for name in HEARD}
Criterion = Callable[[Tensor, Tensor], Tensor]
WEIGHTS = torch.tensor([0.5, 1.0, 3.0])


@pytest.fixture
def results() -> Iterator[Results]:
    """What is heard during a test."""
    heard = Results()
    losses = Losses(heard.hear)
    losses.listen()
    yield heard
    losses.leave()
    assert {name: getattr(functional, name) for name in HEARD} == ORIGINALS
    assert cross_entropy is ORIGINALS["cross_entropy"]


def means(results: Results) -> Means:
    """What was heard comes to."""
    assert results.sums is not None
    return means_of(results.sums)


def in_batches(
    results: Results, criterion: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor
) -> None:
    """Evaluate in batches of 4, the last one smaller."""
    batches = -(-len(inputs) // 4)
    for some, their_targets in zip(inputs.chunk(batches), targets.chunk(batches), strict=True):
        results.next_batch()
        criterion(some, their_targets)


@settings(max_examples=30, deadline=None)
@given(
    samples=st.integers(1, 14),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    weighted=st.booleans(),
    ignored=st.sampled_from([-100, 1, 255]),
    pixels=st.booleans(),
)
def test_the_means_over_classes_are_those_of_the_whole(
    samples: int, reduction: str, weighted: bool, ignored: int, pixels: bool
) -> None:
    """In batches of any sizes, and whatever the reduction, as torch has it for all of them together."""
    torch.manual_seed(samples)
    shape = (samples, 3, 2) if pixels else (samples, 3)
    logits, targets = torch.randn(shape), torch.randint(0, 3, (samples, *shape[2:]))
    targets[0] = 0
    if samples > 5:
        targets[4] = ignored if ignored in (1, 255) else -100
    options: dict[str, Any] = {"weight": WEIGHTS if weighted else None, "ignore_index": ignored}
    results = Results()
    losses = Losses(results.hear)
    losses.listen()
    in_batches(results, nn.CrossEntropyLoss(reduction=reduction, **options), logits, targets)
    losses.leave()
    valid = targets != ignored
    whole = nn.functional.cross_entropy(logits, targets, **options)
    loss, accuracy = means(results)
    assert loss == pytest.approx(whole.item(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == targets)[valid].float().mean().item())
    assert (results.function, results.batches) == ("cross_entropy", -(-samples // 4))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_sum_is_a_samples_and_a_mean_stays_one(reduction: str, results: Results) -> None:
    inputs, targets = torch.randn(10, 6), torch.randn(10, 6)
    in_batches(results, nn.MSELoss(reduction=reduction), inputs, targets)
    whole = (inputs - targets).square().sum().item() / 10
    assert means(results).loss == pytest.approx(whole if reduction == "sum" else whole / 6, rel=1e-5)
    assert means(results).accuracy != means(results).accuracy


@pytest.mark.parametrize(("criterion", "above"), [(nn.BCEWithLogitsLoss(), 0.0), (nn.BCELoss(), 0.5)])
def test_a_yes_or_no_is_right_or_wrong(criterion: nn.Module, above: float, results: Results) -> None:
    inputs, targets = torch.rand(10, 1), torch.randint(0, 2, (10, 1)).float()
    in_batches(results, criterion, inputs, targets)
    assert means(results).accuracy == pytest.approx(((inputs > above) == (targets > 0)).float().mean().item())


def test_of_pixels_there_is_no_accuracy(results: Results) -> None:
    in_batches(results, nn.BCELoss(), torch.rand(10, 6), torch.rand(10, 6).round())
    assert means(results).accuracy != means(results).accuracy
    in_batches(results, nn.BCELoss(), torch.rand(10, 1), torch.rand(10, 1))
    assert means(results).accuracy != means(results).accuracy


def test_of_each_batch_the_first_loss_counts(results: Results) -> None:
    inputs, targets = torch.randn(4, 3), torch.randint(0, 3, (4,))
    results.next_batch()
    first = cross_entropy_of_this_module(inputs, targets)
    nn.functional.mse_loss(inputs, inputs + 1)
    nn.functional.cross_entropy(inputs + 5 * torch.randn(4, 3), targets)
    assert means(results).loss == pytest.approx(first.item())
    results.next_batch()
    nn.functional.mse_loss(inputs, inputs)
    assert results.batches == 1


def cross_entropy_of_this_module(inputs: Tensor, targets: Tensor) -> Tensor:
    """By the name under which this module has imported it."""
    assert cross_entropy is not ORIGINALS["cross_entropy"], "it is not heard here"
    return cross_entropy(inputs, targets)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_torchscript_compiles_the_original(results: Results) -> None:
    class Scored(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return functional.mse_loss(x, y)

    assert torch.jit.script(Scored())(torch.ones(2), torch.zeros(2)) == 1
    assert results.sums is None


def test_a_subclass_that_handles_it_knows_the_function(results: Results) -> None:
    seen: list[object] = []

    class Handled:
        @classmethod
        def __torch_function__(cls, func: object, types: object, args: object = (), kwargs: object = None) -> str:
            seen.append(func)
            return "handled"

    assert mse_loss(Handled(), torch.zeros(2)) == "handled"  # type: ignore[arg-type]
    assert seen == [ORIGINALS["mse_loss"]]
    assert mse_loss is not ORIGINALS["mse_loss"], "it is heard again"


class Scored(nn.Module):
    """A model that computes its loss itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(3, 3), nn.Dropout(0.1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return functional.mse_loss(self.drop(self.layer(x)), y)


def graphs_made(losses: Losses | None) -> dict[str, int]:
    """What the compiler counts while such a model is trained and evaluated, twice, and the functions are heard."""
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    model = Scored()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        model.train()
        compiled(torch.randn(4, 3), torch.randn(4, 3)).backward()
        model.eval()
        if losses is not None:
            losses.listen()
        with torch.no_grad():
            compiled(torch.randn(4, 3), torch.randn(4, 3))
        if losses is not None:
            losses.leave()
    return dict(counters["stats"])


def test_what_is_compiled_meanwhile_keeps_its_graphs() -> None:
    heard: list[Tensor] = []
    without = graphs_made(None)
    assert without["unique_graphs"] == 2
    assert graphs_made(Losses(lambda name, arguments, value: heard.append(value))) == without
    assert heard == [], "what is traced has no value"


def test_what_is_transformed_or_traced_has_no_value(results: Results) -> None:
    x, y = torch.randn(4), torch.randn(4)
    results.next_batch()
    assert torch.func.grad(functional.mse_loss)(x, y).shape == x.shape
    assert torch.func.vmap(functional.mse_loss)(x, y).shape == x.shape
    traced = make_fx(lambda x, y: functional.mse_loss(x, y))(x, y)
    assert [node.op for node in traced.graph.nodes] == ["placeholder", "placeholder", "call_function", "output"]
    assert results.sums is None
