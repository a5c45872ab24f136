"""The models of the presets: their shapes, and that each mistake is the one its docstring tells."""

import pytest
import torch
from torch import nn

from tuitrain.engine.mistakes import BlindTransformer, PlainListNet
from tuitrain.engine.sequence import CharGPT, RowRNN


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("build", [PlainListNet, BlindTransformer])
def test_images_become_one_logit_a_class(build: type[nn.Module]) -> None:
    assert build(classes=7)(torch.randn(3, 1, 28, 28)).shape == (3, 7)


def test_rows_become_one_logit_a_class() -> None:
    assert RowRNN(classes=7)(torch.randn(3, 28, 28)).shape == (3, 7)


def test_recurrent_weights_begin_with_the_gain_asked_for() -> None:
    model = RowRNN(gain=2.0)
    norm = torch.linalg.matrix_norm(model.rnn.get_parameter("weight_hh_l0"), ord=2)
    torch.testing.assert_close(norm, torch.tensor(2.0))


def test_tokens_become_logits_of_each_next_one() -> None:
    assert CharGPT(classes=50)(torch.randint(50, (3, 20))).shape == (3, 20, 50)


def test_the_language_model_never_looks_ahead() -> None:
    model = CharGPT(classes=50).eval()
    tokens = torch.randint(50, (1, 20))
    changed = tokens.clone()
    changed[0, 12] = (changed[0, 12] + 1) % 50
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12:], after[:, 12:], atol=1e-4)


def test_the_blind_model_gives_every_image_the_same_logits_and_the_seeing_one_does_not() -> None:
    images = torch.randn(5, 1, 28, 28)
    blind = BlindTransformer()(images)
    torch.testing.assert_close(blind, blind[:1].expand_as(blind))
    seeing = BlindTransformer(batch_first=True)(images)
    assert not torch.allclose(seeing, seeing[:1].expand_as(seeing), atol=1e-2)


def test_the_plain_list_hides_every_layer_but_the_head() -> None:
    model = PlainListNet(width=6, depth=4)
    assert [name for name, _ in model.named_parameters()] == ["head.weight", "head.bias"]
    model(torch.randn(3, 784)).sum().backward()
    assert all(layer.weight.grad is not None for layer in model.layers), "the layers are used all the same"
