"""`tuitrain watch` in odd terminals: small, stormy, suspended, without colour; a run that ended is enough."""

import re
from pathlib import Path

import pytest

from tests.e2e.detached import say
from tests.e2e.terminal import WIDE, Terminal, environment, tuitrain
from tests.e2e.test_output import colours
from tests.e2e.test_sizes import SIZES, body, storm
from tuitrain.record.runs import JOURNAL

SUM = "8,290 not registered"
"""Stands at the foot of the model's pane, which has room only in a wide window."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run is recorded that ended."""
    home = tmp_path_factory.mktemp("ended")
    assert say(home, "unregistered", "--threads", "1", "--steps", "3", "--headless").code == 0
    return home


def name_in(home: Path) -> str:
    (journal,) = home.rglob(JOURNAL)
    return journal.parent.name


def test_at_every_size_in_a_storm_and_suspended(home: Path) -> None:
    env = environment(home) | {"PS1": "shell$ ", "NO_COLOR": "1", "LANG": "C"}
    with Terminal(["sh", "-i"], env) as terminal:
        terminal.wait_for("shell$")
        terminal.raw.clear()
        terminal.write(" ".join([*tuitrain("watch"), name_in(home)]) + "\n")
        terminal.wait_for("FINISHED", SUM, "q leaves")
        terminal.wait_until(lambda: fits(terminal, WIDE), "the whole screen")
        before = body(terminal.rows)
        for size in (*SIZES, *SIZES[-2::-1]):
            terminal.resize(*size)
            terminal.wait_until(lambda size=size: fits(terminal, size), f"what fits {size}")  # type: ignore[misc]
        storm(terminal)
        terminal.wait_until(lambda: body(terminal.rows) == before, f"the same as before:\n{before}")
        terminal.press("ctrl+z")
        terminal.wait_for("Stopped", "shell$")
        assert terminal.unrestored() in ([], ["settings"])  # an interactive shell may have its own
        terminal.write("fg\n")
        terminal.wait_for("FINISHED", SUM, "q leaves")
        terminal.press("q")
        terminal.wait_for("shell$")
        terminal.write("echo left with $?.\n")
        terminal.wait_until(lambda: bool(re.search(r"left with \d", terminal.text)), "the exit code")
        assert terminal.shows("left with 0.")
        assert terminal.unrestored() in ([], ["settings"])
        assert colours(bytes(terminal.raw)) == set()
        assert b"Traceback" not in terminal.raw


def fits(terminal: Terminal, size: tuple[int, int]) -> bool:
    """Whether what is seen is made for that size."""
    rows = terminal.rows
    match size:
        case (1, 1):
            return len(rows[0]) == 1
        case (20, 5):
            return rows[0].startswith("✓") and "step 3" in rows[0] and not any(rows[1:])
        case (columns, _):
            return rows[-1].endswith("q leave") and terminal.shows(SUM) == (columns >= WIDE[0])


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_draw_gets_plain_lines(home: Path, term: str) -> None:
    with Terminal([*tuitrain("watch"), name_in(home)], environment(home) | {"TERM": term}) as terminal:
        assert terminal.wait_end() == 0
        assert terminal.shows("step 1  epoch 1  loss", "steps after 3 steps")
        assert b"\x1b" not in terminal.raw
        assert terminal.unrestored() == []
