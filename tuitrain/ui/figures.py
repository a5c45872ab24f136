"""What the charts show of a run: the loss and the gradient norm, as figures to be drawn.

Both follow the run step by step in traces of bounded size, so that a poll costs the same after a million steps as after
ten thousand, and both are the same object until something changed.
"""

from abc import ABC, abstractmethod
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np

from tuitrain.record.events import Applied
from tuitrain.record.state import Curve, RunView
from tuitrain.ui import facts
from tuitrain.ui.keymap import KEYS
from tuitrain.ui.numerals import loss_text, norm_text, percent_text
from tuitrain.ui.plot import Figure, Marker, Series, Threshold
from tuitrain.ui.plot.raster import BOUND
from tuitrain.ui.trace import Trace, smoothed

DECAY = 0.98
"""Of the smoothed loss, a point. A point is a step; in runs of more than 4,096 steps two, then four, and so on."""

BLUE, GREEN, YELLOW, VIOLET, ORANGE, RED = "#5b9bd5", "#58a866", "#c9a227", "#b678d6", "#d98b3f", "#e0606a"
"""Of middling lightness: legible on the dark theme and on the light one."""

MARKS = {key.name: key.shown for key in KEYS if key.group == "The five tips"} | {"max_norm": "[]", "lr": "lr"}
"""What stands at a change of each word; a change of any other is no change of what the charts show."""

MOST_UNDEFINED = 1000


def loss_figure(view: RunView) -> Figure:
    """The loss over the executed steps: raw and smoothed, of the overfit batch, and as validated in either mode.

    The same object as before while the run has nothing new to say.
    """
    return _LOSS.setdefault(view, _LossFollower()).figure(view)


def gradient_figure(view: RunView) -> Figure:
    """The total gradient norm before and after clipping, the threshold, and the share of clipped steps.

    The same object as before while the run has nothing new to say.
    """
    return _GRADIENT.setdefault(view, _GradientFollower()).figure(view)


class _Follower(ABC):
    """Takes in each step once, and makes a figure anew only when there is something new."""

    def __init__(self) -> None:
        self._seen = (-1, -1, -1)
        self._taken = 0
        self._figure = Figure()

    def figure(self, view: RunView) -> Figure:
        """The figure of what `view` knows now."""
        seen = len(view.curve), len(view.validations), len(view.changes)
        if seen != self._seen:
            if len(view.curve) > self._taken:
                self.extend(view.curve, self._taken)
            self._seen, self._taken = seen, len(view.curve)
            self._figure = self.compose(view)
        return self._figure

    @abstractmethod
    def extend(self, curve: Curve, first: int) -> None:
        """Take in the steps of `curve` from index `first` on; there is at least one."""

    @abstractmethod
    def compose(self, view: RunView) -> Figure:
        """The figure of all that was taken in."""


class _LossFollower(_Follower):
    """The loss of every step. A NaN in a trace is a gap; that the loss itself was NaN stands in `undefined`."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.overfit = Trace(), Trace()
        self.latest = {False: np.nan, True: np.nan}
        """The last loss of the run's own steps (False) and of the overfit ones (True)."""
        self.undefined: list[float] = []
        """Executed steps at which the loss became NaN."""
        self._overfitting = self._was_nan = False

    def extend(self, curve: Curve, first: int) -> None:
        x, loss, on = (curve.column(name)[first:] for name in ("executed", "loss", "overfit"))
        overfitting, nan = on > 0, np.isnan(loss)
        turns = overfitting != np.concatenate([[self._overfitting], overfitting[:-1]])
        became_nan = nan & ~np.concatenate([[self._was_nan], nan[:-1]])
        self._overfitting, self._was_nan = bool(overfitting[-1]), bool(nan[-1])
        self.undefined = (self.undefined + x[became_nan].tolist())[:MOST_UNDEFINED]
        for kind, trace, mine in ((False, self.own, ~overfitting), (True, self.overfit, overfitting)):
            kept = mine | turns  # the first step of the other kind stands for all of them: a gap
            trace.extend(x[kept], np.where(mine, loss, np.nan)[kept])
            if mine.any():
                self.latest[kind] = float(loss[mine][-1])

    def compose(self, view: RunView) -> Figure:
        curves = [self._raw(), self._smoothed(), self._overfit(), self._undefined()]
        points = [_validations(view, "eval"), _validations(view, "train")]
        series = [series for series in (*curves, *points) if len(series.x)]
        return Figure(series, _markers(view), x_label=_x_label(view))

    def _raw(self) -> Series:
        x, y = self.own.extremes()
        return Series(f"loss {loss_text(self.latest[False])}", x, y, BLUE, dim=True, nan="gap")

    def _smoothed(self) -> Series:
        x, y = self.own.means()
        finite = np.abs(y) <= BOUND  # False for NaN too
        averages = np.full(len(y), np.nan)
        averages[finite] = smoothed(y[finite], DECAY)
        latest = averages[finite][-1] if finite.any() else np.nan
        return Series(f"smoothed {loss_text(latest)}", x, averages, BLUE, nan="gap")

    def _overfit(self) -> Series:
        x, y = self.overfit.extremes()
        shown = x[:0] if np.isnan(y).all() and not self.undefined else x
        return Series(f"overfit {loss_text(self.latest[True])}", shown, y[: len(shown)], VIOLET, nan="gap")

    def _undefined(self) -> Series:
        x = np.array(self.undefined)
        return Series(f"at step {x[0]:,.0f}:" if len(x) else "", x, np.full(len(x), np.nan), RED)


class _GradientFollower(_Follower):
    """The gradient norms of every step, and the threshold in force."""

    def __init__(self) -> None:
        super().__init__()
        self.traces = {name: Trace() for name in ("norm_before", "norm_after", "max_norm")}

    def extend(self, curve: Curve, first: int) -> None:
        for name, trace in self.traces.items():
            trace.extend(curve.column("executed")[first:], curve.column(name)[first:])

    def compose(self, view: RunView) -> Figure:
        if view.last_step is None:
            return Figure(x_label=_x_label(view))
        share = facts.clipped_share(view)
        title = "" if np.isnan(share) else f"clipped {percent_text(share)}"
        thresholds = self._thresholds()
        series = self._norms() if thresholds else [*self._norms(), *self._changing_threshold()]
        return Figure(series, _markers(view), thresholds, x_label=_x_label(view), title=title)

    def _norms(self) -> list[Series]:
        """Before and after; one curve while nothing was ever clipped."""
        (x, before), (later_x, after) = self.traces["norm_before"].extremes(), self.traces["norm_after"].extremes()
        if np.array_equal(before, after, equal_nan=True):
            return [Series(f"norm {norm_text(before[-1])}", x, before, BLUE)]
        return [
            Series(f"before {norm_text(before[-1])}", x, before, ORANGE),
            Series(f"after {norm_text(after[-1])}", later_x, after, BLUE),
        ]

    def _thresholds(self) -> list[Threshold]:
        """The threshold, if it has been the same from the first step on."""
        _, values = self.traces["max_norm"].extremes()
        same = bool((values == values[0]).all())
        return [Threshold(float(values[0]), f"max_norm {values[0]:.4g}")] if same else []

    def _changing_threshold(self) -> list[Series]:
        """The threshold as it was at each step, with gaps where there was none."""
        x, values = self.traces["max_norm"].extremes()
        if np.isnan(values).all():
            return []
        now = "off" if np.isnan(values[-1]) else f"{values[-1]:.4g}"
        return [Series(f"max_norm {now}", x, values, YELLOW, nan="gap")]


_LOSS: WeakKeyDictionary[RunView, _LossFollower] = WeakKeyDictionary()
_GRADIENT: WeakKeyDictionary[RunView, _GradientFollower] = WeakKeyDictionary()


def _validations(view: RunView, mode: Literal["eval", "train"]) -> Series:
    made = [validation for validation in view.validations if validation.mode == mode]
    name = "val" if mode == "eval" else "train-mode val"
    name = f"{name} {loss_text(made[-1].loss)}" if made else name
    x, y = (np.array([getattr(v, field) for v in made], np.float64) for field in ("executed", "loss"))
    return Series(name, x, y, GREEN if mode == "eval" else YELLOW, glyph="points")


def _markers(view: RunView) -> list[Marker]:
    return [Marker(float(change.executed), _mark(change)) for change in view.changes if change.word in MARKS]


def _mark(change: Applied) -> str:
    return MARKS["keep"] if change.value == "keep" else MARKS[change.word]


def _x_label(view: RunView) -> str:
    """Overfit steps count too: where there were any, this is not the run's own step."""
    last = view.last_step
    return "executed steps" if last is not None and last.executed != last.step else "step"
