"""What a script's DataLoaders give it: looked at a few times a second, and standardised where that is wanted."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tuitrain.engine.script.standardising import Standardising, inputs_in, some_of

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch

SAMPLE_INTERVAL_S = 0.25


class Feeding:
    """Stands between the DataLoaders and the script's loop."""

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch
        self._next_sample_s = 0.0
        self.standardising = Standardising()

    def give(self, batch: Any) -> Any:  # noqa: ANN401 - whatever a collate function makes
        """A batch to train on, as the script is to get it."""
        now_s = self._watch.recorder.now_s
        samples = now_s >= self._next_sample_s
        if samples:
            self._next_sample_s = now_s + SAMPLE_INTERVAL_S
            self.standardising.measure(batch)
        if samples or self.standardising.enabled:
            batch = self.standardising(batch)
        if samples and self._watch.boundary.took_up:
            self._show(batch)
        return batch

    def give_to_evaluate(self, batch: Any) -> Any:  # noqa: ANN401
        """A batch that is not trained on, as the script is to get it."""
        return self.standardising(batch) if self.standardising.enabled else batch

    @torch.no_grad()
    def _show(self, batch: Any) -> None:  # noqa: ANN401
        """Let the tips look at the inputs and the class labels, if there are any."""
        inputs, labels = inputs_in(batch), labels_in(batch)
        seen = torch.zeros(0, dtype=torch.int64) if inputs is None else some_of(inputs)
        targets = torch.zeros(0, dtype=torch.int64) if labels is None else labels.clone()  # a script may change them
        for tip in self._watch.steering.tips:
            tip.on_batch(seen, targets)


def labels_in(batch: Any) -> Tensor | None:  # noqa: ANN401
    """The class labels in a batch: the first tensor beside the inputs that holds an integer a sample."""
    others = _tensors(batch)[1:]
    return next((each for each in others if each.dim() == 1 and each.dtype in (torch.int64, torch.int32)), None)


def _tensors(batch: Any) -> list[Tensor]:  # noqa: ANN401
    match batch:
        case Tensor():
            return [batch]
        case dict():
            return [tensor for item in batch.values() for tensor in _tensors(item)]
        case list() | tuple():
            return [tensor for item in batch for tensor in _tensors(item)]
    return []
