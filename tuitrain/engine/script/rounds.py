"""What a script's calls of torch add up to: steps, each with the optimizers that stepped in it, and what led there.

A step of the run ends when the script asks its DataLoader for more, or when an optimizer steps that has already
stepped in it. A GAN's step therefore has two optimizers in it, and one with gradient accumulation several backward
passes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer


@dataclass
class Gathered:
    """What came together since an optimizer stepped last."""

    loss: Tensor | None = None
    """The sum of the roots of all backward passes: the function whose gradient the optimizer gets."""
    backwards: int = 0
    norm: Tensor | None = None
    """The total gradient norm before clipping."""
    norm_after: Tensor | None = None
    """The same after clipping, where that does not follow from the threshold."""
    threshold: float = math.nan
    clipped: bool = False
    """Whether the script, or the user in its place, clipped."""


@dataclass
class Phase:
    """One optimizer's step."""

    optimizer: Optimizer
    lr: float
    gathered: Gathered
    by_closure: bool = False
    """Whether the optimizer evaluates the loss itself, as LBFGS does: once or more in each of its steps."""


@dataclass
class Rounds:
    """Gathers what happens, into phases; `close` ends a step of the run."""

    gathered: Gathered = field(default_factory=Gathered)
    phases: list[Phase] = field(default_factory=list)
    stepping: Phase | None = None
    """The optimizer that is about to step, or is stepping."""

    backwards: int = 0
    """Backward passes so far."""

    @property
    def at_rest(self) -> bool:
        """Whether no backward pass waits for its optimizer."""
        return not self.gathered.backwards and self.stepping is None

    def backward(self, root: Tensor | None) -> None:
        """A backward pass was done from a root, [], without its graph; None where the root is no such tensor."""
        self.backwards += 1
        gathered = self._gathered_now
        gathered.backwards += 1
        if root is None or (self.stepping is not None and gathered.backwards > 1):
            return  # a closure's later evaluations lie along the optimizer's search
        gathered.loss = root.clone() if gathered.loss is None else gathered.loss + root

    def clipped(self, before: Tensor, after: Tensor | None, threshold: float) -> None:
        """Gradients were clipped, or measured where clipping is off (NaN threshold). Norms are 0-dimensional."""
        gathered = self._gathered_now
        if self.stepping is not None and gathered.backwards > 1:
            return
        gathered.norm = _together(gathered.norm, before)
        if after is not None:
            gathered.norm_after = _together(gathered.norm_after, after)
        gathered.threshold = threshold
        gathered.clipped = True

    def measured(self, before: Tensor) -> None:
        """The total norm of the gradients, which nobody clips."""
        self._gathered_now.norm = before.detach()

    def begin_step(self, optimizer: Optimizer, lr: float, *, by_closure: bool) -> None:
        """An optimizer is about to step."""
        gathered, self.gathered = self.gathered, Gathered()
        self.stepping = Phase(optimizer, lr, gathered, by_closure)

    def end_step(self) -> None:
        """It has stepped."""
        if self.stepping is not None:
            self.phases.append(self.stepping)
            self.stepping = None

    def skip(self) -> None:
        """A scaler had its optimizer not step: what was gathered for it is void."""
        self.gathered = Gathered()
        self.stepping = None

    def has_stepped(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer has already stepped in this step of the run."""
        return any(phase.optimizer is optimizer for phase in self.phases)

    def close(self) -> list[Phase]:
        """End the step; what it consisted of, empty if no optimizer stepped."""
        phases, self.phases = self.phases, []
        return phases

    @property
    def _gathered_now(self) -> Gathered:
        return self.gathered if self.stepping is None else self.stepping.gathered


def root_of(tensors: object, unscaled: Callable[[Tensor], Tensor]) -> Tensor | None:
    """The sum of what a backward pass starts from, [], where that is a number: a tensor of one element, or several.

    `unscaled` gives, for what a gradient scaler made, the loss that it was made of.
    """
    roots = [tensors] if isinstance(tensors, Tensor) else tensors if isinstance(tensors, list | tuple) else []
    if not roots or not all(isinstance(root, Tensor) and root.numel() == 1 for root in roots):
        return None
    whole = [root.detach() if not root.dim() else root.detach().reshape(()) for root in map(unscaled, roots)]
    return whole[0] if len(whole) == 1 else torch.stack(whole).sum()


def _together(norm: Tensor | None, more: Tensor) -> Tensor:
    """The norm over two sets of gradients."""
    return more.detach() if norm is None else torch.hypot(norm, more.detach())
