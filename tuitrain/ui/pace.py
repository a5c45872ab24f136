"""How often the screen looks: as seldom as its cost asks, soon after a key."""

import time
from collections import deque
from statistics import median

SHARE = 0.01
"""The share of the time that looking and drawing may cost."""
LONGEST_S = 2.0
HURRY_S = 0.1
HURRY_FOR_S = 1.0
LOOKS = 7
"""The cost is the median of the last looks: what is dear once (the first chart, a resize) slows nothing down."""


class Pace:
    """The time to the next look, from the CPU time that this thread used since the last one: reading, drawing, keys."""

    def __init__(self, poll_s: float) -> None:
        self._poll_s = poll_s
        self._costs_s: deque[float] = deque(maxlen=LOOKS)
        self._used_s: float | None = None
        self._hurry_until_s = 0.0

    def hurry(self) -> None:
        """A key was pressed: look soon, for a second."""
        self._hurry_until_s = time.monotonic() + HURRY_FOR_S

    def looked(self) -> None:
        """To be called at each look, by the thread that draws."""
        used_s = time.thread_time()
        if self._used_s is not None:
            self.spent(used_s - self._used_s)
        self._used_s = used_s

    def spent(self, cost_s: float) -> None:
        """One look, and what was drawn after it, took this much CPU time."""
        self._costs_s.append(cost_s)

    def interval_s(self, *, waiting: bool) -> float:
        """Seconds to the next look; `waiting` for an answer makes it short for a while after a key."""
        if waiting and time.monotonic() < self._hurry_until_s:
            return min(HURRY_S, self._poll_s)
        cost_s = median(self._costs_s) if self._costs_s else 0.0
        return max(self._poll_s, min(cost_s / SHARE, LONGEST_S))
