"""A training's steps counted in a file that another process reads. Loads torch only to count those of a script."""

import mmap
import struct
import time
from pathlib import Path
from typing import NamedTuple

_COUNT = struct.Struct("=qd")


class Mark(NamedTuple):
    """How far a training is: its steps, and when the last one was done (seconds on a clock of its own)."""

    steps: int
    time_s: float


class Counter:
    """Counts in a file; a step costs less than a microsecond."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_COUNT.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _COUNT.size)
        self._steps = 0

    def step(self) -> None:
        """One more."""
        self._steps += 1
        _COUNT.pack_into(self._shared, 0, self._steps, time.monotonic())


def read_count(path: Path) -> Mark:
    """What stands in a counter's file; no steps where there is none yet."""
    seen, again = b"", _bytes(path)
    while seen != again:  # written between two reads
        seen, again = again, _bytes(path)
    return Mark(*_COUNT.unpack(seen)) if len(seen) == _COUNT.size else Mark(0, 0.0)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def count_optimizer_steps(path: Path) -> None:
    """Count every step of every optimizer of this process, and nothing else."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    counter = Counter(path)
    register_optimizer_step_post_hook(lambda optimizer, args, kwargs: counter.step())
