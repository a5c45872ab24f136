"""What the tips report: their verdicts are those of the rules about the same thing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuitrain.checks.judge import Judge
from tuitrain.engine.observer import Observed, Observer
from tuitrain.engine.tip import Tip
from tuitrain.record.events import Step, Verdict


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a tip says."""

    tip: str
    verdict: Verdict
    summary: str
    rows: tuple[tuple[str, str], ...]
    own_loop: bool
    """Whether the loop is tuitrain's own."""
    left_of_loss: float
    """Of the loss with which overfitting a batch began, the share that is left; NaN where none was overfitted."""

    def says(self, tip: str, verdict: Verdict) -> bool:
        """Whether it is this tip's, with this verdict."""
        return (self.tip, self.verdict) == (tip, verdict)

    def row(self, name: str) -> str:
        """The first row of a name; empty if there is none."""
        return next((text for row, text in self.rows if row == name), "")


class Reports(Observer):
    """Has the tips' reports judged."""

    name = "the checks of the reports"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._run = run
        self._judge = judge
        self._first_loss = self._last_loss = math.nan

    def steps(self, steps: Sequence[Step]) -> None:
        """How the loss goes while a batch is overfitted."""
        for step in steps:
            if not step.overfit:
                self._first_loss = math.nan
            elif math.isnan(self._first_loss):
                self._first_loss = step.loss
            self._last_loss = step.loss

    def reported(self, tip: Tip) -> None:
        """Judge it."""
        if tip.said is not None:
            verdict, summary, rows = tip.said
            report = Report(
                tip=tip.name,
                verdict=verdict,
                summary=summary,
                rows=rows,
                own_loop=self._run.own_loop,
                left_of_loss=self._last_loss / self._first_loss if self._first_loss else math.nan,
            )
            self._judge(report, tip.name)
