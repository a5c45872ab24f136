"""Checkpoints: written whole or not at all, with their SHA-256 beside them, loadable with weights_only."""

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from tuitrain.engine.rng import capture_rng
from tuitrain.engine.training import Training
from tuitrain.record.events import Value

FORMAT = 1
KEEP = 3
"""How many checkpoints of a run are kept."""


def checkpoint_state(training: Training, counters: dict[str, int], switches: dict[str, Value]) -> dict[str, Any]:
    """Everything that continues the run: tensors, numbers, strings and containers of them, nothing else."""
    rng = capture_rng()
    return {
        "format": FORMAT,
        "counters": counters,
        "switches": switches,
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scheduler": None if training.scheduler is None else training.scheduler.state_dict(),
        "batches": dict(training.train.state_dict()),
        "rng": {
            "python": repr(random.getstate()),
            "numpy": None if rng.numpy is None else _plain_numpy_state(rng.numpy),
            "cpu": rng.cpu,
            "devices": list(rng.devices),
        },
    }


def write_checkpoint(directory: Path, step: int, state: dict[str, Any]) -> tuple[Path, str]:
    """Write `state` as step-N.pt with step-N.pt.sha256 beside it; the path and the digest. OSError if it cannot be.

    Both into temporary files, synced, then moved into place, and the directory synced, so that a checkpoint is there
    whole, with its digest, or not at all; the newest KEEP are kept.
    """
    directory.mkdir(exist_ok=True)
    path = directory / f"step-{step:09d}.pt"
    temporary, temporary_digest = path.with_suffix(".tmp"), path.with_suffix(".sha256.tmp")
    try:
        _write_synced(temporary, lambda file: _save(state, file))
        digest = _sha256(temporary)
        _write_synced(temporary_digest, lambda file: file.write(f"{digest}  {path.name}\n".encode()))
        temporary.replace(path)
        temporary_digest.replace(path.with_suffix(".pt.sha256"))
    finally:
        temporary.unlink(missing_ok=True)
        temporary_digest.unlink(missing_ok=True)
    _sync_directory(directory)
    for old in sorted(directory.glob("step-*.pt"))[:-KEEP]:
        old.with_suffix(".pt.sha256").unlink(missing_ok=True)
        old.unlink()
    return path, digest


def _write_synced(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _save(state: dict[str, Any], file: BinaryIO) -> None:
    try:
        torch.save(state, file)
    except RuntimeError as error:  # what torch makes of a full disk
        raise OSError(f"{file.name} could not be written whole: {str(error).splitlines()[0]}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain_numpy_state(state: dict[str, Any]) -> dict[str, Any]:
    inner = state["state"]
    return {
        "bit_generator": state["bit_generator"],
        "key": inner["key"].tolist(),
        "pos": int(inner["pos"]),
        "has_gauss": int(state["has_gauss"]),
        "gauss": float(state["gauss"]),
    }
