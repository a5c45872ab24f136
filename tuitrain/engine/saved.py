"""All that a checkpoint keeps of a run, taken between two steps, and a run put back there."""

from copy import deepcopy
from dataclasses import asdict
from typing import Any

import torch

from tuitrain.engine.checkpoint import FORMAT
from tuitrain.engine.moment import Moment, load_moment, misfit, moment_of
from tuitrain.engine.probe import Probe
from tuitrain.engine.recorder import Position
from tuitrain.engine.snapshot import capture
from tuitrain.engine.training import Training

RunState = dict[str, Any]
"""Tensors, numbers, strings and containers of them: what torch.load(weights_only=True) reads."""


def run_state(probe: Probe) -> RunState:
    """The run as it stands: the moment that it is at and, while one batch is overfitted, the one it goes back to.

    Its tensors are those of the run itself: write it before the next step. "model" holds the state dict of the run's
    own weights, for whoever wants nothing else.
    """
    probe.flush(wait=True)
    training = probe.training
    held = probe.held_moment(lambda: deepcopy((training.model.state_dict(), moment_of(training))))
    return {
        "format": FORMAT,
        "counters": asdict(probe.position),
        "time_s": probe.recorder.now_s,
        "made_with": made_with(training),
        "switches": probe.steering.switches(),
        "model": training.model.state_dict() if held is None else held[0],
        "moment": moment_of(training),
        "held": None if held is None else held[1],
        "batches": dict(training.train.state_dict(last_again=probe.batch_at_hand)),
        "normalise": training.prepare.enabled,
        "clipping": asdict(probe.clipping),
        "probe": probe.state(),
        "steering": probe.steering.state(),
        "tips": {tip.name: tip.state() for tip in probe.tips},
    }


def made_with(training: Training) -> dict[str, str]:
    """What the bits of a run depend on beside its preset and its data."""
    device = training.device
    name = (
        "cpu" if device.type == "cpu" else f"{device.type} ({torch.get_device_module(device).get_device_name(device)})"
    )
    return {"torch": str(torch.__version__), "device": name, "threads": str(torch.get_num_threads())}


def position_of(state: RunState) -> Position:
    """Where the run was."""
    return Position(**state["counters"])


def misfit_of(state: RunState, training: Training) -> str | None:
    """Why this training, as it was built, cannot be put there, or None."""
    moments: list[Moment] = [state["moment"], *([] if state["held"] is None else [state["held"]])]
    reasons = [reason for moment in moments if (reason := misfit(moment, training)) is not None]
    return reasons[0] if reasons else None


def resume(probe: Probe, state: RunState) -> None:
    """Put a run, its training built anew, back to where the state was taken; the recorder is already there."""
    training = probe.training
    for tip in probe.tips:
        if tip.name in state["tips"]:
            tip.load_state(state["tips"][tip.name])
    held = None
    if state["held"] is not None:
        load_moment(state["held"], training)
        held = capture(training.model, training.optimizer, training.scheduler)
    load_moment(state["moment"], training)
    training.train.load_state_dict(state["batches"])
    training.prepare.enabled = state["normalise"]
    for name, value in state["clipping"].items():
        setattr(probe.clipping, name, value)
    probe.load_state(state["probe"], held=held)
    probe.steering.load_state(state["steering"])
