"""What is wrong with a run: one file a family of rules, one table of all of them.

`rule.py` says what a rule is, `seen/` makes the subjects that rules look at, `judge.py` has them looked at and says
what was found. A new rule is one function in its family's file, and one line in that file's table.
"""

from collections.abc import Callable, Sequence

from tuitrain.checks.clipping import CLIPPING
from tuitrain.checks.curves import CURVES
from tuitrain.checks.data import DATA
from tuitrain.checks.judge import Judge
from tuitrain.checks.loop import LOOP
from tuitrain.checks.loss import LOSS
from tuitrain.checks.modes import MODES
from tuitrain.checks.overfitting import OVERFITTING
from tuitrain.checks.registration import REGISTRATION
from tuitrain.checks.rule import Rule
from tuitrain.checks.seen.cycles import Cycles
from tuitrain.checks.seen.evaluations import Evaluations, Modes
from tuitrain.checks.seen.feeding import Feeding
from tuitrain.checks.seen.keeping import Keeping
from tuitrain.checks.seen.losses import Graphs
from tuitrain.checks.seen.making import Makings
from tuitrain.checks.seen.numbers import Numbers
from tuitrain.checks.seen.placing import Placings
from tuitrain.checks.seen.reports import Reports
from tuitrain.checks.seen.schedules import Schedules
from tuitrain.checks.seen.structure import Structures
from tuitrain.checks.seen.unstepped import Unsteppeds
from tuitrain.engine.observer import Observed, Observer

RULES: tuple[Rule, ...] = (*OVERFITTING, *DATA, *CLIPPING, *MODES, *REGISTRATION, *LOOP, *LOSS, *CURVES)
"""Every rule."""

CALLS: tuple[Callable[[Observed, Judge], Observer], ...] = (
    Cycles,
    Unsteppeds,
    Evaluations,
    Modes,
    Makings,
    Schedules,
    Keeping,
)
"""Observers that make subjects of the calls of a loop: tuitrain's own loop makes the right ones."""

ANY: tuple[Callable[[Observed, Judge], Observer], ...] = (Graphs, Structures, Feeding, Placings, Reports, Numbers)
"""Observers that make subjects of what any loop trains, on what, and with what effect."""


def checks(run: Observed, ignored: Sequence[str] = ()) -> Sequence[Observer]:
    """All that listens to a training, to judge it by all rules but those ignored."""
    judge = Judge(run, [rule for rule in RULES if rule.slug not in ignored])
    return [make(run, judge) for make in (ANY if run.own_loop else (*CALLS, *ANY))]
