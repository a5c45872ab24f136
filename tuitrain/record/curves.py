"""The curves of a run, as drawn: which points of which curve a step gives.

Both the journal's writer (for its table of buckets) and a viewer (for its traces) cut steps into curves here.
"""

import math
from typing import NamedTuple, Self

import numpy as np

from tuitrain.record.buckets import Buckets
from tuitrain.record.events import Step
from tuitrain.record.packing import Floats

STEP_COLUMNS = Step.__struct_fields__
"""The rows of a table of steps (11, N), one a field of Step, in float64; overfit is 0 or 1."""

CURVES = ("loss", "overfit", "undefined", "norm_before", "norm_after", "max_norm")
"""The loss of the run's own steps; of the overfit ones; where a loss became NaN; the gradient norms; the threshold."""

_INTEGERS = ("executed", "step", "epoch")


class Before(NamedTuple):
    """What has to be known of the step before, to see what changed."""

    overfit: bool = False
    undefined: bool = False
    """Whether its loss was NaN."""
    executed: int = 0

    @classmethod
    def after(cls, table: Floats) -> Self:
        """What the last step of a table (11, N) leaves to know; of an empty one, nothing."""
        if not table.shape[1]:
            return cls()
        overfit, loss, executed = (column(table, name)[-1] for name in ("overfit", "loss", "executed"))
        return cls(bool(overfit > 0), bool(np.isnan(loss)), int(executed))


def column(table: Floats, name: str) -> Floats:
    """One field of a table of steps. (11, N) to (N,)"""
    values: Floats = table[STEP_COLUMNS.index(name)]
    return values


def table_of(steps: list[Step]) -> Floats:
    """Steps as a table. (11, N)"""
    rows = [[getattr(step, name) for step in steps] for name in STEP_COLUMNS]
    return np.array(rows, np.float64).reshape(len(STEP_COLUMNS), -1)


def no_steps() -> Floats:
    """A table of no steps. (11, 0)"""
    return np.empty((len(STEP_COLUMNS), 0))


def steps_of(table: Floats) -> list[Step]:
    """A table as steps. What was not measured is math.nan itself, so that equal steps compare equal."""
    rows = ([math.nan if value != value else value for value in row] for row in table.tolist())
    fields = dict(zip(STEP_COLUMNS, rows, strict=True))
    for name in _INTEGERS:
        fields[name] = list(map(int, fields[name]))
    fields["overfit"] = list(map(bool, fields["overfit"]))
    return [Step(**dict(zip(fields, values, strict=True))) for values in zip(*fields.values(), strict=True)]


def cut(table: Floats, before: Before) -> tuple[Buckets, ...]:
    """What steps (11, N) add to each of CURVES, in buckets of stride 1; of the step before them `before` is known.

    The first step of the other kind stands in a loss curve for all of them: a gap.
    """
    x, loss, overfit = column(table, "executed"), column(table, "loss"), column(table, "overfit") > 0
    if not len(x):
        return (Buckets.none(),) * len(CURVES)
    turns = overfit != np.concatenate([[before.overfit], overfit[:-1]])
    nan = np.isnan(loss)
    became_nan = nan & ~np.concatenate([[before.undefined], nan[:-1]])
    losses = [
        Buckets.of(x[kept], np.where(mine, loss, np.nan)[kept], mine[kept])
        for mine, kept in ((~overfit, ~overfit | turns), (overfit, overfit | turns))
    ]
    undefined = Buckets.of(x[became_nan], np.zeros(became_nan.sum()), np.full(became_nan.sum(), True))
    every = np.full(len(x), True)
    return (*losses, undefined, *(Buckets.of(x, column(table, name), every) for name in CURVES[3:]))
