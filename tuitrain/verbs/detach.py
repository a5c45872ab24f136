"""`--detach`: the same command once more, in a process and a session of its own that no terminal can take along.

The parent learns from a pipe which run that process records, then reads its journal like any viewer, until the run
trains or cannot.
"""

import contextlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import msgspec

from tuitrain.record.events import End, Status
from tuitrain.record.journal import News, Reader
from tuitrain.record.runs import JOURNAL
from tuitrain.ui.plain import text_of
from tuitrain.verbs.only_new import OnlyNew
from tuitrain.verbs.raw_log import LOG

REPORT_TO = "TUITRAIN_REPORT_TO"
"""In the environment of the new process: the descriptor on which it says which run it records."""
POLL_INTERVAL_S = 0.1
INTERRUPTED = 130


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What the new process says as soon as it has a run: where that is recorded, and by which process."""

    name: str
    directory: str
    pid: int
    resumed: bool


def launch(*, as_json: bool) -> int:
    """Start this program once more, detached; wait until its run trains or cannot; the exit code.

    The run's name is printed at once, as JSON with the directory and the process where asked. Ctrl+c ends the waiting
    alone.
    """
    process, report = _start()
    try:
        with report:
            said = report.readline()
        if not said:  # it went before it had a run, and said why on our stderr
            return process.wait()
        begun = msgspec.json.decode(said, type=Begun)
        _say(begun, said, as_json=as_json)
        return _wait(begun, process)
    except KeyboardInterrupt:
        click.echo("\ntuitrain: no longer waiting; the run goes on: see tuitrain ls.", err=True)
        return INTERRUPTED
    finally:
        if process.returncode is None:
            process.returncode = 0  # it lives on, as it should: not to be warned of


def reporting() -> "Report | None":
    """The pipe to the process that launched this one with --detach; None if none did."""
    descriptor = os.environ.pop(REPORT_TO, None)
    return None if descriptor is None else Report(int(descriptor))


class Report:
    """The pipe to who launched this process; it stays open as long as this process lives."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_inheritable(descriptor, False)

    def begun(self, directory: Path, *, resumed: bool) -> None:
        """Say which run this process records, and whether that goes on with one that was there."""
        begun = Begun(name=directory.name, directory=str(directory), pid=os.getpid(), resumed=resumed)
        with contextlib.suppress(BrokenPipeError):  # interrupted, or gone: the run does not mind
            os.write(self._descriptor, msgspec.json.encode(begun) + b"\n")


def _start() -> "tuple[subprocess.Popen[bytes], io.BufferedReader]":
    """Start this program as it was started, in a session of its own; and the pipe on which it reports."""
    read_end, write_end = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            env=os.environ | {REPORT_TO: str(write_end)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[write_end],
        )
    finally:
        os.close(write_end)
    return process, open(read_end, "rb")


def _say(begun: Begun, said: bytes, *, as_json: bool) -> None:
    click.echo(said.decode().rstrip() if as_json else begun.name)
    click.echo(f"Watch it from any terminal: tuitrain watch {begun.name}", err=True)


def _wait(begun: Begun, process: "subprocess.Popen[bytes]") -> int:
    """Read the journal until a step was executed (0), or the run has ended (its process's code) or died (1)."""
    loading, old_steps = "", begun.resumed
    only_new = OnlyNew([])
    with contextlib.closing(Reader(Path(begun.directory) / JOURNAL)) as reader:
        while True:
            gone = process.poll() is not None  # asked before the last look, which then misses nothing
            news = only_new(reader.poll())
            if (message := _loading(news)) not in ("", loading):
                loading = message
                click.echo(f"{loading} ...", err=True)
            end = next((event for event in news.events if isinstance(event, End)), None)
            if end is not None:
                return _ended(begun, end, news, process)
            if news.steps and not old_steps:
                click.echo(f"It trains: {text_of(news.steps[-1])}", err=True)
                return 0
            if gone:
                log = Path(begun.directory) / LOG
                click.echo(f"tuitrain: {begun.name} died before its first step: see {log}.", err=True)
                return 1
            old_steps = False
            time.sleep(POLL_INTERVAL_S)


def _loading(news: News) -> str:
    """What the run last said that it loads; empty if it said nothing new."""
    said = [event.message for event in news.events if isinstance(event, Status) and event.state == "loading"]
    return said[-1] if said else ""


def _ended(begun: Begun, end: End, news: News, process: "subprocess.Popen[bytes]") -> int:
    """Say how a run ended that has ended already."""
    if end.reason not in ("failed", "bad input"):
        click.echo(f"It has ended: {text_of(end)}", err=True)
        return 0
    statuses = [event for event in news.events if isinstance(event, Status) and event.state == "failed"]
    why = statuses[-1].message if statuses else end.reason
    more = f" (see tuitrain logs {begun.name})" if end.reason == "failed" else ""
    click.echo(f"tuitrain: {why}{more}", err=True)
    return process.wait()
