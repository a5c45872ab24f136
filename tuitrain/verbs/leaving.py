"""The screen is left in time when a signal says so, though nobody may read its terminal any more."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from tuitrain.ui.terminal import OwnTerminal

LEAVES_WITHIN_S = 3.0


@contextlib.contextmanager
def left_in_time(own: OwnTerminal, told: threading.Event, leave: Callable[[], object]) -> Iterator[None]:
    """Within the context is the screen; once `told`, `leave` has it left, and LEAVES_WITHIN_S later it is:

    Textual would wait for ever for a terminal that is never read, because a connection hangs, say. `leave` is called
    from a thread of its own, and may first wait for what must be done before.
    """
    left = threading.Event()

    def watch() -> None:
        told.wait()
        leave()
        if not left.wait(LEAVES_WITHIN_S):
            own.give_up(left)

    threading.Thread(target=watch, name="leaving", daemon=True).start()
    try:
        yield
    finally:
        left.set()
