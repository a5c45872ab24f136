"""What the header says of a run that no single event says: speed, time left, share of clipped steps, state."""

import math

import numpy as np

from tuitrain.record.events import LIVE_STATES, Applied, Validation
from tuitrain.record.state import RunView

SPEED_WINDOW_S = 5.0
SPEED_STEPS = 4096
SHARE_STEPS = 200


def steps_per_second(view: RunView) -> float:
    """Executed steps a second, from the steps' own times over the last seconds; NaN while not known."""
    times_s = view.curve.column("time_s")[-SPEED_STEPS:]
    if len(times_s) < 2:
        return math.nan
    # At least two steps, however slow they are.
    first = min(int(np.searchsorted(times_s, times_s[-1] - SPEED_WINDOW_S)), len(times_s) - 2)
    elapsed_s = float(times_s[-1] - times_s[first])
    return (len(times_s) - 1 - first) / elapsed_s if elapsed_s > 0 else math.nan


def seconds_left(view: RunView) -> float:
    """Time until the run's own steps are done.

    NaN while it is not known, does not pass (overfit, stands still), or nobody knows how many steps there will be.
    """
    if view.run is None or view.last_step is None or view.last_step.overfit or stands_still(view):
        return math.nan
    if not view.run.total_steps:
        return math.nan
    speed = steps_per_second(view)
    return (view.run.total_steps - view.last_step.step) / speed if speed > 0 else math.nan


def clipped_share(view: RunView) -> float:
    """Share of the last steps whose gradient norm was above the threshold; NaN where none was in force."""
    before = view.curve.column("norm_before")[-SHARE_STEPS:]
    max_norm = view.curve.column("max_norm")[-SHARE_STEPS:]
    in_force = ~np.isnan(max_norm)
    if not len(in_force) or not in_force[-1]:
        return math.nan
    return float(np.mean(before[in_force] > max_norm[in_force]))


def latest_validation(view: RunView) -> Validation | None:
    """The latest validation; of those made at one step, that in eval mode."""
    if not view.validations:
        return None
    last = view.validations[-1]
    together = [validation for validation in view.validations[-2:] if validation.executed == last.executed]
    return next((validation for validation in together if validation.mode == "eval"), last)


def epoch_progress(view: RunView) -> tuple[int, float]:
    """The epoch the last step belongs to, counted from 1, and the share (0 to 1) of it that is done.

    Of a script that does not say how many epochs there are: 0 while none is known, and NaN for a share not known.
    """
    if view.run is not None and not view.run.epochs:
        return _epoch_of_script(view, view.run.steps_per_epoch)
    if view.run is None or view.last_step is None or view.run.steps_per_epoch < 1:
        return 1, 0.0
    per_epoch = view.run.steps_per_epoch
    begun = max(0, view.last_step.step - 1) // per_epoch
    return begun + 1, view.last_step.step / per_epoch - begun


def _epoch_of_script(view: RunView, per_epoch: int) -> tuple[int, float]:
    """The share is that of the steps since the epoch began, if that is among those still held."""
    epochs = view.curve.column("epoch")
    epoch = int(epochs[-1]) if len(epochs) else 0
    first = int(np.searchsorted(epochs, epoch))
    if not epoch or per_epoch < 1 or (first == 0 and epochs[0] > 1):
        return epoch, math.nan
    steps = view.curve.column("step")
    begun_at = steps[first - 1] if first else 0.0
    return epoch, float(steps[-1] - begun_at) / per_epoch


def is_live(view: RunView) -> bool:
    """Whether the run still trains, or is about to, as far as it is known."""
    return not view.died and has_not_ended(view)


def has_not_ended(view: RunView) -> bool:
    """Whether the run has not said that it ended: it trains, is about to, or died."""
    return view.end is None and view.status.state in LIVE_STATES


def is_stopping(view: RunView) -> bool:
    """Whether a stop was sent, and the run has not ended yet."""
    sent = any(pending.word == "stop" for pending in view.pending.values())
    return is_live(view) and (sent or (stop_taken(view) is not None and view.status.state != "loading"))


def stop_taken(view: RunView) -> Applied | None:
    """The stop that the run has taken, if any; not one from before it was resumed."""
    last = view.changes[-1] if view.changes else None
    before = last is not None and view.run is not None and last.time_s < view.run.time_s
    return last if last is not None and last.word == "stop" and not before else None


def stands_still(view: RunView) -> bool:
    """Whether no step is being executed although the run lives: it is paused, or loads what it goes on from."""
    return view.status.state in ("paused", "loading")


def whereabouts(view: RunView) -> str:
    """Where the run is, as a sentence."""
    if view.run is None or view.last_step is None:
        return "The run has not begun to train."
    total = f" of {view.run.total_steps:,}" if view.run.total_steps else ""
    return f"The run is at step {view.last_step.step:,}{total}."
