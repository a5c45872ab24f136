"""A run with its screen in a terminal, and beside it what its journal says."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.followed import Followed, only_journal
from tests.e2e.terminal import WIDE, Terminal, environment, tuitrain
from tuitrain.record.events import Applied, Value
from tuitrain.record.journal import Reader
from tuitrain.record.state import RunView

ENDLESS = ("--threads", "1", "--epochs", "1000000")


class Watched(Followed):
    """The terminal, and the run as its journal tells it."""

    def __init__(self, terminal: Terminal, directory: Path, reader: Reader) -> None:
        super().__init__(directory, reader)
        self.terminal = terminal

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
        with only_journal(home) as (directory, reader):
            yield Watched(terminal, directory, reader)
