"""How a script's loop asks for its batches, read from its frames: whether one can be given again without a trace.

While a batch is held the loop goes round more often than it would. What counts the rounds outside of any variable, as
`range` does, or keeps a batch back where no variable shows it, cannot be put back.
"""

import dis
import gc
import inspect
import itertools
from collections.abc import Iterator
from types import CodeType, FrameType, GeneratorType
from typing import Any

from torch import Tensor

from tuitrain.engine.script.frames import is_installed, script_frames, variables_of
from tuitrain.engine.tip import Refused

Position = tuple[int | None, int | None, int | None, int | None]
"""First line, last line, first column, last column."""
Place = tuple[tuple[CodeType, Position], ...]
"""The code under execution, the innermost first, and where in its source each is."""

_RUN_ON = (zip, itertools.islice, itertools.zip_longest, itertools.cycle, itertools.accumulate)
"""What takes or keeps something more with each batch that passes through it."""
_DEPTH = 3


def refuse_what_runs_on(iterator: Any) -> None:  # noqa: ANN401 - an iterator of a DataLoader
    """Refused where the loop around an iterator counts in a way that cannot be unwound, or keeps batches back."""
    _refuse_other_loops(script_frames())
    for kind in {type(thing) for thing in _drawing_from(iterator, _RUN_ON)}:
        raise Refused(f"the script's loop takes its batches through {kind.__name__}, which would run on meanwhile.")


def place_of(frames: list[FrameType]) -> Place:
    """Where the script is in its code: not by instructions, of which the interpreter has several for one call."""
    return tuple((frame.f_code, _position(frame)) for frame in frames)


def _position(frame: FrameType) -> Position:
    return next(itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))


def comes_back(frames: list[FrameType]) -> bool:
    """Whether a batch is asked for where the next one will be, too: not before the loop of a generator begins."""
    for frame in frames:
        loop = _loop_at(frame.f_code, frame.f_lasti)
        if loop != "none":
            return True
        if frame.f_code.co_flags & inspect.CO_GENERATOR:
            return False
    return True


def package_of_loop(frames: list[FrameType]) -> str | None:
    """The installed package to which the loop over the batches belongs; None where it is the script's own."""
    for frame in frames:
        code = frame.f_code
        is_the_loop = code.co_name != "__next__" and not code.co_flags & inspect.CO_GENERATOR
        if is_the_loop and _loop_at(code, frame.f_lasti) != "none":
            package: str = frame.f_globals.get("__name__", "").partition(".")[0]
            return package if is_installed(code.co_filename) else None
    return None


def counters_around(iterator: Any) -> list["enumerate[Any]"]:  # noqa: ANN401 - an iterator of a DataLoader
    """The enumerate objects that count an iterator's batches."""
    return _drawing_from(iterator, (enumerate,))


def _drawing_from(iterator: Any, kinds: tuple[type, ...]) -> list[Any]:  # noqa: ANN401
    """The living objects of some kinds that draw from an iterator, directly or through Python code at work now."""
    sources = {id(iterator), *_iterators_at_work(script_frames())}
    things = [thing for thing in gc.get_objects() if type(thing) in kinds]
    return [thing for thing in things if any(_is_source(inner, sources) for inner in _inside(thing))]


def _refuse_other_loops(frames: list[FrameType]) -> None:
    """Look outward from who asks for the batch, up to the loop that does it again and again."""
    for frame in frames:
        loop = _loop_at(frame.f_code, frame.f_lasti)
        if loop == "counts":
            raise Refused("the script asks for its batches within a loop over something else, which would run on.")
        if loop == "none" and _keeps_tensors(frame):
            raise Refused("the script fetches batches ahead with code of its own, which would lose one.")
        if loop != "none" and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            return


def _loop_at(code: CodeType, offset: int) -> str:
    """Which loop an instruction is in: "over" it, it asks for the next; "counts", within a for; "while"; "none"."""
    instructions = list(dis.get_instructions(code))
    if any(each.offset == offset and each.opname == "FOR_ITER" for each in instructions):
        return "over"
    if any(each.opname == "FOR_ITER" and each.offset < offset < each.argval for each in instructions):
        return "counts"
    jumps = [each for each in instructions if "JUMP" in each.opname and isinstance(each.argval, int)]
    return "while" if any(each.argval <= offset < each.offset for each in jumps) else "none"


def _keeps_tensors(frame: FrameType) -> bool:
    """Whether a frame, made anew for each batch, has a tensor in a variable, or in an attribute of its first one."""
    variables = variables_of(frame)
    first = variables.get(frame.f_code.co_varnames[0]) if frame.f_code.co_varnames else None
    attributes = getattr(first, "__dict__", {})
    return any(_holds_tensor(value, 0) for value in (*variables.values(), *attributes.values()))


def _holds_tensor(value: object, depth: int) -> bool:
    if isinstance(value, Tensor):
        return True
    items = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
    return depth < _DEPTH and any(_holds_tensor(item, depth + 1) for item in items)  # type: ignore[attr-defined]


def _iterators_at_work(frames: list[FrameType]) -> list[int]:
    """The ids of the objects whose `__next__`, written in Python, is under execution."""
    own = [frame for frame in frames if frame.f_code.co_name == "__next__" and frame.f_code.co_varnames]
    return [id(variables_of(frame).get(frame.f_code.co_varnames[0])) for frame in own]


def _inside(thing: object) -> Iterator[object]:
    """What an iterator made in C draws from."""
    for inner in gc.get_referents(thing):
        if type(inner) is tuple:
            yield from inner
        else:
            yield inner


def _is_source(thing: object, sources: set[int]) -> bool:
    """Whether a thing gives the batches: the iterator itself, or what is under execution and has asked for one."""
    return id(thing) in sources or (type(thing) is GeneratorType and thing.gi_running)
