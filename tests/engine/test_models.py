"""The models: their shapes, their size, and that every parameter learns."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tuitrain.engine.models import MODELS, DigitCNN

NAMES = sorted(MODELS)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def images(count: int, channels: int = 1) -> Tensor:
    return torch.randn(count, channels, 28, 28)


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("batch", "channels", "classes"), [(1, 1, 10), (7, 1, 10), (3, 2, 4)])
def test_images_become_one_logit_a_class(name: str, batch: int, channels: int, classes: int) -> None:
    model = MODELS[name](in_channels=channels, classes=classes).eval()
    logits = model(images(batch, channels))
    assert logits.shape == (batch, classes)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # convolutions; batch norms; head
        ("cnn", (16 * 25 + 32 * 16 * 9 + 64 * 32 * 9) + 2 * (16 + 32 + 64) + (64 * 16 + 1) * 10),
        ("mlp", (784 + 1) * 64 + (64 + 1) * 10),
        # 1,199,882 is what the example's own network has
        ("classic", 1_199_882),
    ],
)
def test_parameter_count(name: str, count: int) -> None:
    assert parameter_count(MODELS[name]()) == count


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_reaches_every_parameter(name: str) -> None:
    model = MODELS[name]()
    cross_entropy(model(images(32)), torch.arange(32) % 10).backward()  # type: ignore[no-untyped-call]
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_learns_one_batch_by_heart(name: str) -> None:
    model = MODELS[name]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    inputs, targets = images(16), torch.arange(16) % 10
    for _ in range(60):
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(model(inputs), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()
    assert model(inputs).argmax(1).equal(targets)


@pytest.mark.parametrize("name", NAMES)
def test_in_eval_mode_an_image_does_not_depend_on_its_batch_or_on_chance(name: str) -> None:
    model = MODELS[name]().eval()
    batch = images(8)
    torch.testing.assert_close(model(batch)[2:3], model(batch[2:3]), rtol=1e-4, atol=1e-5)
    assert model(batch).equal(model(batch))


@pytest.mark.parametrize("name", ["cnn", "classic"])
def test_train_mode_differs_from_eval_mode(name: str) -> None:
    model = MODELS[name]()
    batch = images(8)
    trained = model.train()(batch)
    assert not model.eval()(batch).allclose(trained, atol=1e-2)


@pytest.mark.parametrize("build", [DigitCNN, *MODELS.values()])
def test_options_are_keyword_only(build: Callable[..., nn.Module]) -> None:
    with pytest.raises(TypeError, match="positional"):
        build(1)


def test_widths_and_dropout_of_the_cnn_are_options() -> None:
    model = DigitCNN(width1=4, width2=6, width3=8, dropout=0.5)
    assert [model.conv1.out_channels, model.conv2.out_channels, model.conv3.out_channels] == [4, 6, 8]
    assert model.dropout.p == 0.5
    assert model(images(2)).shape == (2, 10)


def test_the_cnn_computes_channels_last_from_ordinary_images() -> None:
    model = DigitCNN().eval()
    assert model.conv1(images(2)).is_contiguous(memory_format=torch.channels_last)
    ordinary = DigitCNN().to(memory_format=torch.contiguous_format)
    ordinary.load_state_dict(model.state_dict())
    batch = images(4)
    torch.testing.assert_close(ordinary.eval()(batch), model(batch), rtol=1e-4, atol=1e-5)
