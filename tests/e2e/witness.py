"""A witness of what a process executed and when, which a kill cannot silence: a file mapped into its memory."""

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from tests.e2e.shim import first_of_all
from tests.e2e.terminal import POLL_S, TIMEOUT_S

MOST_STEPS = 200_000
LONGEST_S = 0.05
"""A step that took longer did not run all the while: the machine had other things to do."""

_WITNESSING = """
import itertools, pathlib, sys
from importlib.machinery import PathFinder
class Witnessing:  # once torch is loaded, and before there is an optimizer
    def find_spec(self, name, path=None, target=None):
        if name != "tuitrain.engine.session":
            return None
        spec = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def load_and_watch(module):
            load(module)
            from torch.optim.optimizer import register_optimizer_step_post_hook
            from tests.e2e.witness import Witness
            witness, numbers = Witness(pathlib.Path({witness!r})), itertools.count(1)
            register_optimizer_step_post_hook(lambda *_: witness.saw(next(numbers)))
        spec.loader.exec_module = load_and_watch
        return spec
sys.meta_path.insert(0, Witnessing())
"""


class Witness:
    """Notes when each step was executed."""

    def __init__(self, path: Path) -> None:
        self._times_s = np.memmap(path, np.float64, "w+", shape=(MOST_STEPS,))

    def saw(self, executed: int) -> None:
        """This step was executed just now."""
        self._times_s[executed - 1] = time.monotonic()


def witnessed(path: Path) -> npt.NDArray[np.float64]:
    """When each step was executed, from the first on, on the clock of `time.monotonic`."""
    times_s = np.fromfile(path, np.float64) if path.exists() else np.zeros(0)
    return times_s[: np.count_nonzero(times_s)]


def lost_s(times_s: npt.NDArray[np.float64], recorded: int, killed_s: float) -> float:
    """How much of a run is lost of which `recorded` steps are recorded: from the first lost step until it was killed.

    Without the time in which a slow machine let it stand still.
    """
    lost = np.append(times_s[recorded:], killed_s)
    return float(np.minimum(np.diff(lost), LONGEST_S).sum())


def with_witness(path: Path) -> dict[str, str]:
    """The environment that has a program which trains note its steps at `path`."""
    return first_of_all(path.with_name(f"{path.name} shim"), _WITNESSING.format(witness=str(path)))


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[Any] | psutil.Process") -> None:
    """Wait until something holds, for as long as a process lives."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        with contextlib.suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
            raise AssertionError(f"it ended with {process.wait(POLL_S)}")
        assert time.monotonic() < deadline_s
