"""The script's own frames, and the variables in them: read, and put back as a debugger does."""

import contextlib
import ctypes
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

_OPTIMIZED = inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS
_STANDARD = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
_PACKAGES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_NOT_THE_SCRIPTS = ("tuitrain.", "torch.utils._contextlib")
_WRITES_THROUGH = sys.version_info >= (3, 13)  # PEP 667; before it a function's variables are copied out and in


def is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package: no code of the script's own is there."""
    return file.startswith(_STANDARD) or any(name in file for name in _PACKAGES)


def script_frames() -> list[FrameType]:
    """The frames under execution, the innermost first, without those of this package and of torch's decorators.

    Those that run the training count, not those that run the program within which it is watched: see `no_further_than`.
    """
    frame: FrameType | None = sys._getframe(1)
    frames: list[FrameType] = []
    seen = False
    while frame is not None and not (seen and is_installed(frame.f_code.co_filename)):
        if not frame.f_globals.get("__name__", "").startswith(_NOT_THE_SCRIPTS):
            frames.append(frame)
        seen = seen or id(frame) in _outermost
        frame = frame.f_back
    return frames


@contextlib.contextmanager
def no_further_than(frame: FrameType) -> Iterator[None]:
    """Within the context, frames of installed packages further out than this one are not the script's."""
    _outermost.add(id(frame))  # it stays on the stack meanwhile
    try:
        yield
    finally:
        _outermost.discard(id(frame))


_outermost: set[int] = set()


def variables_of(frame: FrameType) -> dict[str, Any]:
    """The variables of a frame: those of a function, or all names of a module."""
    if not _is_function(frame) or _WRITES_THROUGH:
        return dict(frame.f_locals)
    copied = frame.f_locals
    variables = dict(copied)
    copied.clear()  # it belongs to the frame, and would keep alive what the function has long let go
    return variables


def set_variables(frame: FrameType, values: Mapping[str, Any]) -> None:
    """Give variables of a frame that is suspended these values; the others stay as they are."""
    if not _is_function(frame) or _WRITES_THROUGH:
        frame.f_locals.update(values)
        return
    present = frame.f_locals
    present.update(values)
    ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
    present.clear()


def variable_name(value: object, frames: list[FrameType]) -> str:
    """The name of the first variable that holds `value`; empty if there is none."""
    for frame in frames:
        for scope in (variables_of(frame), frame.f_globals):
            for name, held in scope.items():
                if held is value and name.isidentifier() and not name.startswith("_") and name != "self":
                    return name
    return ""


def _is_function(frame: FrameType) -> bool:
    return frame.f_code.co_flags & _OPTIMIZED == _OPTIMIZED
