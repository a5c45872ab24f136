"""Checkpoints: whole or not at all, with a digest that is right, loadable without trusting them."""

import contextlib
import errno
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import StepLR

from tests.engine import zoo
from tests.engine.runs import RECIPES, state_of, train_bare
from tuitrain.engine.checkpoint import FORMAT, Unusable, read_checkpoint, write_checkpoint
from tuitrain.engine.files import digest_path, list_checkpoints
from tuitrain.engine.gradients import optimized
from tuitrain.engine.moment import Parts, load_moment, misfit, moment_of

KEEP = 3
LARGE = {"format": FORMAT, "values": torch.zeros(100_000)}
SMALL = {"format": FORMAT, "values": torch.ones(10)}


def write(directory: Path, step: int, state: dict[str, Any] = SMALL) -> tuple[Path, str]:
    return write_checkpoint(directory, step, state, keep=KEEP)


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# ---------------------------------------------------------------- what it holds


@pytest.mark.parametrize("name", RECIPES)
def test_a_moment_is_loaded_without_being_trusted_and_put_into_a_training_built_anew(name: str, tmp_path: Path) -> None:
    training = RECIPES[name].make()
    training.epochs = 1
    train_bare(training)
    write(tmp_path, 5, {"format": FORMAT, "moment": moment_of(training), "batches": dict(training.train.state_dict())})
    for parameter in optimized(training.optimizer):
        parameter.grad = None  # zeroed before the next step anyway
    expected = state_of(training), train_bare(training)
    fresh = RECIPES[name].make()
    fresh.epochs = 1
    loaded, _ = read_checkpoint(tmp_path / "step-000000005.pt")
    assert misfit(loaded["moment"], fresh) is None
    load_moment(loaded["moment"], fresh)
    fresh.train.load_state_dict(loaded["batches"])
    assert (state_of(fresh), train_bare(fresh)) == expected


def test_a_moment_of_another_model_does_not_fit() -> None:
    moment = moment_of(RECIPES["sgd-momentum"].make())
    assert misfit(moment, RECIPES["sgd-momentum"].make()) is None
    assert misfit(moment, RECIPES["dropout-norm-step"].make()) == "dropout is in only one of the two"
    scheduled = replace(RECIPES["sgd-momentum"], scheduler=lambda optimizer: StepLR(optimizer, 1))
    assert misfit(moment, scheduled.make()) == "only one of the two has a scheduler"
    moment["tensors"]["head.bias"] = torch.zeros(7)
    assert misfit(moment, RECIPES["sgd-momentum"].make()) == "head.bias is float32 (7,) there and float32 (3,) here"


def test_what_is_registered_by_a_repair_keeps_its_name() -> None:
    model = zoo.ListedNorm()
    before = Parts(model).tensors
    norms, loose = model.norms, model.loose
    del model.norms, model.loose
    model.add_module("norms", nn.ModuleList(norms))
    model.add_module("loose", nn.ParameterDict(loose))
    after = Parts(model).tensors
    assert before.keys() == after.keys() >= {"norms.0.running_mean", "norms.1.weight", "loose.weight"}
    assert {name: tensor.data_ptr() for name, tensor in before.items()} == {
        name: tensor.data_ptr() for name, tensor in after.items()
    }


# ---------------------------------------------------------------- how it is written


def test_the_digest_beside_it_is_that_of_the_file(tmp_path: Path) -> None:
    path, digest = write(tmp_path, 3)
    assert path == tmp_path / "step-000000003.pt"
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (tmp_path / "step-000000003.pt.sha256").read_text() == f"{digest}  step-000000003.pt\n"
    assert files(tmp_path) == ["step-000000003.pt", "step-000000003.pt.sha256"], "no temporary file is left"


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_are_kept(keep: int, tmp_path: Path) -> None:
    steps = (1, 20, 300, 50_000, 4_000_000_000)
    for step in steps:
        write_checkpoint(tmp_path, step, SMALL, keep=keep)
    kept = [f"step-{step:09d}.pt" for step in steps[-keep:]]
    assert files(tmp_path) == sorted([*kept, *(f"{name}.sha256" for name in kept)])
    assert [step for step, _ in list_checkpoints(tmp_path)] == list(reversed(steps[-keep:]))


def test_a_later_one_that_is_in_the_way_does_not_cost_the_one_just_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 30, SMALL, keep=1)
    path, _ = write_checkpoint(tmp_path, 20, SMALL, keep=1)
    assert path.exists()


def test_one_of_the_same_step_replaces_the_other(tmp_path: Path) -> None:
    write(tmp_path, 1, SMALL | {"try": 1})
    path, digest = write(tmp_path, 1, SMALL | {"try": 2})
    state, found = read_checkpoint(path)
    assert (state["try"], found) == (2, digest)
    assert digest_path(path).read_text() == f"{digest}  {path.name}\n"


@pytest.mark.parametrize("moves", range(4))
def test_one_that_is_being_replaced_can_be_read_at_every_moment(
    moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies after so many files were moved into place."""
    path, _ = write(tmp_path, 1, SMALL | {"try": 1})
    move, moved = Path.replace, list[Path]()

    def die(source: Path, target: Path) -> Path:
        if len(moved) == moves:
            raise KeyboardInterrupt
        moved.append(source)
        return move(source, target)

    monkeypatch.setattr(Path, "replace", die)
    with contextlib.suppress(KeyboardInterrupt):
        write(tmp_path, 1, SMALL | {"try": 2})
    assert read_checkpoint(path)[0]["try"] == (2 if moves >= 2 else 1)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


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
    write(tmp_path, 1)
    before = contents(tmp_path)
    with disk_of(room), pytest.raises(OSError, match=r"written|large"):
        write(tmp_path, step, LARGE)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("step", [1, 2])
def test_a_disk_that_turns_out_to_be_full_when_it_is_synced_too(
    step: int, failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first sync is of the checkpoint, the second of the digest beside it."""
    write(tmp_path, 1)
    before = contents(tmp_path)
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, step, LARGE)
    assert contents(tmp_path) == before


def test_a_directory_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "checkpoints", 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file", 1)


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
    write(tmp_path, 1, LARGE)
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
write_checkpoint(Path(sys.argv[1]), 1, {"values": torch.zeros(1000)}, keep=3)
"""


def test_a_process_that_dies_while_it_writes_leaves_the_previous_one(tmp_path: Path) -> None:
    write(tmp_path, 1)
    before = contents(tmp_path)
    child = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert child.returncode == 9
    assert {name: data for name, data in contents(tmp_path).items() if not name.endswith(".tmp")} == before
    write(tmp_path, 1, LARGE)
    assert not [name for name in files(tmp_path) if name.endswith(".tmp")]


# ---------------------------------------------------------------- how it is read


damage = st.tuples(
    st.sampled_from(["checkpoint", "digest"]), st.sampled_from(["flip", "cut"]), st.floats(0, 1), st.integers(1, 255)
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damage)
def test_no_damage_is_accepted(damage: tuple[str, str, float, int], tmp_path: Path) -> None:
    which, how, where, change = damage
    path, _ = write(tmp_path, 1, {"format": FORMAT, "values": torch.arange(100.0), "text": "some"})
    victim = path if which == "checkpoint" else digest_path(path)
    data = bytearray(victim.read_bytes())
    place = min(int(where * len(data)), len(data) - 1)
    if how == "flip":
        data[place] ^= change
    victim.write_bytes(data if how == "flip" else data[:place])
    with pytest.raises(Unusable, match="damaged"):
        read_checkpoint(path)


def test_without_its_digest_it_is_not_read(tmp_path: Path) -> None:
    path, _ = write(tmp_path, 1)
    digest_path(path).unlink()
    with pytest.raises(Unusable, match=r"sha256 cannot be read \(no such file"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 no zip"])
def test_what_is_no_checkpoint_but_has_its_digest_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "step-000000001.pt"
    path.write_bytes(content)
    digest_path(path).write_text(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    with pytest.raises(Unusable, match="torch cannot read it"):
        read_checkpoint(path)


def test_another_format_is_a_sentence(tmp_path: Path) -> None:
    path, _ = write(tmp_path, 1, {"format": 1})
    with pytest.raises(Unusable, match="not of format 2"):
        read_checkpoint(path)


def test_code_in_it_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path, _ = write(tmp_path, 1, {"format": FORMAT, "evil": Evil()})
    with pytest.raises(Unusable, match="torch cannot read it"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()
