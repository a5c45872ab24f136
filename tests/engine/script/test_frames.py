"""The variables of frames under execution: read without keeping anything alive, and put back."""

import sys
import weakref
from collections.abc import Generator
from types import FrameType, GeneratorType

from tuitrain.engine.script.frames import (
    is_installed,
    no_further_than,
    script_frames,
    set_variables,
    variable_name,
    variables_of,
)


class Thing:
    """Something that can be let go."""


def here() -> FrameType:
    """The frame of the caller."""
    return sys._getframe(1)


def test_a_look_keeps_nothing_alive() -> None:
    thing = Thing()
    alive = weakref.ref(thing)
    assert variables_of(here())["thing"] is alive()
    del thing
    assert alive() is None


def test_variables_are_put_back_others_stay() -> None:
    count, name, other = 1, "before", 5
    seen = variables_of(here())

    def put_back(frame: FrameType) -> None:
        set_variables(frame, {"count": seen["count"], "name": seen["name"]})

    count, name, other = 2, "after", 6
    assert (count, name) == (2, "after")
    put_back(here())
    assert (count, name, other) == (1, "before", 6)


def test_a_variable_that_a_closure_shares_is_put_back_for_both() -> None:
    count = 1

    def inner() -> int:
        return count

    count = 2
    set_variables(here(), {"count": 1})
    assert (count, inner()) == (1, 1)


def test_a_generators_variables_too() -> None:
    def counting() -> Generator[int, None, None]:
        number = 0
        while True:
            number += 1
            yield number

    generator = counting()
    assert [next(generator) for _ in range(3)] == [1, 2, 3]
    assert isinstance(generator, GeneratorType)
    assert generator.gi_frame is not None
    set_variables(generator.gi_frame, {"number": 7})
    assert next(generator) == 8


def test_things_are_found_by_name_from_the_inside_out() -> None:
    thing = Thing()
    assert variable_name(thing, [here()]) == "thing"
    assert variable_name(Thing(), script_frames()) == ""


def test_the_program_within_which_it_is_watched_is_not_looked_at() -> None:
    """As pytest is around this test: whose variables are not to be put back."""

    def inner() -> list[FrameType]:
        return script_frames()

    everything = inner()
    assert any(is_installed(frame.f_code.co_filename) for frame in everything)
    with no_further_than(here()):
        assert [frame.f_code.co_name for frame in inner()] == ["inner", here().f_code.co_name]
    assert len(inner()) == len(everything)
