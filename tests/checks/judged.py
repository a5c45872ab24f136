"""A training in this process, watched as a script is, and what the checks find wrong with it."""

import gc
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tuitrain.checks import checks
from tuitrain.engine.script.messages import Briefing
from tuitrain.engine.script.patches import install
from tuitrain.engine.script.watch import Watch
from tuitrain.engine.script.wire import EventDecoder, Wire
from tuitrain.record.events import AnyEvent, Finding, LogLine
from tuitrain.tips.clipping import GradientClipping
from tuitrain.tips.overfit import OverfitOneBatch

PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class Judged:
    """What was said of a training."""

    findings: list[Finding]
    steps: int
    failed: list[str]
    """Observers of ours that were switched off, in a sentence each."""

    @property
    def rules(self) -> list[str]:
        """What was found, by name."""
        return [finding.rule for finding in self.findings]

    def of(self, rule: str) -> list[Finding]:
        """The findings of a rule."""
        return [finding for finding in self.findings if finding.rule == rule]

    @property
    def graver(self) -> list[Finding]:
        """Errors and warnings."""
        return [finding for finding in self.findings if finding.severity != "hint"]


def judged(program: Callable[[], None], directory: Path, ignored: Sequence[str] = ()) -> Judged:
    """Run a program on this thread, all of torch's functions observed, and put them back."""
    gc.collect()
    gc.freeze()  # what is alive by now is none of the program's, and is not looked through again; see conftest.py
    ours, theirs = socket.socketpair()
    with ours:
        wire = Wire(theirs.detach())
        watch = Watch(
            Briefing(descriptor=-1, directory=str(directory), name="program"), wire, [OverfitOneBatch, GradientClipping]
        )
        watch.observe(lambda run: checks(run, ignored))
        undo = install(watch)
        try:
            torch.manual_seed(0)
            program()
        finally:
            watch.end()
            undo()
            events = _received(ours, wire)
    found = [event for event in events if isinstance(event, Finding)]
    failed = [event.text for event in events if isinstance(event, LogLine) and "switched off" in event.text]
    return Judged(found, watch.position.executed, failed)


def _received(ours: socket.socket, wire: Wire) -> list[AnyEvent]:
    """All that was said over the wire."""
    decoder = EventDecoder()
    events: list[AnyEvent] = []
    ours.setblocking(False)
    while True:
        wire.flush()
        try:
            piece = ours.recv(PIECE_BYTES)
        except BlockingIOError:
            break
        if not piece:
            break
        events.extend(decoder.feed(piece))
    wire.close()
    return events
