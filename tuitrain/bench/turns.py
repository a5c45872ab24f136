"""Contenders take turns, so that a machine that is fast now and slow a minute later is so for all of them."""

import time
from collections.abc import Callable, Iterator, Sequence

from tuitrain.bench.contender import Contender
from tuitrain.errors import UserError

EPOCHS = 1_000_000
"""Of a preset: more than anyone waits for, so that no schedule ends before."""
SETTLING_S = 0.5
"""Of each turn, not counted: the caches are another's, and a screen repaints itself as after ctrl+z."""
WARM_UP_S = 2.0
"""Of its own time that each trains before its first turn: what is dear once was done."""
LEAST_STEPS = 5
"""A turn is made longer where it would have fewer."""
LIMIT_S = 180.0
POLL_S = 0.05


def warm_up(contender: Contender) -> None:
    """Wait until it trains, and has for a moment, then halt it. UserError if it does not come to that."""
    _wait_for(contender, lambda: contender.mark().steps >= 2, "has not made two steps")
    time.sleep(WARM_UP_S)
    contender.halt()


def take_turns(contenders: Sequence[Contender], turn_s: float) -> Iterator[list[float]]:
    """Rounds without end: the seconds a step of each contender took in its turn, in their order.

    UserError if one ends, or stands still.
    """
    forwards = True
    while True:
        seconds = {contender.name: _turn(contender, turn_s) for contender in contenders[:: 1 if forwards else -1]}
        yield [seconds[contender.name] for contender in contenders]
        forwards = not forwards


def _turn(contender: Contender, turn_s: float) -> float:
    contender.go_on()
    time.sleep(SETTLING_S)
    began = contender.mark()
    time.sleep(turn_s)
    _wait_for(contender, lambda: contender.mark().steps >= began.steps + LEAST_STEPS, "does not go on")
    ended = contender.mark()
    contender.halt()
    return (ended.time_s - began.time_s) / (ended.steps - began.steps)


def _wait_for(contender: Contender, condition: Callable[[], bool], otherwise: str) -> None:
    limit_s = time.monotonic() + LIMIT_S
    while not condition():
        if not contender.lives:
            steps = contender.mark().steps
            raise UserError(f"The {contender.name} training ended after {steps:,} steps, too soon to be measured.")
        if time.monotonic() > limit_s:
            raise UserError(f"The {contender.name} training {otherwise} within {LIMIT_S:.0f} s.")
        time.sleep(POLL_S)
