"""Checkpoints: whole or not at all, with a digest that is right, loadable without trusting them."""

import ast
import errno
import hashlib
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.fingerprint import fingerprint
from tests.engine.runs import RECIPES, Recipe, train_bare
from tuitrain.engine.checkpoint import KEEP, checkpoint_state, write_checkpoint
from tuitrain.engine.training import Training


@pytest.fixture(params=["sgd-momentum", "adamw-onecycle", "adadelta-cosine", "buffers"])
def training(request: pytest.FixtureRequest) -> Training:
    recipe: Recipe = RECIPES[request.param]
    made = recipe.make()
    train_bare(made)
    return made


def state_of(training: Training) -> dict[str, Any]:
    return checkpoint_state(
        training, {"step": 3, "executed": 5, "epoch": 1}, {"clip": True, "lr": 0.1, "clip_by": "norm"}
    )


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_it_loads_without_being_trusted_and_holds_everything(training: Training, tmp_path: Path) -> None:
    state = state_of(training)
    path, _ = write_checkpoint(tmp_path / "checkpoints", 3, state)
    loaded = torch.load(path, weights_only=True)
    assert fingerprint(loaded) == fingerprint(state)
    assert loaded["counters"] == {"step": 3, "executed": 5, "epoch": 1}
    assert loaded["switches"] == {"clip": True, "lr": 0.1, "clip_by": "norm"}


def test_a_fresh_training_goes_on_from_it_bit_for_bit(tmp_path: Path) -> None:
    recipe = RECIPES["adamw-onecycle"]
    training = recipe.make()
    training.epochs = 1
    train_bare(training)
    path, _ = write_checkpoint(tmp_path / "checkpoints", 5, state_of(training))
    expected = train_bare(training)
    fresh = recipe.make()
    fresh.epochs = 1
    loaded = torch.load(path, weights_only=True)
    fresh.model.load_state_dict(loaded["model"])
    fresh.optimizer.load_state_dict(loaded["optimizer"])
    assert fresh.scheduler is not None
    fresh.scheduler.load_state_dict(loaded["scheduler"])
    fresh.train.load_state_dict(loaded["batches"])
    rng = loaded["rng"]
    random.setstate(ast.literal_eval(rng["python"]))
    torch.set_rng_state(rng["cpu"])
    numpy_state = rng["numpy"]
    key = np.array(numpy_state["key"], dtype=np.uint32)
    np.random.set_state(("MT19937", key, numpy_state["pos"], numpy_state["has_gauss"], numpy_state["gauss"]))
    continued = train_bare(fresh)
    assert (continued.weights, continued.rng, continued.batches) == (expected.weights, expected.rng, expected.batches)


def test_the_digest_beside_it_is_that_of_the_file(training: Training, tmp_path: Path) -> None:
    path, digest = write_checkpoint(tmp_path, 3, state_of(training))
    assert path == tmp_path / "step-000000003.pt"
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (tmp_path / "step-000000003.pt.sha256").read_text() == f"{digest}  step-000000003.pt\n"
    assert files(tmp_path) == ["step-000000003.pt", "step-000000003.pt.sha256"], "no temporary file is left"


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 20, 300, 4000, 50_000):
        write_checkpoint(tmp_path, step, {"step": step})
    kept = [f"step-{step:09d}.pt" for step in (300, 4000, 50_000)]
    assert KEEP == 3
    assert files(tmp_path) == sorted([*kept, *(f"{name}.sha256" for name in kept)])


def test_one_of_the_same_step_replaces_the_other(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, {"try": 1})
    path, digest = write_checkpoint(tmp_path, 1, {"try": 2})
    assert torch.load(path, weights_only=True) == {"try": 2}
    assert path.with_suffix(".pt.sha256").read_text().startswith(digest)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


LARGE = {"values": torch.zeros(100_000)}


@contextmanager
def disk_of(bytes_left: int) -> Iterator[None]:
    """No file can grow beyond so many bytes: to a program as a full disk is, but for the number of the error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 100, 5_000, 399_000])
@pytest.mark.parametrize("step", [1, 2])
def test_a_full_disk_leaves_the_previous_one_whole_and_no_other_file(room: int, step: int, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, {"values": torch.ones(10)})
    before = contents(tmp_path)
    with disk_of(room), pytest.raises(OSError, match=r"written|large"):
        write_checkpoint(tmp_path, step, LARGE)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("step", [1, 2])
def test_a_disk_that_turns_out_to_be_full_when_it_is_synced_too(
    step: int, failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first sync is of the checkpoint, the second of the digest beside it."""
    write_checkpoint(tmp_path, 1, {"values": torch.ones(10)})
    before = contents(tmp_path)
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tmp_path, step, LARGE)
    assert contents(tmp_path) == before


def test_a_directory_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_checkpoint(tmp_path / "missing" / "checkpoints", 1, LARGE)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_checkpoint(tmp_path / "file", 1, LARGE)


def test_it_is_synced_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def noting(name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any) -> Any:  # noqa: ANN401
            order.append(f"{name} {args[1].name}" if name == "name" else name)
            return do(*args)

        return noted

    monkeypatch.setattr(os, "fsync", noting("fsync", os.fsync))
    monkeypatch.setattr(Path, "replace", noting("name", Path.replace))
    monkeypatch.setattr(torch, "save", noting("save", torch.save))
    write_checkpoint(tmp_path, 1, LARGE)
    assert order.index("save") < order.index("fsync") < order.index("name step-000000001.pt")
    assert order[-1] == "fsync", "of the directory"


KILLED = """
import os, sys
from pathlib import Path
import torch
from tuitrain.engine.checkpoint import write_checkpoint
save = torch.save
def die_half_way(state, file):
    save(state, file)
    file.truncate(file.tell() // 2)
    os._exit(9)
torch.save = die_half_way
write_checkpoint(Path(sys.argv[1]), 1, {"values": torch.zeros(1000)})
"""


def test_a_process_that_dies_while_it_writes_leaves_the_previous_one(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, {"values": torch.ones(10)})
    before = contents(tmp_path)
    child = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert child.returncode == 9
    assert {name: data for name, data in contents(tmp_path).items() if not name.endswith(".tmp")} == before
    write_checkpoint(tmp_path, 1, {"values": torch.ones(20)})
    assert not [name for name in files(tmp_path) if name.endswith(".tmp")]
