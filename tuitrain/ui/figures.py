"""What the charts show of a run: the loss and the gradient norm, as figures to be drawn.

Both are drawn from traces of bounded size, so that a redraw costs the same after ten million steps as after ten
thousand, and both are the same object until something changed.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np

from tuitrain.record.events import Applied
from tuitrain.record.state import RunView
from tuitrain.ui import facts
from tuitrain.ui.keymap import KEYS
from tuitrain.ui.numerals import loss_text, norm_text, percent_text
from tuitrain.ui.plot import Figure, Marker, Series, Threshold
from tuitrain.ui.trace import smoothed

NO_STEP = "no step is seen: i says why"
"""Of a script that trains in a way of its own, if it trains."""
DECAY = 0.98
"""Of the smoothed loss, a point. A point is a step; in runs of more than 4,096 steps two, then four, and so on."""

BLUE, GREEN, YELLOW, VIOLET, ORANGE, RED = "#5b9bd5", "#58a866", "#c9a227", "#b678d6", "#d98b3f", "#e0606a"
"""Of middling lightness: legible on the dark theme and on the light one."""

FOUND = "!"
"""Marks an error or a warning."""
MARKS = {key.name: key.shown for key in KEYS if key.group == "The five tips"} | {"max_norm": "[]", "lr": "lr"}
"""What stands at a change of each word; a change of any other is no change of what the charts show."""


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
    """Makes a figure anew only when there is something new."""

    def __init__(self) -> None:
        self._seen: tuple[object, ...] = ()
        self._figure = Figure()

    def figure(self, view: RunView) -> Figure:
        """The figure of what `view` knows now."""
        told = len(view.validations), len(view.changes), len(view.findings), view.capabilities
        seen = view.life, view.traces.executed, told
        if seen != self._seen:
            self._seen = seen
            self._figure = self.compose(view)
        return self._figure

    @abstractmethod
    def compose(self, view: RunView) -> Figure:
        """The figure of all that is known."""


class _LossFollower(_Follower):
    """The loss of every step. A NaN in a trace is a gap; that the loss itself was NaN stands in "undefined"."""

    def __init__(self) -> None:
        super().__init__()
        self._points: list[Series] = []
        self._made_for = (-1, -1)

    def compose(self, view: RunView) -> Figure:
        curves = [_raw(view), _smoothed(view), _overfit(view), _undefined(view)]
        unseen = view.unavailable("loss") is not None
        if unseen:  # that there is none says nothing
            curves = _seen(curves)
        series = [series for series in (*curves, *self._validations(view)) if len(series.x)]
        figure = Figure(series, _markers(view), x_label=_x_label(view))
        if view.unavailable("steps") is not None:
            return replace(figure, empty=NO_STEP)
        return replace(figure, empty="no loss is seen: i says why") if unseen else figure

    def _validations(self, view: RunView) -> list[Series]:
        """The validations in either mode: made only when there is a new one, for there may be very many."""
        made_for = view.life, len(view.validations)
        if made_for != self._made_for:
            self._made_for = made_for
            self._points = [_validations(view, "eval"), _validations(view, "train")]
        return self._points


def _raw(view: RunView) -> Series:
    loss = view.traces["loss"]
    return Series(f"loss {loss_text(loss.latest)}", *loss.extremes(), BLUE, dim=True, nan="gap")


def _smoothed(view: RunView) -> Series:
    x, y = view.traces["loss"].means()
    finite = np.isfinite(y)
    averages = np.full(len(y), np.nan)
    averages[finite] = smoothed(y[finite], DECAY)
    latest = averages[finite][-1] if finite.any() else np.nan
    return Series(f"smoothed {loss_text(latest)}", x, averages, BLUE, nan="gap")


def _overfit(view: RunView) -> Series:
    overfit = view.traces["overfit"]
    x, y = overfit.extremes()
    shown = x[:0] if np.isnan(y).all() and not len(_undefined(view).x) else x
    return Series(f"overfit {loss_text(overfit.latest)}", shown, y[: len(shown)], VIOLET, nan="gap")


def _undefined(view: RunView) -> Series:
    """Where the loss became NaN: the first such step of each bucket."""
    x = view.traces["undefined"].buckets.column("x_low").copy()
    return Series(f"at step {x[0]:,.0f}:" if len(x) else "", x, np.full(len(x), np.nan), RED)


class _GradientFollower(_Follower):
    """The gradient norms of every step, and the threshold in force."""

    def compose(self, view: RunView) -> Figure:
        if view.last_step is None:
            figure = Figure(x_label=_x_label(view))
            return figure if view.unavailable("steps") is None else replace(figure, empty=NO_STEP)
        if view.capabilities and not _seen(_norms(view)):
            return Figure(markers=_markers(view), x_label=_x_label(view), empty="no gradient norm is seen: i says why")
        share = facts.clipped_share(view)
        title = "" if np.isnan(share) else f"clipped {percent_text(share)}"
        thresholds = _thresholds(view)
        series = _norms(view) if thresholds else [*_norms(view), *_changing_threshold(view)]
        return Figure(series, _markers(view), thresholds, x_label=_x_label(view), title=title)


def _norms(view: RunView) -> list[Series]:
    """Before and after; one curve while nothing was ever clipped."""
    traces = view.traces["norm_before"], view.traces["norm_after"]
    (x, before), (later_x, after) = (trace.extremes() for trace in traces)
    now, now_after = (norm_text(trace.latest) for trace in traces)
    if np.array_equal(before, after, equal_nan=True):
        return [Series(f"norm {now}", x, before, BLUE)]
    return [Series(f"before {now}", x, before, ORANGE), Series(f"after {now_after}", later_x, after, BLUE)]


def _thresholds(view: RunView) -> list[Threshold]:
    """The threshold, if it has been the same from the first step on."""
    _, values = view.traces["max_norm"].extremes()
    same = bool((values == values[0]).all())
    return [Threshold(float(values[0]), f"max_norm {values[0]:.4g}")] if same else []


def _changing_threshold(view: RunView) -> list[Series]:
    """The threshold as it was at each step, with gaps where there was none."""
    trace = view.traces["max_norm"]
    x, values = trace.extremes()
    if np.isnan(values).all():
        return []
    now = "off" if np.isnan(trace.latest) else f"{trace.latest:.4g}"
    return [Series(f"max_norm {now}", x, values, YELLOW, nan="gap")]


def _seen(curves: list[Series]) -> list[Series]:
    """Those that hold a number."""
    return [curve for curve in curves if np.isfinite(curve.y).any()]


_LOSS: WeakKeyDictionary[RunView, _LossFollower] = WeakKeyDictionary()
_GRADIENT: WeakKeyDictionary[RunView, _GradientFollower] = WeakKeyDictionary()


def _validations(view: RunView, mode: Literal["eval", "train"]) -> Series:
    made = [validation for validation in view.validations if validation.mode == mode]
    name = "val" if mode == "eval" else "train-mode val"
    name = f"{name} {loss_text(made[-1].loss)}" if made else name
    x, y = (np.array([getattr(v, field) for v in made], np.float64) for field in ("executed", "loss"))
    return Series(name, x, y, GREEN if mode == "eval" else YELLOW, glyph="points")


def _markers(view: RunView) -> list[Marker]:
    """What was changed, by its key; and where something grave was found."""
    changed = [Marker(float(change.executed), _mark(change)) for change in view.changes if change.word in MARKS]
    grave = {finding.executed for finding in view.findings if finding.severity != "hint"}
    return changed + [Marker(float(executed), FOUND) for executed in sorted(grave)]


def _mark(change: Applied) -> str:
    return MARKS["keep"] if change.value == "keep" else MARKS[change.word]


def _x_label(view: RunView) -> str:
    """Overfit steps count too: where there were any, this is not the run's own step."""
    last = view.last_step
    return "executed steps" if last is not None and last.executed != last.step else "step"
