"""A run with its screen in a terminal, and beside it what its journal says."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tests.e2e.terminal import WIDE, Terminal, environment, tuitrain
from tuitrain.record.events import Applied, Value
from tuitrain.record.journal import Reader
from tuitrain.record.lease import read_lease
from tuitrain.record.runs import JOURNAL
from tuitrain.record.state import RunView

ENDLESS = ("--threads", "1", "--epochs", "1000000")


class Watched:
    """The terminal, and the run as its journal tells it."""

    def __init__(self, terminal: Terminal, reader: Reader, directory: Path) -> None:
        self.terminal = terminal
        self.directory = directory
        self._reader = reader
        self._view = RunView()

    @property
    def view(self) -> RunView:
        """The run as its journal tells it now."""
        self._view.update(self._reader.poll())
        return self._view

    @property
    def pid(self) -> int:
        """The process that trains."""
        lease = read_lease(self.directory)
        assert lease is not None
        return lease.pid

    @property
    def executed(self) -> int:
        """Steps executed so far, as far as they are in the journal."""
        step = self.view.last_step
        return step.executed if step else 0

    def wait_until(self, condition: Callable[[RunView], bool], what: str) -> None:
        """Take in what the screen shows until the journal says so."""
        self.terminal.wait_until(lambda: condition(self.view), what)

    def wait_steps(self, more: int) -> None:
        """Wait until so many more steps were executed."""
        goal = self.executed + more
        self.wait_until(lambda view: self.executed >= goal, f"step {goal}")

    def press_and_apply(self, *keys: str, word: str, value: Value) -> Applied:
        """Press keys, and wait until the run has answered with this value, and with nothing else."""
        before = len(self.view.changes)
        self.terminal.press(*keys)
        self.wait_until(lambda view: len(view.changes) > before, f"{word} to be applied")
        (applied,) = self.view.changes[before:]
        assert (applied.word, applied.value, applied.by) == (word, value, "key")
        return applied


@contextmanager
def watched(
    home: Path,
    *words: str,
    size: tuple[int, int] = WIDE,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Watched]:
    """`tuitrain` with these words in a terminal, started by the command `prefix`; what it keeps lies in `home`."""
    program = [*prefix, *tuitrain(*words)]
    with Terminal(program, environment(home) | dict(env or {}), size=size) as terminal:
        terminal.wait_until(lambda: b"\x1b[?1049h" in terminal.raw, "the screen")
        (journal,) = home.rglob(JOURNAL)
        with closing(Reader(journal)) as reader:
            yield Watched(terminal, reader, journal.parent)
