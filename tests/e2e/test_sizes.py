"""Every size of window, and a storm of them: nothing breaks, and what is shown last is right."""

from pathlib import Path

from tests.e2e.terminal import WIDE, Terminal
from tests.e2e.watched import ENDLESS, Watched, watched

SIZES = ((160, 48), (100, 30), (60, 20), (40, 10), (20, 5), (1, 1))
"""Columns and rows."""


def test_every_size(tmp_path: Path) -> None:
    with watched(tmp_path, "unregistered", *ENDLESS, "--batch-size", "8") as run:
        before = pause(run)
        for size in (*SIZES, *SIZES[-2::-1]):
            run.terminal.resize(*size)
            run.terminal.wait_until(lambda size=size: fits(run.terminal.rows, size), f"what fits {size}")  # type: ignore[misc]
        run.terminal.wait_until(lambda: body(run.terminal.rows) == body(before), f"the same as before:\n{before}")
        resume_and_leave(run)


def test_a_storm_of_sizes(tmp_path: Path) -> None:
    """Textual 8.2: its signal handler can be interrupted by itself between reading the size and handing it on; and a

    window that shrank and grew back before Textual looked has lost what was drawn, but is not painted anew.
    """
    with watched(tmp_path, "unregistered", *ENDLESS, "--batch-size", "8") as run:
        before = pause(run)
        for _ in range(10):
            storm(run.terminal)
            run.terminal.wait_until(lambda: body(run.terminal.rows) == body(before), f"the same as before:\n{before}")
        resume_and_leave(run)


def test_a_storm_of_sizes_breaks_nothing(tmp_path: Path) -> None:
    with watched(tmp_path, "unregistered", *ENDLESS, "--batch-size", "8") as run:
        run.terminal.wait_for("○ some")
        storm(run.terminal)
        run.press_and_apply("s", word="shuffle", value=False)
        storm(run.terminal)
        for size in ((120, 40), WIDE):  # in calm, from a size that is none of the storm's
            run.terminal.resize(*size)
            run.terminal.wait_until(lambda size=size: fits(run.terminal.rows, size), f"what fits {size}")  # type: ignore[misc]
        run.press_and_apply("space", word="pause", value=True)
        resume_and_leave(run)


def storm(terminal: Terminal) -> None:
    """Through all sizes and back, as fast as it goes; the last is wide."""
    for size in (*SIZES, *SIZES[::-1]) * 5:
        terminal.resize(*size)


def pause(run: Watched) -> list[str]:
    """Have it stand still; what is seen then."""
    run.terminal.wait_for("○ some")
    run.press_and_apply("space", word="pause", value=True)
    run.terminal.wait_for("PAUSED", "pause on")
    run.terminal.wait_until(lambda: fits(run.terminal.rows, WIDE), "the whole screen")
    return run.terminal.rows


def resume_and_leave(run: Watched) -> None:
    run.press_and_apply("space", word="pause", value=False)
    run.terminal.wait_gone("PAUSED")
    run.terminal.press("ctrl+c")
    assert run.terminal.wait_end() == 0
    assert run.terminal.unrestored() == []
    assert b"Traceback" not in run.terminal.raw


def fits(rows: list[str], size: tuple[int, int]) -> bool:
    """Whether this is a whole screen of that size: from the first row to the line of keys, or one line, or one sign."""
    match size:
        case (1, 1):
            return rows == ["●"]
        case (20, 5):
            return rows[0].startswith("● TRAIN  step") and not any(rows[1:])
        case (columns, _) if columns >= WIDE[0]:
            corners = all("".join(rows).count(corner) == 5 for corner in "╭╮╰╯")
            return corners and "8,290 not registered ─╯" in rows[-2] and rows[-1].endswith("q quit")
    return bool(rows[0]) and "TRAIN" in rows[1] and rows[-1].endswith("q quit")


def body(rows: list[str]) -> list[str]:
    """What stands still while the run does: all but the header, which tells the memory in use."""
    return rows[2:]
