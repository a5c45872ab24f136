"""A checkpoint of a script's models and optimizers: plain state dicts, for the script's own code to load."""

from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from tuitrain.engine.checkpoint import write_checkpoint
from tuitrain.engine.recorder import Recorder
from tuitrain.engine.script.finding import scalers, schedulers_of
from tuitrain.engine.tip import Refused
from tuitrain.record.events import Checkpoint
from tuitrain.record.runs import CHECKPOINTS


def save_script(
    recorder: Recorder, models: dict[str, nn.Module], optimizers: list[Optimizer], directory: Path, *, keep: int
) -> None:
    """Write the checkpoint of this step into a run's directory, and say so; Refused where it cannot be written."""
    position = recorder.position
    state: dict[str, Any] = {
        "format": "tuitrain script 1",
        "step": position.step,
        "epoch": position.epoch,
        "models": {name: model.state_dict() for name, model in models.items()},
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in schedulers_of(optimizers)],
        "scalers": [scaler.state_dict() for scaler in scalers()],
    }
    try:
        path, digest = write_checkpoint(directory / CHECKPOINTS, position.step, state, keep=keep)
    except OSError as error:
        raise Refused(f"no checkpoint could be written ({error}); the script goes on.") from error
    recorder.say(Checkpoint, path=str(path), sha256=digest, bytes=path.stat().st_size)
