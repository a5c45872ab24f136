"""Tip 2, shuffle and normalise: what the model really receives, batch by batch."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tuitrain.engine.probed import Probed
from tuitrain.engine.tip import Refused, Tip
from tuitrain.record.events import Value, Verdict

MEAN_LIMIT = 1.0
"""A channel's |mean| above this is called off centre."""
STD_LIMITS = (0.3, 3.0)
"""A channel's standard deviation outside of these is called off scale."""
ENTROPY_SHARE = 0.5
"""Labels are called unmixed when a batch holds less than this share of the entropy that it could hold."""
MIN_SAMPLES = 8
"""Fewer labels than this say nothing of how they are mixed."""
MIN_BATCHES = 8
"""Where all labels are gathered from the batches: fewer than this do not show them."""
MAX_CLASSES = 1000
"""Above this many different targets they are no classes to be mixed."""
SHOWN_CHANNELS = 4

Labels = npt.NDArray[np.int64]
"""Labels, or counts of them, on the host: [N]."""


class Shuffling(Tip):
    """Whether what is left of the epoch comes in random order, and how mixed the labels of a batch are."""

    name: ClassVar[str] = "shuffle"
    words: ClassVar[tuple[str, ...]] = ("shuffle",)

    def __init__(self, probe: Probed) -> None:
        super().__init__(probe)
        targets = probe.training.train.targets
        self._labels = Counter() if targets is None else _counted(targets.flatten().cpu().numpy())
        self._learns = targets is None
        """Whether all labels are gathered from the batches."""
        self._batches = 0
        self._batch: Labels | None = None

    def read(self, word: str) -> Value:
        """Whether the batches are shuffled, from the batches."""
        return self.probe.training.train.shuffle

    def set(self, word: str, value: Value) -> None:
        """Acts at once on what is left of the epoch, or from the next one on; every sample still comes exactly once."""
        self.probe.training.train.set_shuffle(bool(value))

    def on_batch(self, inputs: Tensor, targets: Tensor) -> None:
        """Keep the labels, in their order, for when they are on the host."""
        if targets.numel():
            self.probe.scalars.read_later(targets.flatten(), self._take)

    def report(self) -> tuple[Verdict, str, Sequence[tuple[str, str]]]:
        """Entropy of the labels of a batch against that of all, the commonest label's share, the longest run."""
        facts = self.probe.facts(self.name)
        if self._batch is None:
            return "unknown", facts[0][1] if facts else "no batch seen yet", facts
        if len(self._labels) > MAX_CLASSES:
            return "unknown", f"{len(self._labels):,} different targets: no classes to mix", facts
        counts = _count_labels(self._batch)
        whole, batch = _entropy_bits(np.fromiter(self._labels.values(), np.int64)), _entropy_bits(counts)
        possible = min(whole, math.log2(len(self._batch)))
        rows = [
            ("labels", f"{len(counts)} of {len(self._labels)} classes in a batch of {len(self._batch):,}"),
            ("entropy", f"{batch:.2f} of {whole:.2f} bits"),
            ("longest run", f"{_longest_run(self._batch):,} equal labels in a row"),
            ("commonest", f"{100 * counts.max() / len(self._batch):.0f} % of the batch"),
            *facts,
        ]
        if len(self._batch) < MIN_SAMPLES:
            return "unknown", f"{len(self._batch)} a batch: too few to judge", rows
        if self._learns and (self._batches < MIN_BATCHES or len(self._labels) < 2):
            return "unknown", f"{len(self._labels)} class{'es' * (len(self._labels) != 1)} seen so far", rows
        if batch < ENTROPY_SHARE * possible:
            return "bad", f"labels not mixed{'' if self.read('shuffle') else ': press s'}", rows
        return "good", "labels mixed", rows

    def _take(self, labels: Tensor) -> None:
        self._batch = labels.numpy().copy()
        self._batches += 1
        if self._learns and len(self._labels) <= MAX_CLASSES:
            self._labels.update(_counted(self._batch))


class Normalisation(Tip):
    """Whether inputs are shifted and scaled, and the mean and deviation of what the model receives."""

    name: ClassVar[str] = "normalise"
    words: ClassVar[tuple[str, ...]] = ("normalise",)

    def __init__(self, probe: Probed) -> None:
        super().__init__(probe)
        self._statistics: list[list[float]] = []

    def read(self, word: str) -> Value:
        """Whether batches are normalised, from what prepares them; off where it does not apply."""
        prepare = self.probe.training.prepare
        return prepare.enabled and prepare.unsuitable is None

    def set(self, word: str, value: Value) -> None:
        """Acts on the next batch, in training and in validation alike."""
        prepare = self.probe.training.prepare
        if value and prepare.unsuitable is not None:
            raise Refused(prepare.unsuitable)
        prepare.enabled = bool(value)

    def on_batch(self, inputs: Tensor, targets: Tensor) -> None:
        """Mean and deviation per channel (dimension 1 of images and features), reduced on the device."""
        if inputs.is_floating_point() and inputs.numel():
            channels = inputs.transpose(0, 1).flatten(1) if inputs.dim() in (2, 4) else inputs.reshape(1, -1)
            std, mean = torch.std_mean(channels.float(), dim=1, correction=0)
            self.probe.scalars.read_later(torch.stack([mean, std], dim=1), self._take)

    def report(self) -> tuple[Verdict, str, Sequence[tuple[str, str]]]:
        """The measured mean and deviation; a warning where a channel is off centre or off scale."""
        unsuitable = self.probe.training.prepare.unsuitable
        if unsuitable is not None:
            return "unknown", "does not apply", [("so", unsuitable)]
        if not self._statistics:
            return "unknown", "no batch seen yet", ()
        off = [channel for channel in self._statistics if _is_off(*channel)]
        worst = max(self._statistics, key=lambda channel: abs(channel[0]) + abs(channel[1] - 1))
        rows = [
            (f"channel {index}", f"mean {_spell(mean)}, std {_spell(std)}")
            for index, (mean, std) in enumerate(self._statistics[:SHOWN_CHANNELS])
        ]
        if len(self._statistics) > SHOWN_CHANNELS:
            rows.append(("", f"and {len(self._statistics) - SHOWN_CHANNELS} more channels"))
        return "warning" if off else "good", f"mean {_spell(worst[0])} std {_spell(worst[1])}", rows

    def _take(self, statistics: Tensor) -> None:
        self._statistics = statistics.tolist()


def _spell(value: float) -> str:
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.2g}"


def _is_off(mean: float, std: float) -> bool:
    return abs(mean) > MEAN_LIMIT or not STD_LIMITS[0] <= std <= STD_LIMITS[1]


def _counted(labels: Labels) -> Counter[int]:
    """How often each label occurs."""
    return Counter(dict(zip(*(part.tolist() for part in np.unique(labels, return_counts=True)), strict=True)))


def _count_labels(labels: Labels) -> Labels:
    """How often each label occurs; labels that do not occur are left out."""
    _, counts = np.unique(labels, return_counts=True)
    return counts


def _entropy_bits(counts: Labels) -> float:
    shares = counts / counts.sum()
    return float((shares * np.log2(1 / shares)).sum())


def _longest_run(labels: Labels) -> int:
    changes = np.flatnonzero(np.diff(labels)) + 1
    return int(np.diff([0, *changes, len(labels)]).max())
