"""Every size of window, and a storm of them: nothing breaks, and what is shown last is right."""

from pathlib import Path

from tests.e2e.terminal import WIDE, Terminal
from tests.e2e.watched import ENDLESS, watched

SEEN_AT: dict[tuple[int, int], tuple[str, ...]] = {
    (160, 48): ("tuitrain · ", "Findings", "q quit"),
    (100, 30): ("Gradient norm", "1 Loss", "q quit"),
    (60, 20): ("1 Loss", "q quit"),
    (40, 10): ("PAUSED", "1 Loss"),
    (20, 5): ("step",),
    (1, 1): (),
}
"""Columns and rows, and what has room there."""


ELSE = (120, 40)
"""None of those sizes. Textual itself may miss the last of many resizes that come at once (see `storm`)."""


def test_every_size_and_a_storm_of_them(tmp_path: Path) -> None:
    with watched(tmp_path, "unregistered", *ENDLESS, "--batch-size", "8") as run:
        terminal = run.terminal
        terminal.wait_for("○ some")
        run.press_and_apply("space", word="pause", value=True)
        terminal.wait_for("PAUSED", "pause on (by key)")
        for size, texts in [*SEEN_AT.items(), *reversed(SEEN_AT.items())]:
            terminal.resize(*size)
            terminal.wait_for(*texts)
            terminal.wait_until(lambda: bool(terminal.text.strip()), f"anything at {size}")
        terminal.wait_until(lambda: settled(terminal.rows), "the whole screen")
        before = terminal.rows
        storm(terminal)
        terminal.wait_until(lambda: body(terminal.rows) == body(before), f"the same as before:\n{before}")
        run.press_and_apply("space", word="pause", value=False)
        storm(terminal)
        terminal.wait_gone("PAUSED")
        run.press_and_apply("s", word="shuffle", value=False)
        terminal.wait_until(lambda: settled(terminal.rows), "the whole screen")
        terminal.press("ctrl+c")
        assert terminal.wait_end() == 0
        assert terminal.unrestored() == []
        assert b"Traceback" not in terminal.raw


def storm(terminal: Terminal) -> None:
    """Resize as fast as it goes, then once in calm: Textual 8.2 may take an earlier size of a storm for the last one,

    because its signal handler can be interrupted by itself between reading the size and handing it on.
    """
    for size in [*SEEN_AT, *reversed(SEEN_AT)] * 5:
        terminal.resize(*size)
    for size, texts in ((ELSE, ("Findings", "q quit")), (WIDE, ("Findings", "q quit"))):
        terminal.resize(*size)
        terminal.wait_for(*texts)


def body(rows: list[str]) -> list[str]:
    """What stands still while the run does: all but the header, which tells the memory in use."""
    return rows[2:]


def settled(rows: list[str]) -> bool:
    """Whether every pane is there with all its corners, and the keys below."""
    text = "\n".join(rows)
    corners = all(text.count(corner) == 5 for corner in "╭╮╰╯")
    return corners and "8,290 not registered ─╯" in rows[-2] and rows[-1].endswith("q quit")
