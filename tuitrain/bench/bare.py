"""The bare loop of a preset, without tuitrain: `python -m tuitrain.bench.bare PRESET FILE` counts steps in FILE."""

import sys
from pathlib import Path

import msgspec
from torch import nn

from tuitrain.bench.turns import EPOCHS
from tuitrain.engine.build import build_training, load_data
from tuitrain.engine.data import DataRequest
from tuitrain.engine.devices import choose_device
from tuitrain.engine.script.counting import Counter
from tuitrain.engine.training import Training
from tuitrain.engine.validation import evaluate
from tuitrain.preset import find_preset, load_preset


def build(name: str) -> tuple[Training, float]:
    """What a preset trains, and its clipping threshold."""
    preset = load_preset(find_preset(name))
    preset = msgspec.structs.replace(preset, train=msgspec.structs.replace(preset.train, epochs=EPOCHS))
    return build_training(preset, load_data(preset, DataRequest()), choose_device("auto")), preset.clip.max_norm


def train(training: Training, max_norm: float, counter: Counter) -> None:
    """Train for ever: each step clipped, a validation after each epoch, nothing recorded."""
    model, optimizer, scheduler = training.model, training.optimizer, training.scheduler
    parameters = list(model.parameters())
    while True:
        for inputs, targets in training.train:
            optimizer.zero_grad(set_to_none=True)
            loss = training.criterion(model(training.prepare(inputs)), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, max_norm)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            counter.step()
        evaluate(training, "eval", lambda done, of: None)


if __name__ == "__main__":
    train(*build(sys.argv[1]), Counter(Path(sys.argv[2])))
