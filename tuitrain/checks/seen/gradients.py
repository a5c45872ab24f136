"""Whether gradients were touched: seen from the identity and the version of a few of them, never from a value.

Whatever zeroes, accumulates or scales a gradient either puts another tensor there or bumps its version. (Writing
through `.data` does not: then nothing is seen, and nothing is said.)
"""

from collections.abc import Sequence

from torch import Tensor

MOST_SAMPLES = 3


class Samples:
    """A few of an optimizer's parameters, and the state in which their gradients were last seen."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._all = parameters
        self._samples: list[Tensor] = []
        self._seen: list[tuple[Tensor | None, int]] = []
        self.remember()

    @property
    def present(self) -> bool:
        """Whether one of them has a gradient."""
        return any(parameter.grad is not None for parameter in self._samples)

    def remember(self) -> None:
        """Take what is there now as seen."""
        if not self.present:
            self._choose()
        self._seen = [_state(parameter) for parameter in self._samples]

    def changed(self) -> bool:
        """Whether one was touched since then; it is remembered as it is now."""
        changed = any(
            gradient is not (now := parameter.grad) or (now is not None and now._version != version)
            for parameter, (gradient, version) in zip(self._samples, self._seen, strict=True)
        )
        if changed or not self._samples:
            before = bool(self._samples)
            self.remember()
            return changed or (not before and self.present)
        return False

    def added_to(self) -> bool:
        """Whether a gradient that was there when last seen was written into since; asked before `changed`."""
        return any(
            gradient is not None and parameter.grad is gradient and gradient._version != version
            for parameter, (gradient, version) in zip(self._samples, self._seen, strict=True)
        )

    def _choose(self) -> None:
        """Of each third of those that have gradients the smallest: a gradient that is remembered stays in memory."""
        reached = [parameter for parameter in self._all if parameter.grad is not None]
        size = -(-len(reached) // MOST_SAMPLES)
        parts = [reached[begin : begin + size] for begin in range(0, len(reached), size or 1)]
        self._samples = [min(part, key=Tensor.numel) for part in parts]


def _state(parameter: Tensor) -> tuple[Tensor | None, int]:
    gradient = parameter.grad
    return gradient, -1 if gradient is None else gradient._version
