"""The line of the script that made a call: file and number."""

import os
import sys
import sysconfig
from functools import cache
from types import FrameType

import torch

_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_INSTALLED = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def script_frame() -> FrameType | None:
    """The innermost frame of the script's own code; where there is none, of a package that is neither torch nor us."""
    frame: FrameType | None = sys._getframe(1)
    installed: FrameType | None = None
    while frame is not None:
        kind = _kind(frame.f_code.co_filename)
        if kind == "own":
            return frame
        if kind == "installed" and installed is None:
            installed = frame
        frame = frame.f_back
    return installed


def script_site() -> str:
    """The line under execution there, as "train.py:42"; empty where only tuitrain itself is under execution."""
    frame = script_frame()
    return "" if frame is None else f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno}"


def made_at(made: object) -> str:
    """Where the class of an object makes it: the line of its __init__; empty where that is not the script's."""
    code = getattr(type(made).__init__, "__code__", None)
    if code is None or _kind(code.co_filename) == "ours":
        return ""
    return f"{_shown(code.co_filename)}:{code.co_firstlineno}"


@cache
def _kind(file: str) -> str:
    if file.startswith((_OURS, _TORCH, "<")):
        return "ours"
    return "installed" if file.startswith(_INSTALLED) else "own"


@cache
def _shown(file: str) -> str:
    """Relative to the working directory where it lies in there."""
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative
