"""Being checked changes nothing: neither bits nor generators, nor what is compiled; afterwards torch is as it was."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.nn import functional as F

from tests.checks.judged import judged
from tests.checks.twins import CLASSES, FEATURES, fit, loader, sgd


def digest(model: nn.Module) -> str:
    """Of the weights, the buffers and the generator."""
    tensors = [*model.state_dict().values(), torch.get_rng_state()]
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()


def trained() -> nn.Module:
    """A model with all that is observed in it, trained and evaluated."""
    model = nn.Sequential(
        nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, CLASSES)
    )
    optimizer = sgd(model)
    for _ in range(3):
        model.train()
        fit(model, optimizer, loader())
        model.eval()
        with torch.no_grad():
            for x, _ in loader():
                model(x)
    return model


def in_both(program: Callable[[], str], directory: Path) -> tuple[str, str]:
    """What a program gives unobserved, and observed."""
    torch.manual_seed(0)
    bare = program()
    outcome: list[str] = []
    judged(lambda: outcome.append(program()), directory)
    return bare, outcome[0]


def test_the_same_bits(tmp_path: Path) -> None:
    bare, observed = in_both(lambda: digest(trained()), tmp_path)
    assert bare == observed


def test_a_model_can_be_saved_whole_and_copied(tmp_path: Path) -> None:
    def saved() -> str:
        file = io.BytesIO()
        torch.save(trained(), file)
        file.seek(0)
        return digest(torch.load(file, weights_only=False))

    bare, observed = in_both(saved, tmp_path)
    assert bare == observed


def test_torch_is_put_back(tmp_path: Path) -> None:
    functions = [F.dropout, F.batch_norm, nn.Module.register_parameter, torch.amp.GradScaler.unscale_]
    judged(lambda: None, tmp_path)
    assert [F.dropout, F.batch_norm, nn.Module.register_parameter, torch.amp.GradScaler.unscale_] == functions


def test_nothing_else_is_compiled(tmp_path: Path) -> None:
    def graphs() -> str:
        torch._dynamo.reset()
        counters.clear()
        model = cast(nn.Module, torch.compile(trained_briefly(), backend="eager", fullgraph=True))
        fit(model, sgd(model), loader())
        model.eval()
        with torch.no_grad():
            for x, _ in loader():
                model(x)
        return f"{dict(counters['stats'])} {dict(counters['graph_break'])}"

    bare, observed = in_both(graphs, tmp_path)
    assert bare == observed
    assert "unique_graphs" in bare


def trained_briefly() -> nn.Sequential:
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, CLASSES))


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_what_is_scripted_is_the_original(tmp_path: Path) -> None:
    def scripted() -> str:
        model = torch.jit.script(trained_briefly())
        fit(model, sgd(model), loader())
        return digest(model)

    bare, observed = in_both(scripted, tmp_path)
    assert bare == observed
