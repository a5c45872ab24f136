"""Files that are there whole, or not at all, whatever happens meanwhile; and the names of checkpoints.

Loads no torch.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_CHECKPOINT = re.compile(r"step-(\d{9,})\.pt")


def checkpoint_path(directory: Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return directory / f"step-{step:09d}.pt"


def digest_path(checkpoint: Path) -> Path:
    """Where the digest of a checkpoint stands: beside it."""
    return checkpoint.with_name(f"{checkpoint.name}.sha256")


def list_checkpoints(directory: Path) -> list[tuple[int, Path]]:
    """The checkpoints in a directory with the steps they are of, the newest first."""
    matches = [(_CHECKPOINT.fullmatch(path.name), path) for path in directory.glob("step-*.pt")]
    return sorted(((int(match[1]), path) for match, path in matches if match), reverse=True)


def write_synced(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """A new file at `path` with what `write` puts into it, on the disk when this returns."""
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Have the names in a directory, new ones and moved ones, on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
