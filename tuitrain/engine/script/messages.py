"""What the host of a script tells the script's process as it starts. Loads no torch."""

import msgspec

from tuitrain.record.commands import AnyCommand

VARIABLE = "TUITRAIN_SCRIPT"
"""In the environment of the script's interpreter, until it has started: a `Briefing` as JSON."""
COUNT_VARIABLE = "TUITRAIN_COUNT"
"""Instead of it, where a script is not watched: the file in which its steps are counted."""
PYTHONPATH_BEFORE = "TUITRAIN_PYTHONPATH"
"""The PYTHONPATH that the user had set, if any."""
STOPPED_CODE = 130
"""Exit code of a script that was stopped and did not catch it: what shells have for one that was interrupted."""


class Briefing(msgspec.Struct, frozen=True, kw_only=True):
    """What the script's process is to know."""

    descriptor: int
    """The socket that leads to the host."""
    directory: str
    """The run's directory."""
    name: str
    """What the run is called: the script's name."""
    blocked_signals: tuple[int, ...] = ()
    """The signals that are to be blocked in the script, as they were before the host blocked some for itself."""
    tips: str = ""
    """Where the tips are found, as "module:name" of a sequence of classes; empty: none."""
    checks: str = ""
    """Where the checks are found, as "module:name" of what makes observers of a training; empty: none."""
    ignored: tuple[str, ...] = ()
    """Rules that are not checked, by name."""
    scheduled: tuple[tuple[int, AnyCommand], ...] = ()
    """Commands, each after so many executed steps."""
    attended: bool = False
    """Whether anyone can send commands while the script runs."""
    keep_checkpoints: int = 3


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What the host of a training that began before it says first: as JSON, and one line."""

    directory: str = ""
    """The run's directory; empty where there is none."""
    trouble: str = ""
    """Why there is none, in one sentence."""
