"""The app on a run that a test tells: a journal to write to, a link that remembers, a screen to read."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.ui import fake_run
from tuitrain.record.commands import AnyCommand, Set
from tuitrain.record.events import Event, Step
from tuitrain.record.journal import Journal
from tuitrain.record.link import Link
from tuitrain.ui.app import TuitrainApp
from tuitrain.ui.seat import OWN, Seat

NEVER_S = 3600.0
"""An interval at which the app never polls by itself within a test."""


class RecordingLink:
    """Keeps what was sent; says whatever trouble it is given."""

    def __init__(self) -> None:
        self.commands: list[AnyCommand] = []
        self.trouble: str | None = None
        self.refused: list[str] = []

    def send(self, command: AnyCommand) -> None:
        self.commands.append(command)

    def take_refused(self) -> list[str]:
        refused, self.refused = self.refused, []
        return refused

    @property
    def sent(self) -> list[tuple[object, ...]]:
        """Word and, for a switch, value of each command."""
        return [(c.word, c.value) if isinstance(c, Set) else (c.word,) for c in self.commands]


def make_app(
    journal: Path,
    link: Link | None = None,
    *,
    ascii_only: bool = False,
    poll_s: float = NEVER_S,
    seat: Seat = OWN,
) -> TuitrainApp:
    """The app on a journal."""
    return TuitrainApp(
        journal=journal, link=link or RecordingLink(), name="mnist", poll_s=poll_s, ascii_only=ascii_only, seat=seat
    )


def fake_journal(directory: Path, *, steps: int = 1200, end: bool = False) -> Path:
    """The journal of a fake run."""
    path = directory / "journal.sqlite"
    fake_run.write_fake_run(path, steps=steps, end=end)
    return path


def journal_of(directory: Path, *said: Event, steps: tuple[Step, ...] = ()) -> Path:
    """A journal that says just this."""
    path = directory / "journal.sqlite"
    with Journal(path) as journal:
        journal.steps(steps)
        for event in said:
            journal.say(event)
    return path


def screen_text(app: TuitrainApp) -> str:
    """What the terminal shows, line by line."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


async def polled_until(app: TuitrainApp, pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Poll until the journal's writer has committed what makes `condition` true; TimeoutError if it never does."""
    async with asyncio.timeout(20):
        while not condition():
            app.poll()
            await pilot.pause()
