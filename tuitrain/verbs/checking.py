"""A run that is made to be checked: some steps, a validation, one batch overfitted, and the end; nobody watches."""

import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from tuitrain.engine.host import Host, Order
from tuitrain.engine.script.host import ScriptHost, ScriptOrder
from tuitrain.errors import UserError
from tuitrain.preset import Preset
from tuitrain.record.commands import AnyCommand, Set, Stop, Validate
from tuitrain.record.events import AnyEvent, End, Finding, LogLine, Rejected, Step, TipReport, Validation
from tuitrain.record.journal import Journal, News, Reader
from tuitrain.record.link import Inbox
from tuitrain.record.runs import JOURNAL
from tuitrain.verbs.scripts import CHECKS, TIPS
from tuitrain.verbs.train import load_tips, make_checks

Outcome = Literal["pass", "fail", "unavailable"]

BY = "check"
POLL_S = 0.05
OVERFIT_STEPS = 300
"""As a script has it: steps after which overfitting one batch has failed."""
GRACE_S = 10.0
"""How long a script has to end once it was told to, before each stronger signal."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
NO_STEP = "backward-without-step"
"""The rule that says that there will never be a step to stop at."""


@dataclass
class Checked:
    """What came of it."""

    target: str
    steps: int = 0
    """The run's own steps."""
    seconds: float = 0.0
    overfit: Outcome = "unavailable"
    overfit_says: str = ""
    """How overfitting went, or why it could not be had."""
    findings: list[Finding] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    first_loss: float | None = None
    last_loss: float | None = None
    printed: list[str] = field(default_factory=list)
    """What the script printed last."""
    end: End | None = None
    stopped: bool = False
    """Whether it was told to end."""

    @property
    def failed(self) -> bool:
        """Whether it could not be run to where it was to be stopped."""
        return self.end is None or self.end.reason in ("failed", "bad input")


class Running(Protocol):
    """A run under way, of a preset or of a script."""

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; whether it has come."""


def check_preset(name: str, preset: Preset, steps: int) -> Checked:
    """Check a preset, trained in a thread of this process. UserError where it cannot be built."""
    with _place() as (directory, journal):
        order = Order(preset_name=name, preset=preset, directory=directory, tips=load_tips, checks=make_checks)
        inbox = Inbox([(steps, Validate(by=BY)), *_schedule(steps, preset.train.overfit_steps)])
        host = Host(order, journal, inbox)
        course = _Course(Checked(name), inbox.send)
        host.start()
        _follow(host, directory, course)
        if host.bad_input is not None:
            raise host.bad_input
    return course.checked


def check_script(arguments: Sequence[str], steps: int, ignored: Sequence[str]) -> Checked:
    """Check a script, run in a process of its own."""
    with _place() as (directory, journal):
        order = ScriptOrder(
            arguments=arguments,
            directory=directory,
            tips=TIPS,
            checks=CHECKS,
            ignored=ignored,
            attended=True,
            own_session=True,
        )
        host = ScriptHost(order, journal, _schedule(steps, OVERFIT_STEPS))
        course = _Course(Checked(arguments[0]), host.inbox.send, host.signal)
        host.start()
        try:
            _follow(host, directory, course)
        finally:
            if not host.join(0):  # ctrl+c, here: the script has a session of its own
                host.signal(signal.SIGKILL)
                host.join()
    return course.checked


def _schedule(steps: int, overfit_steps: int) -> list[tuple[int, AnyCommand]]:
    """Hold the batch after these steps; stop at the latest when the verdict is due."""
    return [(steps, Set(name="overfit", value=True, by=BY)), (steps + overfit_steps + 1, Stop(by=BY))]


class _Course:
    """Follows a run, gathers what it says, and ends it when all is known."""

    def __init__(
        self, checked: Checked, send: Callable[[AnyCommand], None], force: Callable[[int], None] | None = None
    ) -> None:
        """`force` sends a signal to a run that does not end by itself."""
        self.checked = checked
        self._send = send
        self._force = force
        self._signals = list(SIGNALS)
        self._next_signal_s = float("inf")
        self._began_s = time.perf_counter()

    def take(self, news: News) -> None:
        """Take in what is new."""
        for step in news.steps:
            self._take_step(step)
        for event in news.events:
            self._take(event)

    def keep_up(self) -> None:
        """Use force where a stop does not help."""
        if self._force is not None and self._signals and time.monotonic() >= self._next_signal_s:
            self._next_signal_s = time.monotonic() + GRACE_S
            self._force(self._signals.pop(0))

    def _take_step(self, step: Step) -> None:
        checked = self.checked
        checked.steps = max(checked.steps, step.step)
        checked.seconds = time.perf_counter() - self._began_s
        if not step.overfit:
            checked.first_loss = step.loss if checked.first_loss is None else checked.first_loss
            checked.last_loss = step.loss

    def _take(self, event: AnyEvent) -> None:
        checked = self.checked
        match event:
            case Finding():
                if all((event.rule, event.where) != (each.rule, each.where) for each in checked.findings):
                    checked.findings.append(event)
                if event.rule == NO_STEP:
                    self._stop("no optimizer ever steps.")
            case Validation():
                checked.validations.append(event)
            case TipReport(tip="overfit", verdict="good" | "bad" as verdict):
                checked.overfit = "pass" if verdict == "good" else "fail"
                self._stop(event.summary)
            case Rejected(word="overfit"):
                self._stop(event.reason)
            case LogLine(stream="stdout" | "stderr"):
                checked.printed = [*checked.printed[-19:], event.text]
            case End():
                checked.end = event

    def _stop(self, overfit_says: str) -> None:
        """All is known."""
        checked = self.checked
        checked.overfit_says = overfit_says
        if not checked.stopped:
            checked.stopped = True
            self._next_signal_s = time.monotonic() + GRACE_S
            try:
                self._send(Stop(by=BY))
            except UserError:  # it has ended by itself
                return


@contextmanager
def _place() -> Iterator[tuple[Path, Journal]]:
    """A directory for the run, and its journal, for as long as it is looked at."""
    try:
        with tempfile.TemporaryDirectory(prefix="tuitrain-check-") as directory:
            yield Path(directory), Journal(Path(directory) / JOURNAL)
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"No temporary directory for the check ({error}): set TMPDIR to one with room.") from error


def _follow(run: Running, directory: Path, course: _Course) -> None:
    with closing(Reader(directory / JOURNAL, whole=True)) as reader:
        while not run.join(POLL_S):
            course.take(reader.poll())
            course.keep_up()
        course.take(reader.poll())
