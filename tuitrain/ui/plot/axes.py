"""Axes: limits that stay put while data grows, ticks on round values, labels in few characters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuitrain.ui.arrays import Floats


@dataclass(frozen=True, slots=True)
class Axis:
    """Limits of an axis. With `log` they are the base-10 logarithms of the limits."""

    lo: float
    hi: float
    log: bool = False

    def fraction(self, values: Floats) -> Floats:
        """Where values lie, 0 at the lower limit and 1 at the upper; clipped to that. Shape as given."""
        scaled = np.log10(values) if self.log else values
        return np.clip((scaled - self.lo) / (self.hi - self.lo), 0.0, 1.0)

    def slot(self, value: float, slots: int) -> int | None:
        """The slot (of `slots`, counted from the lower limit) nearest to a value; None when it lies outside."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        place = ((math.log10(value) if self.log else value) - self.lo) / (self.hi - self.lo)
        return round(place * (slots - 1)) if -1e-9 <= place <= 1 + 1e-9 else None


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled value on an axis."""

    value: float
    label: str


def nice_step(span: float, count: int, mantissas: Sequence[float] = (1, 2, 2.5, 5, 10)) -> float:
    """The smallest round number that cuts `span` (> 0) into at most `count` pieces."""
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (*mantissas, 10.0) if m * power >= raw * (1 - 1e-9))


def step_axis(first: float, last: float, count: int) -> Axis:
    """Limits for the training step: from 0 unless the run is seen through a window, at least one step wide.

    The upper limit moves from tick to tick, so the frame around the data stays the same for many redraws.
    """
    lo = 0.0 if 0 <= first <= max(1.0, 0.1 * last) else first
    span = max(last - lo, 1.0, abs(last) * 1e-9)
    quantum = max(nice_step(span, count, (1, 2, 5)), 1.0)
    lo = math.floor(lo / quantum + 1e-9) * quantum
    return Axis(lo, max(math.ceil(last / quantum - 1e-9) * quantum, lo + span))


def value_axis(low: float, high: float, count: int) -> Axis:
    """Linear limits around finite values low <= high, in fifths of a tick; 0 is included when it is near."""
    if high - low <= 1e-9 * max(abs(low), abs(high)) or high - low < 1e-300:
        return _around(low if abs(low) > 1e-290 else 0.0)
    if 0 <= low <= 0.3 * high:
        low = 0.0
    if low <= 0.0 and 0.3 * low <= high <= 0 != low:
        high = 0.0
    quantum = nice_step(high - low, count) / 5
    return Axis(math.floor(low / quantum + 1e-9) * quantum, math.ceil(high / quantum - 1e-9) * quantum)


def _around(value: float) -> Axis:
    """Limits that put a constant in the middle."""
    if value == 0:
        return Axis(-1.0, 1.0)
    return Axis(0.0, 2 * value) if value > 0 else Axis(2 * value, 0.0)


def log_axis(low: float, high: float) -> Axis:
    """Logarithmic limits around values TINY <= low <= high, at least a third of a decade apart."""
    lo, hi = math.log10(low), math.log10(high)
    room = max(0.0, 0.3 - (hi - lo)) / 2
    lo, hi = lo - room, hi + room
    quantum = nice_step(hi - lo, 20)
    return Axis(math.floor(lo / quantum + 1e-9) * quantum, math.ceil(hi / quantum - 1e-9) * quantum, log=True)


def wants_log(low: float, high: float) -> bool:
    """Whether positive values low..high are told apart better on a logarithmic axis: two decades or more."""
    return low > 0 and high / low >= 100


def step_ticks(axis: Axis, count: int) -> list[Tick]:
    """At most about `count` ticks on whole steps."""
    return _linear(axis.lo, axis.hi, count, 1.0, (1, 2, 5))


def value_ticks(axis: Axis, count: int) -> list[Tick]:
    """At most about `count` ticks on round values of a linear or logarithmic axis."""
    if not axis.log:
        return _linear(axis.lo, axis.hi, count, 0.0)
    for mantissas, every in (
        ((1, 2, 5), 1),
        ((1, 3), 1),
        *(((1,), n) for n in (1, 2, 3, 5, 10, 20, 50, 100, 200)),
    ):
        values = _log_values(axis, mantissas, every)
        if len(values) <= count:
            break
    if len(values) >= 2:
        return [Tick(value, compact(value)) for value in values]
    low, high = 10**axis.lo, 10**axis.hi
    return _linear(low, high, count, 0.0)


def _log_values(axis: Axis, mantissas: Sequence[int], every: int) -> list[float]:
    powers = range(math.floor(axis.lo), math.ceil(axis.hi) + 1)
    # float("2e-310") keeps its digits; 2 * 10.0 ** -310 does not.
    values = [float(f"{m}e{p}") for p in powers if p % every == 0 and p < 308 for m in mantissas]
    return [v for v in values if v > 0 and axis.lo - 1e-9 <= math.log10(v) <= axis.hi + 1e-9]


def _linear(lo: float, hi: float, count: int, least: float, mantissas: Sequence[float] = (1, 2, 2.5, 5)) -> list[Tick]:
    """Ticks on multiples of a round step of at least `least`: about `count`, and two if at all possible."""
    for pieces in range(count, count + 5):
        step = max(least, nice_step(hi - lo, pieces, mantissas))
        first, last = math.ceil(lo / step - 1e-6), math.floor(hi / step + 1e-6)
        if last > first:
            break
    values = [i * step for i in range(first, last + 1)]
    return [Tick(v, t) for v, t in zip(values, tick_labels(values, step), strict=True)]


def compact(value: float) -> str:
    """One value in few characters: 0.05, 20, 1k, 30k, 1M, 1e-3."""
    return tick_labels([value], 10.0 ** math.floor(math.log10(abs(value)) + 1e-9))[0] if value else "0"


def tick_labels(values: Sequence[float], step: float) -> list[str]:
    """Labels short enough for a gutter and exact enough to differ from their neighbours one `step` away."""
    top = max((abs(v) for v in values), default=0.0)
    decimals = _decimals(step)
    if top >= 1e9 or (top < 0.01 and decimals > 2) or decimals > 8:
        digits = max(0, math.floor(math.log10(top)) + decimals) if top else 0
        return [_exponent(v, min(digits, 15)) if round(v / step) else "0" for v in values]
    if top >= 1e3 and _decimals(step / 1e3) <= 2:
        return [_suffixed(v) if round(v / step) else "0" for v in values]
    return [f"{v if round(v / step) else 0.0:.{decimals}f}" for v in values]


def _suffixed(value: float) -> str:
    """A round number with the largest unit that leaves at most two decimals: 500, 1.5k, 1.25M, 1001.5k."""
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        scaled = value / unit
        if abs(value) >= unit and abs(scaled - round(scaled, 2)) < 1e-6:
            text = f"{scaled:.2f}".rstrip("0").rstrip(".")
            return text + suffix
    return f"{value:.0f}"


def _decimals(step: float) -> int:
    """Decimals that write a round step (1, 2, 2.5 or 5 times a power of ten) exactly."""
    power = math.floor(math.log10(step) + 1e-9)
    mantissa = step / 10.0**power if power > -300 else 1.0
    return -power + (abs(mantissa - round(mantissa)) > 1e-6) if power <= 0 else 0


def _exponent(value: float, digits: int) -> str:
    mantissa, _, power = f"{value:.{digits}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(power)}"
