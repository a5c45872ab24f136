"""A run without a terminal: its journal as lines of text, or as one JSON object a line."""

import io
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import TextIO

import msgspec

from tuitrain.record.commands import spell
from tuitrain.record.events import (
    AnyEvent,
    Applied,
    Capabilities,
    Capability,
    Checkpoint,
    End,
    Finding,
    LogLine,
    Rejected,
    Run,
    Status,
    Step,
    TipReport,
    Validation,
)
from tuitrain.record.journal import News, Reader
from tuitrain.record.text import printable

POLL_INTERVAL_S = 0.1
STEP_LINE_INTERVAL_S = 1.0
SETTLED_STEPS = 20
"""Executed steps after which it is known what can be had of a script."""


class Printer:
    """Prints what a reader finds. Where that cannot be written (a closed pipe, a full disk) it falls silent for good.

    `trouble` then says why, unless whoever read our lines just went away. Without `steps` it prints only what was told,
    as the journal has it.
    """

    def __init__(self, out: TextIO, *, as_json: bool, steps: bool = True) -> None:
        if isinstance(out, io.TextIOWrapper):  # JSON is UTF-8; text is what the terminal's encoding can show
            out.reconfigure(encoding="utf-8" if as_json else None, errors="backslashreplace")
        self.trouble: str | None = None
        self._out = out
        self._steps = steps
        self._print = self._print_json if as_json else self._print_text
        self._next_step_line_s = 0.0
        self._summaries: dict[str, str] = {}
        self._capabilities: tuple[Capability, ...] = ()
        self._told_capabilities: set[Capability] = set()
        self._last_status = ""
        self.is_closed = False
        """Whether nobody reads any more, or nothing can be written."""
        self.end: End | None = None

    def show(self, news: News) -> None:
        """Print everything in `news`, in the order in which it happened."""
        self.end = next((event for event in news.events if isinstance(event, End)), self.end)
        if self.is_closed:
            return
        try:
            self._print(news)
            self._out.flush()
        except OSError as error:
            self.is_closed = True
            if not isinstance(error, BrokenPipeError):
                self.trouble = (
                    f"standard output could not be written ({error}); the run went on, and its journal has everything."
                )
            _discard_what_is_buffered(self._out)

    def _events(self, news: News) -> list[AnyEvent]:
        return _in_order(news) if self._steps else news.events

    def _print_json(self, news: News) -> None:
        for event in self._events(news):
            self._out.write(msgspec.json.encode(event).decode() + "\n")

    def _print_text(self, news: News) -> None:
        if news.overview is not None:
            self._print_line(f"(of the steps up to {news.overview.executed:,} none is listed: --json lists all)")
        for event in self._events(news):
            if isinstance(event, End):
                self._print_capabilities()
            if isinstance(event, Step):
                self._print_step(event)
            elif isinstance(event, TipReport):
                self._print_report(event)
            elif isinstance(event, Status):
                self._print_status(event)
            elif isinstance(event, Capabilities):
                self._capabilities = event.rows
            elif line := text_of(event):
                self._print_line(line)
            if event.executed >= SETTLED_STEPS or not self._steps:
                self._print_capabilities()

    def _print_line(self, line: str) -> None:
        self._out.write(printable(" ".join(line.splitlines())) + "\n")

    def _print_status(self, status: Status) -> None:
        """Once for all that is said of its progress."""
        line = text_of(status)
        if line and line != self._last_status:
            self._print_line(line)
        self._last_status = line

    def _print_capabilities(self) -> None:
        """What can be had of a script, and what not; later on what of that is new."""
        rows, self._capabilities = self._capabilities, ()
        for line in capability_lines([row for row in rows if row not in self._told_capabilities]):
            self._print_line(line)
        self._told_capabilities.update(rows)

    def _print_step(self, step: Step) -> None:
        """About one line a second of the run's own time."""
        if step.time_s >= self._next_step_line_s:
            self._next_step_line_s = step.time_s + STEP_LINE_INTERVAL_S
            self._print_line(text_of(step))

    def _print_report(self, report: TipReport) -> None:
        """Only when its summary changes: the evidence below it does so all the time."""
        line = text_of(report)
        if line and self._summaries.get(report.tip) != report.summary:
            self._print_line(line)
        self._summaries[report.tip] = report.summary


def follow(reader: Reader, show: Callable[[News], None], is_over: Callable[[], bool]) -> None:
    """Hand on what a reader finds until `is_over`, and all that was recorded until then."""
    while not is_over():
        show(reader.poll())
        time.sleep(POLL_INTERVAL_S)
    show(reader.poll())


def text_of(event: AnyEvent) -> str:
    """An event as one line; empty for those that say nothing to a person who reads lines."""
    match event:
        case Run():
            return _run_text(event)
        case Step():
            return _step_text(event)
        case Validation():
            loss = "" if math.isnan(event.loss) and not math.isnan(event.accuracy) else f"loss {event.loss:.4g}, "
            accuracy = "" if math.isnan(event.accuracy) else f"accuracy {100 * event.accuracy:.2f} % of "
            return (
                f"validation at step {event.step:,} in {event.mode} mode: "
                f"{loss}{accuracy}{event.samples:,}{'' if accuracy else ' samples'} ({event.seconds:.1f} s)"
            )
        case Applied():
            return f"applied after {event.executed:,} executed steps: {event.word}={spell(event.value)} ({event.by})"
        case Rejected():
            return f"rejected {event.word} ({event.by}): {event.reason}"
        case TipReport() if event.tip == "overfit" and event.verdict in ("good", "bad"):
            return f"overfit one batch: {event.summary}"
        case Finding():
            where = f" ({event.where})" if event.where else ""
            return f"{event.severity}: {event.message}{where} {event.remedy}".rstrip()
        case LogLine():
            return event.text
        case Checkpoint():
            return f"checkpoint {event.path} ({event.bytes / 2**20:.1f} MiB)"
        case Status() if event.state in ("loading", "failed") and event.message:
            return f"{event.state}: {event.message}"
        case End():
            accuracy = "" if event.val_accuracy is None else f", validation accuracy {100 * event.val_accuracy:.2f} %"
            return f"{event.reason} after {event.steps:,} steps{accuracy}"
    return ""


def _run_text(run: Run) -> str:
    """What is trained on what; how long only where that is known."""
    epochs = f"; {run.epochs} epochs of {run.steps_per_epoch:,} steps" if run.epochs else ""
    per_epoch = f"; {run.steps_per_epoch:,} steps an epoch" if run.steps_per_epoch and not epochs else ""
    return (
        f"{run.preset}: {run.model}, {run.parameters:,} parameters, {run.optimizer}, on {run.device};"
        f" {run.data}{epochs}{per_epoch}"
    )


def _step_text(step: Step) -> str:
    """The numbers of a step, without those that were not measured; a loss of NaN says more than none."""
    count = f"overfit, executed step {step.executed:,}" if step.overfit else f"step {step.step:,}"
    epoch = f"  epoch {step.epoch}" if step.epoch else ""
    known = not (math.isnan(step.norm_before) and math.isnan(step.norm_after))
    norm = f"  norm {step.norm_before:.3g} -> {step.norm_after:.3g}" if known else ""
    return f"{count}{epoch}  loss {step.loss:.4g}{norm}  lr {step.lr:.3g}"


def capability_lines(rows: Sequence[Capability]) -> list[str]:
    """What can be had of a script in a few lines: what is observed, what is steered; and each thing that is not."""
    named = {kind: [row for row in rows if row.kind == kind] for kind in ("observed", "steered")}
    observed = [f"{row.name} ({row.text})" if row.text else row.name for row in named["observed"]]
    lines = [
        f"observed: {', '.join(observed)}" if observed else "",
        f"steered: {', '.join(row.name for row in named['steered'])}" if named["steered"] else "",
        *(f"no {row.name}: {row.text}" for row in rows if row.kind == "unavailable"),
        *(f"switched off: the observer of {row.name}: {row.text}" for row in rows if row.kind == "switched_off"),
    ]
    return [line for line in lines if line]


def _discard_what_is_buffered(out: TextIO) -> None:
    """Lead the stream nowhere; else Python would try to write its buffer once more at exit, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, out.fileno())
    os.close(nowhere)


def _in_order(news: News) -> list[AnyEvent]:
    """Steps and events merged by where in the run they belong; the end last."""
    return sorted([*news.steps, *news.events], key=lambda event: (isinstance(event, End), event.executed, event.time_s))
