"""The built-in training loop."""

from tuitrain.engine.probe import Probe
from tuitrain.engine.training import Training


def fit(training: Training, probe: Probe) -> None:
    """Train for all epochs; what may happen between two steps is the probe's affair."""
    model, optimizer, scheduler = training.model, training.optimizer, training.scheduler
    for _ in probe.epochs(training.epochs):
        for inputs, targets in probe.batches(training.train):
            optimizer.zero_grad(set_to_none=True)
            predictions = model(inputs)
            loss = training.criterion(predictions, targets)
            probe.loss(loss)
            loss.backward()  # type: ignore[no-untyped-call]
            probe.clip()
            optimizer.step()
            probe.step(loss, predictions, targets)
            if scheduler is not None and not probe.overfitting:
                scheduler.step()
        probe.validate("epoch")
