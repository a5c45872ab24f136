"""Tracebacks as they would be without us. Loads nothing."""

import os
import types
from collections.abc import Callable

Hook = Callable[[type[BaseException], BaseException, types.TracebackType | None], object]

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_IMPORTING = os.path.join(_OURS, "importing.py")
_FROZEN = "<frozen importlib"


def cut_our_frames(show: Hook) -> Hook:
    """A hook that shows an exception as `show` does, without the frames of ours that were on its way."""

    def show_without_us(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        for each in chain_of(error):
            each.__traceback__ = without_us(each.__traceback__)
        if getattr(error, "leaves_quietly", False):
            raise SystemExit(error.leaves_quietly)  # type: ignore[attr-defined]  # the interpreter ends with this code
        show(kind, error, error.__traceback__)

    return show_without_us


def chain_of(error: BaseException) -> list[BaseException]:
    """An exception, and all that led to it."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and all(each is not other for other in found):
            found.append(each)
            waiting += [each.__cause__, each.__context__]
            if isinstance(each, BaseExceptionGroup):
                waiting += each.exceptions
    return found


def without_us(trace: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback without frames of this package, nor of the import machinery where it led through this package."""
    links: list[types.TracebackType] = []
    while trace is not None:
        links.append(trace)
        trace = trace.tb_next
    imported = any(_file_of(link) == _IMPORTING for link in links)
    kept = [link for link in links if not _is_ours(link, imported=imported)]
    for link, following in zip(kept, [*kept[1:], None], strict=True):
        link.tb_next = following
    return kept[0] if kept else None


def _is_ours(link: types.TracebackType, *, imported: bool) -> bool:
    file = _file_of(link)
    return file.startswith(_OURS) or (imported and file.startswith(_FROZEN))


def _file_of(link: types.TracebackType) -> str:
    return link.tb_frame.f_code.co_filename
