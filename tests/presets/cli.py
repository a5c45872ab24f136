"""Runs presets as a person does, through the command line, and reads what they print."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

TIMEOUT_S = 300


class Outcome:
    """What one run said: its events in order, and series out of them."""

    def __init__(self, lines: str) -> None:
        self.events: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines()]
        self.end = self.events[-1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event["event"] == kind]

    def series(self, field: str, *, overfit: bool = False) -> list[float]:
        """A field of the run's own steps, or of its overfit ones."""
        return [step[field] for step in self.of("step") if step["overfit"] == overfit]

    def late_loss(self, steps: int = 50) -> float:
        """Mean loss of the run's last own steps."""
        return fmean(self.series("loss")[-steps:])

    def verdicts(self, tip: str) -> list[str]:
        """What a tip said, report by report."""
        return [report["verdict"] for report in self.of("tip_report") if report["tip"] == tip]

    @property
    def val_accuracy(self) -> float:
        """Accuracy over the validation set at the end, 0 to 1."""
        accuracy: float = self.end["val_accuracy"]
        return accuracy


def run(directory: Path, *commands: str) -> list[Outcome]:
    """Run `tuitrain` once for each command, side by side, on the embedded sample; every run must end well."""
    running = [_start(directory / f"{number}", command.split()) for number, command in enumerate(commands)]
    try:
        codes = [child.wait(TIMEOUT_S) for child in running]
    finally:
        for child in running:
            child.kill()
    said = [_said(directory / f"{number}") for number in range(len(commands))]
    assert codes == [0] * len(commands), said
    return [Outcome(out) for out, _ in said]


def _said(home: Path) -> tuple[str, str]:
    """What a child wrote to its standard output and to its standard error."""
    return (home / "stdout").read_text(encoding="utf-8"), (home / "stderr").read_text(encoding="utf-8")


def _start(home: Path, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "TUITRAIN_DATA"}
    environment |= {"XDG_STATE_HOME": str(home / "state"), "XDG_CACHE_HOME": str(home / "cache")}
    always = ["--headless", "--json", "--device", "cpu", "--threads", "1"]
    with (home / "stdout").open("wb") as out, (home / "stderr").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "tuitrain", *arguments, *always], stdout=out, stderr=err, env=environment
        )
