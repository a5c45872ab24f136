"""Checkpoints on the disk: written whole or not at all, with their SHA-256 beside them, read only if it is theirs."""

import hashlib
from pathlib import Path
from typing import Any, BinaryIO

import torch

from tuitrain.engine.files import checkpoint_path, digest_path, list_checkpoints, sync_directory, write_synced

FORMAT = 2
"""What `run_state` gives, numbered."""


class Unusable(Exception):
    """A checkpoint cannot be resumed from; the message says why, without a capital or a full stop."""


def write_checkpoint(directory: Path, step: int, state: dict[str, Any], *, keep: int) -> tuple[Path, str]:
    """Write `state` as step-N.pt with step-N.pt.sha256 beside it; the path and the digest. OSError if it cannot be.

    Both into temporary files, synced, then moved into place, and the directory synced, so that a checkpoint is there
    whole, with its digest, or not at all; the newest `keep` are kept.
    """
    directory.mkdir(exist_ok=True)
    path = checkpoint_path(directory, step)
    digest_file = digest_path(path)
    new, line, both = (directory / f"{path.name}.{part}.tmp" for part in ("new", "line", "both"))
    try:
        write_synced(new, lambda file: _save(state, file))
        digest = _sha256(new)
        lines = f"{digest}  {path.name}\n".encode()
        write_synced(line, lambda file: file.write(lines))
        if digest_file.exists():  # one of the same step is replaced: whichever of the two is there, its digest is too
            present = digest_file.read_bytes()
            write_synced(both, lambda file: file.write(lines + present))
            both.replace(digest_file)
        new.replace(path)
        line.replace(digest_file)
    finally:
        for temporary in directory.glob("*.tmp"):  # those too that a killed process left
            temporary.unlink(missing_ok=True)
    sync_directory(directory)
    for _, old in [entry for entry in list_checkpoints(directory) if entry[0] <= step][keep:]:
        digest_path(old).unlink(missing_ok=True)
        old.unlink()
    return path, digest


def read_checkpoint(path: Path) -> tuple[dict[str, Any], str]:
    """The state in a checkpoint, every tensor on the CPU, and its digest; Unusable where it is not what was written."""
    try:
        lines = digest_path(path).read_bytes().splitlines(keepends=True)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if f"{digest}  {path.name}\n".encode() not in lines:
                raise Unusable("it is damaged: its SHA-256 is not the one written beside it")
            file.seek(0)
            state = _load(file)
    except OSError as error:
        raise Unusable(f"{error.filename or path} cannot be read ({(error.strerror or str(error)).lower()})") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise Unusable(f"it is not of format {FORMAT}, which this tuitrain reads")
    return state, digest


def set_aside(path: Path) -> Path:
    """Give a checkpoint that cannot be used another name, so that none takes it for the newest; the new path."""
    return path.replace(path.with_name(f"{path.name}.unusable"))


def _save(state: dict[str, Any], file: BinaryIO) -> None:
    try:
        torch.save(state, file)
    except RuntimeError as error:  # what torch makes of a full disk
        raise OSError(f"{file.name} could not be written whole: {str(error).splitlines()[0]}") from error


def _load(file: BinaryIO) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever comes of the bytes it meets
        raise Unusable(f"torch cannot read it ({type(error).__name__})") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
