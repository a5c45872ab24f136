"""Of a run that goes on from a checkpoint, what is new: its journal comes anew, and most of that was told before."""

import math
from collections.abc import Iterable, Iterator

import msgspec

from tuitrain.record.events import AnyEvent, Run
from tuitrain.record.journal import News


class OnlyNew:
    """Leaves out of the news what was in the journal before the run was resumed.

    Where the run goes on from a checkpoint what came after that is removed from the journal, and its reader gives all
    that is left once more, followed by what is new. A Run event is always new then, and no step comes before it.
    """

    def __init__(self, before: Iterable[AnyEvent]) -> None:
        """`before` are the events that the journal had before, in order."""
        self._before = _encoded(before)

    def __call__(self, news: News) -> News:
        """The part of the news that is new."""
        if not news.anew:
            self._before += _encoded(news.events)
            return news
        now = _encoded(news.events)
        events = news.events[_count_known(now, iter(self._before)) :]
        self._before = now
        begins = next((event.executed for event in events if isinstance(event, Run)), math.inf)
        return News([step for step in news.steps if step.executed > begins], events)


def _encoded(events: Iterable[AnyEvent]) -> list[bytes]:
    """The events as they can be compared: NaN in one is not equal to NaN in another."""
    return [msgspec.msgpack.encode(event) for event in events]


def _count_known(events: list[bytes], before: Iterator[bytes]) -> int:
    """How many events, from the first on, were there before: in the same order, with gaps where some were removed."""
    return next((count for count, event in enumerate(events) if event not in before), len(events))
