"""Real MNIST as tensors: found on disk, downloaded on request, or the sample that ships with tuitrain.

Files are in torchvision's layout, `<data dir>/MNIST/raw/train-images-idx3-ubyte` and so on, plain or gzipped.
They are read without torchvision, whose import alone takes longer than all of this.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuitrain.engine import sample
from tuitrain.errors import UserError

Progress = Callable[[str, float], None]
"""Called with the name of the file being fetched and the fraction of the whole download done, 0 to 1."""

DATA_VARIABLE = "TUITRAIN_DATA"
RAW = Path("MNIST", "raw")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CLASSES = 10
SIDE = 28

_DOWNLOAD_BYTES = 9_912_422 + 28_881 + 1_648_877 + 4_542
_STALL_S = 60.0
_POLL_S = 0.1

# torchvision cannot be told to stop, to time out or to keep off the terminal: a process can.
_FETCH = """\
import json, sys
try:
    from torchvision.datasets import MNIST
    order = json.loads(sys.argv[1])
    if order["source"]:
        MNIST.mirrors, MNIST.resources = order["source"]
    MNIST(order["root"], download=True)
except BaseException as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(1)
"""


@dataclass(frozen=True)
class Digits:
    """MNIST, or a part of it."""

    train_images: Tensor
    """uint8 [N, 1, 28, 28]; 0 is background."""
    train_labels: Tensor
    """int64 [N], 0 to 9."""
    val_images: Tensor
    """uint8 [M, 1, 28, 28]."""
    val_labels: Tensor
    """int64 [M]."""
    origin: str
    """Which digits these are, for the screen."""


@dataclass(frozen=True)
class Source:
    """Where to download from, in place of torchvision's own list."""

    mirrors: tuple[str, ...]
    """Addresses, each ending in a slash."""
    resources: tuple[tuple[str, str], ...]
    """File name and MD5 of each gzipped file."""


def cache_dir() -> Path:
    """The data directory of the user, where a download goes when no other is named."""
    return platformdirs.user_cache_path("tuitrain") / "data"


def find(data_dir: Path | None) -> Path | None:
    """The folder that holds the four files, or None where there is none and none was asked for.

    Looks in `data_dir`, else in `$TUITRAIN_DATA`, else in the user's cache; there in `MNIST/raw` first,
    then in the directory itself. Raises UserError when `data_dir` or the variable names a directory without
    the files.
    """
    named = _named_dir(data_dir)
    if named is None:
        return _folder_in(cache_dir())
    directory, name = named
    folder = _folder_in(directory)
    if folder is None:
        raise UserError(
            f"{name} {directory} has no MNIST: {directory / RAW} lacks {', '.join(_missing(directory / RAW))}"
            " (plain or .gz); name the directory that holds MNIST/raw, add --full to download there, or name"
            " none to use the embedded sample."
        )
    return folder


def load(data_dir: Path | None = None, *, full: bool = False, progress: Progress | None = None) -> Digits:
    """The digits to train on: those `find` finds, or with `full` a download if there are none, or the sample.

    Raises UserError for a named directory without the files (unless `full`), damaged files, a failed
    download.
    """
    if not full:
        folder = find(data_dir)
        return read_sample() if folder is None else read_folder(folder)
    named = _named_dir(data_dir)
    directory = cache_dir() if named is None else named[0]
    return read_folder(_folder_in(directory) or download(directory, progress or _ignore))


def read_sample() -> Digits:
    """The sample of real MNIST that ships with tuitrain."""
    parts = {name: torch.from_numpy(array) for name, array in sample.load().items()}
    train_images, val_images = (parts[f"{split}_images"].unsqueeze(1) for split in ("train", "val"))
    train_labels, val_labels = (parts[f"{split}_labels"].long() for split in ("train", "val"))
    origin = f"embedded sample of MNIST, {len(train_images):,} + {len(val_images):,} images"
    return Digits(train_images, train_labels, val_images, val_labels, origin)


def read_folder(folder: Path) -> Digits:
    """Read the four files in `folder`.

    Raises UserError that names the file when one is missing, unreadable, too short or too long, of another
    kind or another image size, or holds a label above 9.
    """
    train_images, train_labels = _read_split(folder, "train")
    val_images, val_labels = _read_split(folder, "t10k")
    origin = f"MNIST, {len(train_images):,} + {len(val_images):,} images from {folder}"
    return Digits(train_images, train_labels, val_images, val_labels, origin)


def download(target: Path, progress: Progress, source: Source | None = None) -> Path:
    """Download MNIST through torchvision into `target` / MNIST / raw and return that folder.

    `progress` is called in this thread several times a second; what it raises ends the download. The files
    come into place whole, after their MD5s (by torchvision) and their contents were checked, and not at all
    if anything went wrong. Raises UserError when the download fails, stalls for a minute, or cannot be
    written.
    """
    with _storing_in(target):
        target.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".download-", dir=target)
    with scratch:
        raw = Path(scratch.name) / RAW
        _fetch(Path(scratch.name), progress, source)
        read_folder(raw)
        with _storing_in(target):
            return _move_into_place(raw, target / RAW)


def _ignore(name: str, fraction: float) -> None:
    """Progress nobody looks at."""


def _named_dir(data_dir: Path | None) -> tuple[Path, str] | None:
    """The directory the user asked for and where it was named."""
    if data_dir is not None:
        return data_dir.expanduser(), "--data-dir"
    variable = os.environ.get(DATA_VARIABLE)
    return (Path(variable).expanduser(), f"${DATA_VARIABLE}") if variable else None


def _folder_in(directory: Path) -> Path | None:
    return next((folder for folder in (directory / RAW, directory) if not _missing(folder)), None)


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if _path_of(folder, name) is None]


def _path_of(folder: Path, name: str) -> Path | None:
    # os.path's own, because Path.is_file raises in a directory that may not be searched.
    return next((path for path in (folder / name, folder / f"{name}.gz") if os.path.isfile(path)), None)


def _read_split(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, 1, 28, 28] and labels int64 [N] of the split called "train" or "t10k"."""
    images_path, images = _read_idx(folder, f"{split}-images-idx3-ubyte", dims=3)
    labels_path, labels = _read_idx(folder, f"{split}-labels-idx1-ubyte", dims=1)
    if images.shape[1:] != (SIDE, SIDE) or len(images) == 0:
        raise _damaged(images_path, f"it holds images of shape {list(images.shape)}, not [N, {SIDE}, {SIDE}]")
    if len(labels) != len(images):
        raise _damaged(labels_path, f"it holds {len(labels):,} labels for {len(images):,} images")
    if labels.max() >= CLASSES:
        raise _damaged(labels_path, f"it holds the label {labels.max()}, above {CLASSES - 1}")
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels).long()


def _read_idx(folder: Path, name: str, dims: int) -> tuple[Path, NDArray[np.uint8]]:
    """The path and the writable array of an IDX file: magic number, `dims` big-endian sizes, the bytes."""
    path = _path_of(folder, name)
    if path is None:
        raise UserError(f"{folder / name} is missing; put it back, or add --full to download MNIST anew.")
    content = _read_bytes(path)
    header = 4 * (1 + dims)
    if len(content) < header:
        raise _damaged(path, f"it ends after {len(content)} bytes, within its header")
    magic, *shape = (int(number) for number in content[:header].view(">u4"))
    if magic != 0x0800 + dims:
        raise _damaged(path, f"it begins with {magic:#010x}, not with {0x0800 + dims:#010x}")
    expected = header + prod(shape)
    if len(content) != expected:
        raise _damaged(path, f"it has {len(content):,} bytes where its header promises {expected:,}")
    return path, content[header:].reshape(shape)


def _read_bytes(path: Path) -> NDArray[np.uint8]:
    try:
        if path.suffix != ".gz":
            return np.fromfile(path, np.uint8)
        with gzip.open(path) as file:
            return np.frombuffer(bytearray(file.read()), np.uint8)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, f"it does not unpack: {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error


def _damaged(path: Path, what: str) -> UserError:
    return UserError(
        f"{path} is damaged: {what}; delete it and add --full to download MNIST anew, or name another"
        " directory with --data-dir."
    )


def _fetch(root: Path, progress: Progress, source: Source | None) -> None:
    """Let torchvision download into `root` in a process of its own, reporting the bytes that arrived."""
    order = {"root": str(root), "source": source and [source.mirrors, source.resources]}
    child = subprocess.Popen(
        [sys.executable, "-c", _FETCH, json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for this process to answer, which then ends the child
    )
    with child:
        try:
            output = _watch(child, root / RAW, progress)
        finally:
            child.kill()
    if child.returncode != 0:
        reason = " ".join(output.split()) or f"the download ended with code {child.returncode}"
        raise _download_failed(reason)
    progress(FILES[-1], 1.0)


def _watch(child: "subprocess.Popen[str]", raw: Path, progress: Progress) -> str:
    """Report progress until the child ends; what it printed. Raises UserError when nothing arrives."""
    seen, last_growth = -1, time.monotonic()
    while True:
        try:
            return child.communicate(timeout=_POLL_S)[0]
        except subprocess.TimeoutExpired:
            sizes = _sizes(raw)
        if sum(sizes.values()) != seen:
            seen, last_growth = sum(sizes.values()), time.monotonic()
        elif time.monotonic() - last_growth > _STALL_S:
            raise _download_failed(f"nothing arrived for {_STALL_S:g} seconds")
        packed = {name: size for name, size in sizes.items() if name.endswith(".gz")}
        current = next((name for name in reversed(FILES) if f"{name}.gz" in packed), FILES[0])
        progress(current, min(1.0, sum(packed.values()) / _DOWNLOAD_BYTES))


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file in `folder`, which may not exist yet."""
    if not folder.is_dir():
        return {}
    return {entry.name: entry.stat().st_size for entry in os.scandir(folder)}


def _download_failed(reason: str) -> UserError:
    return UserError(
        f"MNIST could not be downloaded and nothing was kept ({reason}); check the network and try again, or"
        " leave out --full to train on the embedded sample."
    )


@contextmanager
def _storing_in(target: Path) -> Iterator[None]:
    """Turn a disk's refusal into a sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"MNIST cannot be stored in {target} ({error.strerror}); name a directory that can be written"
            " with --data-dir, or leave out --full to train on the embedded sample."
        ) from error


def _move_into_place(raw: Path, target: Path) -> Path:
    """Rename the four checked files into `target`, each of them whole at any moment."""
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (raw / name).replace(target / name)
    return target
