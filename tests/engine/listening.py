"""A journal that can be listened to: for tests that act on a run while it goes on in another thread."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tuitrain.record.events import AnyEvent, Event, Step
from tuitrain.record.journal import Journal

PATIENCE_S = 120.0
_E = TypeVar("_E", bound=Event)


class ListeningJournal(Journal):
    """Records as a journal does, and wakes those who wait for an event."""

    def __init__(
        self, path: Path, *, keep_every: int | None = None, resumed_at: int | None = None, checkpoint: str | None = None
    ) -> None:
        self._news = threading.Condition()
        self.said: list[Event] = []
        super().__init__(path, keep_every=keep_every, resumed_at=resumed_at, checkpoint=checkpoint)

    def say(self, event: Event) -> None:
        super().say(event)
        self._hear([event])

    def steps(self, steps: Sequence[Step]) -> None:
        super().steps(steps)
        self._hear(steps)

    def _hear(self, events: Sequence[Event]) -> None:
        with self._news:
            self.said.extend(events)
            self._news.notify_all()

    def all(self, kind: type[_E]) -> list[_E]:
        """What was said of a kind so far."""
        return [event for event in self.said if isinstance(event, kind)]

    def wait_for(self, kind: type[_E], condition: Callable[[_E], bool] = lambda event: True) -> _E:
        """The first event of a kind for which `condition` holds, as soon as it is there."""

        def heard() -> _E | None:
            return next((event for event in self.all(kind) if condition(event)), None)

        with self._news:
            assert self._news.wait_for(lambda: heard() is not None, PATIENCE_S), f"no such {kind.__name__} was said"
            event = heard()
        assert event is not None
        return event


def in_order(events: Sequence[AnyEvent], *kinds: type[Event]) -> list[Event]:
    """The events of these kinds, in the order in which they were said."""
    return [event for event in events if isinstance(event, kinds)]
