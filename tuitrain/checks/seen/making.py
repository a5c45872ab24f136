"""Parameters that are made while a model computes."""

import sys
from dataclasses import dataclass
from types import FrameType

from torch import nn

from tuitrain.checks.judge import Judge
from tuitrain.checks.seen.sites import script_site
from tuitrain.engine.observer import Observed, Observer

MOST_FRAMES = 60


@dataclass(frozen=True, kw_only=True)
class Making:
    """A module was given a parameter within the forward() of another."""

    kind: str
    """Class of the module that was made."""
    within: str
    """Class of the module whose forward() it is."""
    site: str


class Makings(Observer):
    """Has each such making judged, a line of the script at a time."""

    name = "the checks of what is made"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._judge = judge
        self._backwards = 0
        self._seen: dict[tuple[str, str], int] = {}

    def before_backward(self, tensors: object) -> None:
        """Another forward pass, most likely, is over."""
        self._backwards += 1

    def parameter_made(self, owner: nn.Module, name: str) -> None:
        """Whether a forward() is under execution; what is made in one pass counts once."""
        within = _computing(owner)
        if within is None:
            return
        site, kind = script_site(), type(owner).__name__
        if self._seen.get((site, kind)) == self._backwards:
            return
        self._seen[site, kind] = self._backwards
        self._judge(Making(kind=kind, within=type(within).__name__, site=site), (site, kind))


def _computing(owner: nn.Module) -> nn.Module | None:
    """The module whose forward() is under execution further out, if it is not the one that is being made."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(MOST_FRAMES):
        if frame is None:
            return None
        if frame.f_code.co_name == "forward":
            module = frame.f_locals.get("self")
            if isinstance(module, nn.Module) and module is not owner:
                return module
        frame = frame.f_back
    return None
