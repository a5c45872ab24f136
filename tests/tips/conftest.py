"""A clock without intervals, one thread, and a factory of small runs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tips.small_run import SmallRun
from tuitrain.engine import probe

MakeRun = Callable[..., SmallRun]


@pytest.fixture(autouse=True)
def _no_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample every batch, deliver every step."""
    for name in ("SAMPLE_INTERVAL_S", "FLUSH_INTERVAL_S", "NORMS_INTERVAL_S", "REPORT_INTERVAL_S"):
        monkeypatch.setattr(probe, name, 0.0)


@pytest.fixture(autouse=True)
def _seeded_on_one_thread() -> Iterator[None]:
    """The global generators and threads as these tests need them, put back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors: a second thread only waits
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[MakeRun]:
    """SmallRun, with a directory of its own each; ended at the end."""
    runs: list[SmallRun] = []

    def make(*args: Any, **kwargs: Any) -> SmallRun:  # noqa: ANN401 - as SmallRun has them
        directory = tmp_path / str(len(runs))
        directory.mkdir()
        runs.append(SmallRun(directory, *args, **kwargs))
        return runs[-1]

    yield make
    for run in runs:
        run.end()
