"""Where runs are recorded: one directory a run under the user's state directory, `list_runs` over all of them."""

import contextlib
import os
import sqlite3
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import platformdirs
import psutil

from tuitrain.errors import UserError
from tuitrain.record.events import LIVE_STATES, End, Run, Status
from tuitrain.record.journal import Journal, Reader

JOURNAL = "journal.sqlite"
CHECKPOINTS = "checkpoints"
OWNER = "owner"
"""Holds "pid start-time" of the process that trains: how a viewer tells a run that lives from one that died."""

CLOCK_STEP_S = 2.0
"""A start time is derived from the clock, and moves this much when the clock is set."""


class NewRun(NamedTuple):
    """A run about to begin: its name, its directory, its open journal, and what went wrong on the way, if anything."""

    name: str
    directory: Path
    journal: Journal
    trouble: str | None


class RunSummary(NamedTuple):
    """One line of `tuitrain ls`."""

    name: str
    state: str
    steps: int
    total_steps: int | None
    last_loss: float | None
    started_unix_s: float


def runs_directory() -> Path:
    """The directory that holds the user's runs."""
    return platformdirs.user_state_path("tuitrain") / "runs"


def create_run(preset: str) -> NewRun:
    """A new directory and journal for a run of `preset`.

    Where the state directory cannot be written the run is recorded in a temporary directory, and `trouble` says so.
    """
    try:
        return _create_in(runs_directory(), preset, None)
    except (OSError, sqlite3.Error) as error:
        trouble = f"{runs_directory()} cannot be written ({error})"
    try:
        parent = Path(tempfile.mkdtemp(prefix="tuitrain-"))
        hint = "set XDG_STATE_HOME to a directory of yours to keep runs."
        return _create_in(parent, preset, f"{trouble}: this run is recorded in {parent} instead; {hint}")
    except (OSError, sqlite3.Error) as error:
        raise UserError(
            f"{trouble}, nor can a temporary directory ({error}): make room for the run's journal."
        ) from error


def _create_in(parent: Path, preset: str, trouble: str | None) -> NewRun:
    name, directory = _make_directory(parent, preset)
    return NewRun(name, directory, Journal(directory / JOURNAL), trouble)


def _make_directory(parent: Path, preset: str) -> tuple[str, Path]:
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    stem = f"{preset}-{datetime.now():%m%d-%H%M%S}"
    for name in (stem, *(f"{stem}-{n}" for n in range(2, 1000))):
        with contextlib.suppress(FileExistsError):
            (parent / name).mkdir(mode=0o700)
            (parent / name / OWNER).write_text(f"{os.getpid()} {psutil.Process().create_time()}\n")
            return name, parent / name
    raise FileExistsError(f"no free name for a run {stem} in {parent}")


def owner_lives(directory: Path) -> bool:
    """Whether the process that recorded into this directory is still there (same pid and same start time)."""
    try:
        pid, started = (directory / OWNER).read_text().split()
        owner = psutil.Process(int(pid))
        same = abs(owner.create_time() - float(started)) < CLOCK_STEP_S
        return same and owner.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return False


def list_runs(parent: Path | None = None) -> list[RunSummary]:
    """All runs, the newest first. A directory whose journal cannot be read is listed as "unreadable"."""
    parent = parent or runs_directory()
    if not parent.is_dir():
        return []
    summaries = [summarise(path) for path in parent.iterdir() if (path / JOURNAL).exists()]
    return sorted(summaries, key=lambda summary: summary.started_unix_s, reverse=True)


def summarise(directory: Path) -> RunSummary:
    """What `tuitrain ls` says of the run in `directory`."""
    started = directory.joinpath(OWNER).stat().st_mtime if (directory / OWNER).exists() else time.time()
    try:
        with contextlib.closing(Reader(directory / JOURNAL)) as reader:
            last, run, status, end = reader.last_step(), reader.last(Run), reader.last(Status), reader.last(End)
    except (UserError, sqlite3.Error):
        return RunSummary(directory.name, "unreadable", 0, None, None, started)
    steps = end.steps if end else last.step if last else 0
    state: str = status.state if status else "loading"
    if state in LIVE_STATES and not owner_lives(directory):
        state = f"died at step {steps:,}"
    total_steps, last_loss = run.total_steps if run else None, last.loss if last else None
    return RunSummary(directory.name, state, steps, total_steps, last_loss, started)
