"""From where a run is watched: the screen of the process that trains it, or a viewer of another one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["own", "viewer", "reader"]
"""The run trains in this process; it trains in another; it trains in another and may only be looked at."""


@dataclass(frozen=True, kw_only=True)
class Seat:
    """What a screen is to its run."""

    kind: Kind = "own"
    name: str = "key"
    """Whom the journal names for the commands that are sent from here."""
    has_died: Callable[[], bool] = lambda: False
    """Whether the process that trains is known to be gone. Asked at each look: it must not block."""

    @property
    def is_own(self) -> bool:
        """Whether the run ends with this process."""
        return self.kind == "own"

    @property
    def badge(self) -> str:
        """What the line of keys begins with; empty where the keys say enough."""
        return "READ-ONLY" if self.kind == "reader" else ""


OWN = Seat()
