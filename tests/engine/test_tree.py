"""The model tree: rows in order, what is tied named after its first place, what is loose marked."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer

from tests.engine.runs import read_back
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.tree import TreeReader
from tuitrain.record.events import ModuleRow, ModuleTree
from tuitrain.record.journal import Journal


class Net(nn.Module):
    """Registered, tied, shared, frozen and loose parts."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3).eval()
        self.head = nn.Linear(3, 5)
        self.head.weight = self.embed.weight
        self.again = self.norm
        self.layers = [nn.Linear(3, 3), nn.Linear(3, 2)]
        self.scale = {"s": torch.ones(3, requires_grad=True)}
        self.embed.weight.requires_grad_(False)


def rows_of(model: nn.Module, optimizer: Optimizer, directory: Path) -> dict[str, ModuleRow]:
    path = directory / "journal.sqlite"
    with Journal(path) as journal:
        TreeReader(model, optimizer, Recorder(journal)).publish()
    (tree,) = read_back(path).events
    assert isinstance(tree, ModuleTree)
    assert len({row.path for row in tree.rows}) == len(tree.rows)
    return {row.path: row for row in tree.rows}


@pytest.fixture
def rows(tmp_path: Path) -> dict[str, ModuleRow]:
    model = Net()
    model.layers[0].weight.sum().backward()  # type: ignore[no-untyped-call]
    return rows_of(model, SGD([model.head.bias, model.norm.weight], 0.1), tmp_path)


def test_rows_come_depth_first(rows: dict[str, ModuleRow]) -> None:
    assert list(rows) == [
        "", "layers[0]", "layers[0].weight", "layers[0].bias", "layers[1]", "layers[1].weight", "layers[1].bias",
        "scale['s']", "embed", "embed.weight", "norm", "norm.weight", "norm.bias", "norm.running_mean",
        "norm.running_var", "norm.num_batches_tracked", "head", "head.weight", "head.bias", "again",
    ]  # fmt: skip


def test_the_root_counts_each_parameter_once(rows: dict[str, ModuleRow]) -> None:
    assert rows[""].count == 5 * 3 + 3 + 3 + 5
    assert (rows["head"].count, rows["norm"].count) == (20, 6)


def test_what_is_tied_or_shared_is_named_after_its_first_place(rows: dict[str, ModuleRow]) -> None:
    tied = {path: row.tied_to for path, row in rows.items() if row.tied_to}
    assert tied == {"head.weight": "embed.weight", "again": "norm"}


def test_what_is_loose_is_marked_and_whether_it_is_used(rows: dict[str, ModuleRow]) -> None:
    loose = {path: row.used for path, row in rows.items() if not row.registered}
    assert loose == {
        "layers[0]": True, "layers[0].weight": True, "layers[0].bias": False,
        "layers[1]": False, "layers[1].weight": False, "layers[1].bias": False, "scale['s']": False,
    }  # fmt: skip


def test_a_row_says_what_stands_there(rows: dict[str, ModuleRow]) -> None:
    weight, counter = rows["norm.weight"], rows["norm.num_batches_tracked"]
    assert (weight.kind, weight.type, weight.shape, weight.dtype) == ("parameter", "Parameter", (3,), "float32")
    assert (weight.device, weight.count, weight.trainable, weight.in_optimizer) == ("cpu", 3, True, True)
    assert (counter.kind, counter.shape, counter.dtype, counter.trainable) == ("buffer", (), "int64", False)
    assert (rows[""].training, rows["norm"].training, weight.training) == (True, False, None)
    assert not rows["embed.weight"].trainable
    assert (rows["head.bias"].in_optimizer, rows["norm.bias"].in_optimizer) == (True, False)
    assert not rows["norm"].in_optimizer, "not all of it"


def test_paths_are_those_of_the_tree(tmp_path: Path) -> None:
    model = Net()
    with Journal(tmp_path / "journal.sqlite") as journal:
        tree = TreeReader(model, SGD(model.parameters(), 0.1), Recorder(journal))
        tree.publish()
        stranger = nn.Parameter(torch.ones(2, 7))
        assert tree.paths_of([model.head.weight, model.head.bias, model.scale["s"], stranger]) == [
            "embed.weight", "head.bias", "scale['s']", "unknown (2, 7)",
        ]  # fmt: skip
        assert [loose.attribute for loose in tree.loose] == ["layers", "scale"]
