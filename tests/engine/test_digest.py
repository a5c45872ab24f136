"""The digest is a plain SHA-256 over the bytes of the state dict, in its order."""

import hashlib

import torch
from torch import nn

from tests.engine import zoo
from tuitrain.engine.digest import weights_sha256


def independent(model: nn.Module) -> str:
    joined = b"".join(bytes(value.contiguous().untyped_storage()) for value in model.state_dict().values())
    return hashlib.sha256(joined).hexdigest()


def test_it_is_over_parameters_and_buffers_in_order() -> None:
    model = zoo.DropoutNorm()
    assert list(model.state_dict())[-3:] == ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    assert weights_sha256(model) == independent(model)


def test_the_bytes_are_those_of_each_type() -> None:
    model = nn.Module()
    for dtype in (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ):
        model.register_buffer(f"of_{dtype}".replace(".", "_"), torch.tensor([[0, 1], [1, 0]]).to(dtype))
    model.register_buffer("scalar", torch.tensor(3.0))
    model.register_buffer("empty", torch.ones(0, 3))
    assert weights_sha256(model) == independent(model)


def test_the_order_in_memory_does_not_matter() -> None:
    model = nn.Conv2d(3, 4, 3)
    before = weights_sha256(model)
    assert weights_sha256(model.to(memory_format=torch.channels_last)) == before


def test_one_bit_of_any_tensor_changes_it() -> None:
    model = zoo.DropoutNorm()
    digests = {weights_sha256(model)}
    for value in model.state_dict().values():
        value.view(-1)[-1:].view(torch.uint8)[0] ^= 1
        digests.add(weights_sha256(model))
    assert len(digests) == 1 + len(model.state_dict())


def test_a_module_with_extra_state_is_no_trouble() -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> object:
            return {"version": 3}

        def set_extra_state(self, state: object) -> None:
            pass

    assert weights_sha256(Extra(2, 2))
