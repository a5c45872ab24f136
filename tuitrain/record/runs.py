"""Where runs are recorded: one directory a run under the user's state directory, `list_runs` over all of them."""

import contextlib
import difflib
import math
import os
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import platformdirs

from tuitrain.errors import UserError
from tuitrain.record.events import LIVE_STATES, Capabilities, End, Run, Status, Step
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.lease import OWNER, owner_lives, read_lease, release_lease, standing, take_lease, write_lease

__all__ = [
    "CHECKPOINTS",
    "JOURNAL",
    "OWNER",
    "NewRun",
    "RunSummary",
    "create_run",
    "find_run",
    "list_runs",
    "owner_lives",
    "release_lease",
    "runs_directory",
    "summarise",
    "take_lease",
]

JOURNAL = "journal.sqlite"
CHECKPOINTS = "checkpoints"
MOST_NAMED = 5
"""The most runs that an error names."""
MOST_SHOWN = 80
"""The most characters of a name that an error repeats."""


class NewRun(NamedTuple):
    """A run about to begin: its name, its directory, its open journal, and what went wrong on the way, if anything."""

    name: str
    directory: Path
    journal: Journal
    trouble: str | None


class RunSummary(NamedTuple):
    """One line of `tuitrain ls`.

    `state` is what the run last said ("running", "finished"), unless it can no longer be true: "died at step N" where
    its process is gone, "on HOST" where that process is on another machine and nothing is known of it. Where the end of
    its journal is missing, that is said behind a comma.
    """

    name: str
    state: str
    steps: int
    total_steps: int | None
    last_loss: float | None
    started_unix_s: float
    """When it was begun, or last resumed."""


def runs_directory() -> Path:
    """The directory that holds the user's runs."""
    return platformdirs.user_state_path("tuitrain") / "runs"


def create_run(preset: str, *, keep_every: int | None = None) -> NewRun:
    """A new directory and journal for a run of `preset`; `keep_every` is for the journal.

    Where the state directory cannot be written the run is recorded in a temporary directory, and `trouble` says so.
    """
    try:
        return _create_in(runs_directory(), preset, None, keep_every)
    except (OSError, sqlite3.Error) as error:
        trouble = f"{runs_directory()} cannot be written ({error})"
    try:
        parent = Path(tempfile.mkdtemp(prefix="tuitrain-"))
        hint = "set XDG_STATE_HOME to a directory of yours to keep runs."
        return _create_in(parent, preset, f"{trouble}: this run is recorded in {parent} instead; {hint}", keep_every)
    except (OSError, sqlite3.Error) as error:
        raise UserError(
            f"{trouble}, nor can a temporary directory ({error}): make room for the run's journal."
        ) from error


def _create_in(parent: Path, preset: str, trouble: str | None, keep_every: int | None) -> NewRun:
    name, directory = _make_directory(parent, preset)
    return NewRun(name, directory, Journal(directory / JOURNAL, keep_every=keep_every), trouble)


def _make_directory(parent: Path, preset: str) -> tuple[str, Path]:
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    stem = f"{preset}-{datetime.now():%m%d-%H%M%S}"
    for name in (stem, *(f"{stem}-{n}" for n in range(2, 1000))):
        with contextlib.suppress(FileExistsError):
            (parent / name).mkdir(mode=0o700)
            write_lease(parent / name)
            return name, parent / name
    raise FileExistsError(f"no free name for a run {stem} in {parent}")


def find_run(name: str | None) -> Path:
    """The directory of a run, by its name, the beginning of it, or a path; without a name that of the newest live one.

    UserError where there is no such run, or more than one; it names those that come near.
    """
    if name is None:
        return _newest_live()
    given = Path(name).parent if Path(name).name == JOURNAL else Path(name)
    for path in (runs_directory() / name, given):
        if name and _is_run(path):
            return path.resolve()
    return _only_match(name)


def _newest_live() -> Path:
    newest_first = sorted(_run_directories(runs_directory()), key=_taken_unix_s, reverse=True)
    for path in filter(owner_lives, newest_first):
        if summarise(path).state in LIVE_STATES:
            return path
    raise UserError("No run is live just now: name one of those that tuitrain ls lists.")


def _only_match(name: str) -> Path:
    runs = {path.name: path for path in _run_directories(runs_directory())}
    matches = sorted(run for run in runs if run.startswith(name)) if name else []
    if len(matches) == 1:
        return runs[matches[0]]
    if matches:
        raise UserError(f"{name} is the beginning of several runs: {_listed(matches)}. Write one out.")
    near = difflib.get_close_matches(name, runs, n=MOST_NAMED, cutoff=0.6)
    hint = f"did you mean {_listed(near)}?" if near else "tuitrain ls lists those there are."
    raise UserError(f"There is no run {name[:MOST_SHOWN]!r}: {hint}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _run_directories(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if _is_run(path)] if parent.is_dir() else []


def _is_run(path: Path) -> bool:
    return os.path.exists(path / JOURNAL)  # of any name at all: Path.exists raises for one too long to be one


def _taken_unix_s(directory: Path) -> float:
    """When the process that records a run began with it, in Unix seconds."""
    try:
        return (directory / OWNER).stat().st_mtime
    except OSError:
        return time.time()


def list_runs(parent: Path | None = None) -> list[RunSummary]:
    """All runs, the newest first. A directory whose journal cannot be read is listed as "unreadable"."""
    summaries = [summarise(path) for path in _run_directories(parent or runs_directory())]
    return sorted(summaries, key=lambda summary: summary.started_unix_s, reverse=True)


def summarise(directory: Path) -> RunSummary:
    """What `tuitrain ls` says of the run in `directory`."""
    name, started = directory.name, _taken_unix_s(directory)
    try:
        with contextlib.closing(Reader(directory / JOURNAL)) as reader:
            last, run, status, end = reader.last_step(), reader.last(Run), reader.last(Status), reader.last(End)
            can = reader.last(Capabilities)
            missing = reader.missing
    except (UserError, sqlite3.Error):
        return RunSummary(name, "unreadable", 0, None, None, started)
    steps = end.steps if end else last.step if last else 0
    state: str = status.state if status else "loading"
    if state in LIVE_STATES:
        state = _while_it_lives(state, directory, died="died" if missing else f"died at step {steps:,}")
    if missing and state not in LIVE_STATES:
        state = f"{state}, {missing.brief}"
    return RunSummary(name, state, steps, (run and run.total_steps) or None, _loss_of(last, can), started)


def _loss_of(last: Step | None, can: Capabilities | None) -> float | None:
    """The last loss; None if there is none to be seen, as in a script that computes its gradients in another way."""
    unseen = can is not None and any((each.kind, each.name) == ("unavailable", "loss") for each in can.rows)
    return None if last is None or (math.isnan(last.loss) and unseen) else last.loss


def _while_it_lives(state: str, directory: Path, *, died: str) -> str:
    """The state that a run last said, if the process that said it can be seen to live; else what is known instead."""
    lease = read_lease(directory)
    match "gone" if lease is None else standing(lease):
        case "lives":
            return state
        case "elsewhere" if lease is not None:
            return f"on {lease.host}"
    return died
