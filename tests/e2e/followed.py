"""A run that trains in another process, as its journal tells it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tuitrain.record.journal import Reader
from tuitrain.record.lease import read_lease
from tuitrain.record.runs import JOURNAL
from tuitrain.record.state import RunView


class Followed:
    """The run in `directory`, whose journal `reader` reads."""

    def __init__(self, directory: Path, reader: Reader) -> None:
        self.directory = directory
        self._reader = reader
        self._view = RunView()

    @property
    def pid(self) -> int:
        """The process that trains, or trained."""
        lease = read_lease(self.directory)
        assert lease is not None
        return lease.pid

    @property
    def view(self) -> RunView:
        """The run as its journal tells it now."""
        self._view.update(self._reader.poll())
        return self._view

    @property
    def executed(self) -> int:
        """Steps executed so far, as far as they are in the journal."""
        step = self.view.last_step
        return step.executed if step else 0


@contextlib.contextmanager
def only_journal(home: Path) -> Iterator[tuple[Path, Reader]]:
    """Of the one run that is kept in `home`, its directory, and a reader of its journal."""
    (journal,) = home.rglob(JOURNAL)
    with contextlib.closing(Reader(journal)) as reader:
        yield journal.parent, reader
