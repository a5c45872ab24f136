"""Fail open: an observer of ours that raises is switched off and named once, and the script goes on untouched."""

import traceback
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


class Guard:
    """Calls observers by name, unless they are switched off. What is raised to end the script passes: no Exception."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` records a line; it must not raise."""
        self._say = say
        self.off: dict[str, str] = {}
        """Observers that were switched off, and why."""

    def __call__(self, name: str, observe: Callable[..., _T], *args: Any) -> _T | None:  # noqa: ANN401 - as `observe`
        """What `observe` returns; None where it fails, or failed before."""
        if name in self.off:
            return None
        try:
            return observe(*args)
        except Exception as error:
            self.switch_off(name, error)
            return None

    def switch_off(self, name: str, error: Exception) -> None:
        """Call an observer no more, and say so."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error}"
        self.off[name] = why
        self._say(
            f"tuitrain's observer of {name} failed ({why}, line {place.lineno} of {place.filename}): "
            "it is switched off, and the script goes on."
        )
