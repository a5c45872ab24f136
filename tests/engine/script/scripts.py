"""Programs as plain Python runs them, and as tuitrain does: what came of both.

`bare` and `watched` run a program in a copy of a Python that has loaded torch, `run_bare` and `run_watched` in a Python
of its own.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from tests.engine.listening import ListeningJournal
from tests.engine.script.forking import run_copy, start_copy
from tuitrain.engine.script.host import Process, ScriptHost, ScriptOrder
from tuitrain.record.commands import parse
from tuitrain.record.events import AnyEvent, Applied, Event, LogLine, Rejected, Step
from tuitrain.record.journal import Reader
from tuitrain.record.runs import JOURNAL

PROGRAMS = Path(__file__).with_name("programs")
TIPS = "tuitrain.tips:TIPS"
PATIENCE_S = 120.0

_E = TypeVar("_E", bound=Event)


@dataclass(frozen=True)
class Outcome:
    """What a script left behind."""

    returncode: int
    printed: list[str]
    events: Sequence[AnyEvent] = ()
    steps: Sequence[Step] = ()
    log: bytes = b""

    @property
    def weights(self) -> list[str]:
        """The digests that it printed."""
        return [line for line in self.printed if line.startswith("weights ")]

    @property
    def told(self) -> list[str]:
        """What tuitrain itself had to say."""
        return [event.text for event in self.of(LogLine) if event.stream == "run"]

    def of(self, kind: type[_E]) -> list[_E]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def arguments_of(program: str) -> list[str]:
    """ "classifier --workers 2" as python takes it."""
    name, *arguments = program.split()
    return [str(PROGRAMS / f"{name}.py"), *arguments]


@cache
def bare(program: str) -> Outcome:
    """What a program prints, and how it ends, without us."""
    returncode, printed = run_copy([sys.executable, *arguments_of(program)])
    return Outcome(returncode, printed.splitlines())


def run_bare(arguments: Sequence[str]) -> Outcome:
    """What a Python of its own makes of these arguments."""
    done = subprocess.run(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.splitlines())


def both(arguments: Sequence[str], directory: Path) -> tuple[Outcome, Outcome]:
    """What a Python of its own makes of them without us, and another at the same time with us."""
    with ThreadPoolExecutor(1) as pool:
        plain = pool.submit(run_bare, arguments)
        outcome = run_watched(arguments, directory)
        return plain.result(), outcome


@contextmanager
def running(
    arguments: Sequence[str],
    directory: Path,
    *at: tuple[int, str],
    tips: str = TIPS,
    attended: bool = False,
    start_process: Callable[..., Process] = start_copy,
) -> Iterator[ScriptHost]:
    """A script that runs, watched; at the end it is waited for."""
    directory.mkdir(exist_ok=True)
    order = ScriptOrder(arguments=arguments, directory=directory, tips=tips, attended=attended)
    journal = ListeningJournal(directory / JOURNAL)
    scheduled = [(executed, parse(text)) for executed, text in at]
    host = ScriptHost(order, journal, scheduled, start_process=start_process)
    host.start()
    try:
        yield host
    finally:
        assert host.join(PATIENCE_S), "the script does not end"


def watched(program: str, directory: Path, *at: tuple[int, str], tips: str = TIPS) -> Outcome:
    """What becomes of a program under tuitrain, with commands after so many executed steps."""
    with running(arguments_of(program), directory, *at, tips=tips) as host:
        pass
    return outcome_of(host)


def run_watched(arguments: Sequence[str], directory: Path, *at: tuple[int, str], tips: str = TIPS) -> Outcome:
    """What becomes of what python takes, in a Python of its own."""
    with running(arguments, directory, *at, tips=tips, start_process=subprocess.Popen) as host:
        pass
    return outcome_of(host)


def outcome_of(host: ScriptHost) -> Outcome:
    """What a script that has ended left behind."""
    directory = host.order.directory
    with closing(Reader(directory / JOURNAL, whole=True)) as reader:
        news = reader.poll()
    printed = [event.text for event in news.events if isinstance(event, LogLine) and event.stream != "run"]
    return Outcome(host.returncode, printed, news.events, news.steps, (directory / "log").read_bytes())


def answers(outcome: Outcome) -> list[tuple[str, int, str]]:
    """Each answered command: its word, the executed steps at its answer, and the reason if it was refused."""
    return [
        (event.word, event.executed, event.reason if isinstance(event, Rejected) else "")
        for event in outcome.events
        if isinstance(event, Applied | Rejected)
    ]


def wait_for(host: ScriptHost, kind: type[_E], condition: Callable[[_E], bool] = lambda event: True) -> _E:
    """The first event of a kind for which `condition` holds, said already or still to come."""
    journal = host.recorder.journal
    assert isinstance(journal, ListeningJournal)
    return journal.wait_for(kind, condition)


os.environ["OMP_NUM_THREADS"] = "1"  # two runs of the same program give the same bits
