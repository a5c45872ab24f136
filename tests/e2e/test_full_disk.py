"""A disk that takes nothing more: training goes on, whoever watches is told, and what was saved before is whole."""

import contextlib
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.detached import say
from tests.e2e.terminal import ROOT, TIMEOUT_S, Terminal, environment, tuitrain
from tests.e2e.watched import ENDLESS, watched
from tests.e2e.witness import wait_until, with_witness, witnessed
from tuitrain.record.events import Rejected
from tuitrain.record.journal import Reader
from tuitrain.record.runs import CHECKPOINTS, JOURNAL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits another process, or mounts: needs Linux")

SMALL_MIB = 8
STEPS = 300


class Disk(Protocol):
    """Where a run is recorded."""

    def fill(self, pid: int) -> None:
        """Take all room away from a process."""

    def free(self, pid: int) -> None:
        """Give it back."""


class Limit:
    """A disk that is full for one process alone: its files may not grow."""

    def fill(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))

    def free(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


class SmallDisk:
    """A file system of a few MiB, and a file that takes what is left of them."""

    def __init__(self, directory: Path) -> None:
        self._filler = directory / "filler"

    def fill(self, pid: int) -> None:
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)

    def free(self, pid: int) -> None:
        self._filler.unlink()


@pytest.fixture(params=["RLIMIT_FSIZE", "tmpfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """One that can be filled, on which `tmp_path / "state"` lies."""
    if request.param == "RLIMIT_FSIZE":
        yield Limit()
        return
    state = tmp_path / "state"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m", "tmpfs", str(state)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield SmallDisk(state)
    finally:
        subprocess.run(["umount", "--lazy", str(state)], check=True)


def test_who_watches_is_told_as_long_as_the_disk_is_full_and_nothing_is_lost(disk: Disk, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    with watched(tmp_path, "mnist", *ENDLESS, "--batch-size", "8", env=with_witness(witness)) as run:
        run.terminal.wait_for("● all")
        run.press_and_apply("w", word="checkpoint", value=True)
        saved = checkpoints(run.directory)
        disk.fill(run.pid)
        told = f"The journal {run.directory / JOURNAL} cannot be written ("
        run.terminal.wait_until(lambda: shows(run.terminal, told), "the trouble on its own screen")
        with Terminal(tuitrain("watch"), environment(tmp_path)) as viewer:
            viewer.wait_until(lambda: shows(viewer, told), "the trouble on another screen")
            run.terminal.press("w")
            executed = len(witnessed(witness))
            run.terminal.wait_until(lambda: len(witnessed(witness)) > executed + 100, "a hundred more steps")
            assert checkpoints(run.directory) == saved
            disk.free(run.pid)
            for terminal in (run.terminal, viewer):
                terminal.wait_until(lambda: not shows(terminal, told), "the trouble to go")  # noqa: B023
                terminal.wait_for("Refused: checkpoint" if terminal is run.terminal else "checkpoint refused")
        run.terminal.press("ctrl+c")
        assert run.terminal.wait_end() == 0
        assert run.terminal.unrestored() == []
        (refused,) = (told for told in run.view.timeline if isinstance(told, Rejected))
        end = run.view.end
    assert (refused.word, refused.by) == ("checkpoint", "key")
    assert refused.reason.startswith("no checkpoint could be written (")
    assert end is not None
    assert end.steps == len(witnessed(witness))
    assert recorded(run.directory) == list(range(1, end.steps + 1))
    assert len(checkpoints(run.directory)) == len(saved) + 1, "there is room again for the one at the end"


def test_on_a_disk_that_stays_full_a_run_comes_to_its_end_and_its_last_good_checkpoint_is_whole(tmp_path: Path) -> None:
    words = ("mnist", *ENDLESS, "--batch-size", "8", "--steps", str(STEPS), "--checkpoint-every", "50", "--headless")
    witness = tmp_path / "witness"
    with subprocess.Popen(
        tuitrain(*words), cwd=ROOT, env=environment(tmp_path) | with_witness(witness), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        wait_until(lambda: len(witnessed(witness)) > 120, process)
        Limit().fill(process.pid)
        _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    directory = run_in(tmp_path)
    assert said.startswith(f"tuitrain: The journal {directory / JOURNAL} cannot be written (")
    assert len(said.splitlines()) == 1
    assert len(witnessed(witness)) == STEPS
    steps = recorded(directory)
    assert steps == list(range(1, len(steps) + 1))
    assert 100 <= len(steps) < STEPS
    (*_, newest) = checkpoints(directory)
    assert 100 <= int(newest.removeprefix("step-").removesuffix(".pt")) < STEPS
    resumed = say(tmp_path, "resume", directory.name, "--headless", "--steps", str(STEPS))
    assert (resumed.code, resumed.err) == (0, "")
    assert recorded(directory)[-1] == STEPS


def shows(terminal: Terminal, text: str) -> bool:
    """Whether this stands on the screen, on however many lines."""
    return "".join(text.split()) in "".join(terminal.text.split())


def checkpoints(directory: Path) -> list[str]:
    """The checkpoints of a run, each of which must be what was written; and nothing else may lie beside them."""
    names = sorted(path.name for path in (directory / CHECKPOINTS).iterdir())
    saved = [name for name in names if name.endswith(".pt")]
    assert names == sorted([*saved, *(f"{name}.sha256" for name in saved)])
    for name in saved:
        path = directory / CHECKPOINTS / name
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.with_name(f"{name}.sha256").read_text() == f"{digest}  {name}\n"
    return saved


def recorded(directory: Path) -> list[int]:
    """The executed steps in the journal of a run."""
    with contextlib.closing(Reader(directory / JOURNAL, whole=True)) as reader:
        return [step.executed for step in reader.poll().steps]


def run_in(home: Path) -> Path:
    (journal,) = home.rglob(JOURNAL)
    return journal.parent
