"""The beginning, in the script's own process: nothing is loaded here but what waits for the script's import of torch.

Called by `injected/sitecustomize.py` before the script's first line.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tuitrain.engine.script.importing import after_import
from tuitrain.engine.script.tracebacks import cut_our_frames


def begin() -> None:
    """Make the process the script's own again, and watch it from its import of torch on; or only count its steps."""
    counted = os.environ.pop("TUITRAIN_COUNT", None)
    if counted is not None:
        after_import("torch", lambda: _count(counted))
        return
    briefing = os.environ.pop("TUITRAIN_SCRIPT")
    facts: dict[str, Any] = json.loads(briefing)
    os.set_inheritable(facts["descriptor"], False)
    signal.pthread_sigmask(signal.SIG_SETMASK, facts["blocked_signals"])
    _show_prints_at_once()
    sys.excepthook = cut_our_frames(sys.excepthook)
    after_import("torch", lambda: _watch(briefing))


def _show_prints_at_once() -> None:
    """A line that was printed is seen when it was printed, as in a terminal, although a pipe leads to the host."""
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)


def _count(path: str) -> None:
    """Count the optimizers' steps in a file: the bare script, beside which a watched one is measured."""
    from tuitrain.engine.script.counting import count_optimizer_steps

    count_optimizer_steps(Path(path))


def _watch(briefing: str) -> None:
    """Begin to watch, with torch, which the script has just loaded; should that fail, the script runs all the same."""
    try:
        from tuitrain.engine.script.beginning import begin_to_watch

        begin_to_watch(briefing)
    except Exception as error:  # whatever it is, it is not the script's
        sys.stderr.write(f"tuitrain: this script cannot be watched ({type(error).__name__}: {error}); it goes on.\n")
