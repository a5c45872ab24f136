"""The keys as they are for the run on the screen: a script has one more, and may lack some of the others."""

from collections.abc import Sequence
from dataclasses import replace

from tuitrain.record.state import RunView
from tuitrain.ui.keymap import Key


def keys_for(view: RunView, keys: Sequence[Key]) -> tuple[Key, ...]:
    """`keys` in the words that hold for this run; what a script cannot do is said of its key, and not in the footer."""
    if not view.capabilities:
        return tuple(key for key in keys if not key.for_scripts)
    return tuple(_for_script(view, key) for key in keys)


def refusal(view: RunView, key: Key) -> str | None:
    """Why a key does nothing in this run, as a sentence; None if it does, or the run has not said."""
    reason = view.unavailable(key.subject)
    if reason is None and (key.command or key.name == "stop"):  # they act between two steps
        reason = view.unavailable("steps")
    return None if reason is None else f"Not available: {reason}"


def _for_script(view: RunView, key: Key) -> Key:
    reason = refusal(view, key)
    if reason is not None:
        return replace(key, help=reason, footer=None)
    return replace(key, help=key.help_of_script or key.help)
