"""What goes onto the wire: no escape where there is no terminal for it, no colour, no character that was not asked for."""

import re
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.shim import Gate, first_of_all
from tests.e2e.terminal import NARROW, WIDE, Terminal, environment, tuitrain
from tests.e2e.watched import ENDLESS, Watched, watched
from tuitrain.record.events import LogLine

FEW_STEPS = ("unregistered", "--threads", "1", "--steps", "3")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_draw_gets_plain_lines(tmp_path: Path, term: str) -> None:
    with Terminal(tuitrain(*FEW_STEPS), environment(tmp_path) | {"TERM": term}) as terminal:
        assert terminal.wait_end() == 0
        assert terminal.rows[0] == "loading: Loading torch"
        assert terminal.shows("step 1  epoch 1  loss", "steps after 3 steps")
        assert b"\x1b" not in terminal.raw
        assert terminal.unrestored() == []


@pytest.mark.parametrize("redirection", [">", "</dev/null 2>"])
def test_where_input_or_output_is_no_terminal_there_are_plain_lines(tmp_path: Path, redirection: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    shell = ["sh", "-c", f'"$@" {redirection}{elsewhere}', "sh"]
    with Terminal([*shell, *tuitrain(*FEW_STEPS)], environment(tmp_path)) as terminal:
        assert terminal.wait_end() == 0
        assert b"\x1b" not in terminal.raw
        assert b"\x1b" not in elsewhere.read_bytes()
        assert "steps after 3 steps" in terminal.text + elsewhere.read_text(encoding="utf-8")


def colours(raw: bytes) -> set[int]:
    """The colours that SGR sequences in `raw` set, by their first parameter; 39 and 49, the terminal's own, aside."""
    found = set()
    for parameters in re.findall(rb"\x1b\[([\d;:]*)m", raw):
        codes = [int(code or 0) for code in re.split(rb"[;:]", parameters)]
        found |= {code for code in codes if 30 <= code <= 38 or 40 <= code <= 48 or 90 <= code <= 107}
    return found


def visit(run: Watched) -> None:
    """Go through all there is to see, in wide and narrow."""
    terminal = run.terminal
    terminal.wait_for("some", "it/s", "Gradient norm")
    run.press_and_apply("o", word="overfit", value=True)
    run.press_and_apply("space", word="pause", value=True)
    terminal.wait_for("PAUSED", "key)")
    for size in (NARROW, (30, 5), WIDE):
        terminal.resize(*size)
        terminal.wait_for("step")
    for pane in "12345":
        terminal.press(pane)
    terminal.press("question_mark")
    terminal.wait_for("tuitrain: the keys")
    terminal.press("escape")
    terminal.wait_gone("tuitrain: the keys")
    terminal.press("q")
    terminal.wait_for("Stop the run?")
    terminal.press("escape")
    terminal.wait_gone("Stop the run?")


def leave(run: Watched) -> None:
    run.terminal.press("ctrl+c")
    assert run.terminal.wait_end() == 0
    assert run.terminal.unrestored() == []


def test_no_color_in_the_c_locale(tmp_path: Path) -> None:
    with watched(tmp_path, "unregistered", *ENDLESS, env={"NO_COLOR": "1", "LANG": "C"}) as run:
        visit(run)
        run.terminal.press("ctrl+p")
        run.terminal.wait_for("Search for commands")
        run.terminal.press("escape")
        run.terminal.wait_gone("Search for commands")
        leave(run)
        assert colours(bytes(run.terminal.raw)) == set()
        assert b"\x1b[1" in run.terminal.raw  # bold, at least


def test_ascii_in_the_c_locale(tmp_path: Path) -> None:
    with watched(tmp_path, "unregistered", *ENDLESS, "--ascii", env={"LC_ALL": "C"}) as run:
        visit(run)
        leave(run)
        assert not [char for char in bytes(run.terminal.raw).decode() if not char.isascii()]


def test_the_palette_in_ascii(tmp_path: Path) -> None:
    with watched(tmp_path, "mnist", *ENDLESS, "--ascii") as run:
        terminal = run.terminal
        terminal.press("ctrl+p")
        terminal.wait_for("Search for commands")
        terminal.press("escape")
        terminal.wait_gone("Search for commands")
        assert not {char for char in bytes(terminal.raw).decode() if not char.isascii()}


SPEAK = r"""
import os, subprocess, threading
def speak():
    with open({gate!r}, "rb", buffering=0) as gate:
        gate.read(1)
    os.write(2, b"from a thread \x1b]0;stolen title\x07\x1b[2Jcleared \xff\n")
    os.write(1, b"half a line, \x1b[7mreversed\rover it\n")
    print("from print \x1b[5;5Hmoved", flush=True)
    subprocess.run(["printf", r"from a child \033[?1049lleft\n"], check=True)
threading.Thread(target=speak, daemon=True).start()
"""
SPOKEN = {
    "from a thread cleared \N{REPLACEMENT CHARACTER}": "stderr",
    "over it": "stdout",
    "from print moved": "stdout",
    "from a child left": "stdout",
}
"""What is to be seen of it, and the stream it came from."""


def test_what_others_write_is_told_in_the_console_and_not_across_the_screen(tmp_path: Path) -> None:
    with closing(Gate(tmp_path / "gate")) as gate:
        env = first_of_all(tmp_path / "shim", SPEAK.format(gate=str(gate.path)))
        with watched(tmp_path, "unregistered", *ENDLESS, "--batch-size", "4", env=env) as run:
            run.terminal.wait_for("○ some")
            gate.open()
            run.terminal.wait_for(*SPOKEN)
            edges = [row[90:92] for row in run.terminal.rows[3:-2]]
            assert set(edges) <= {"││", "╮╭", "╯╰", "│╭", "│╰", "╮│", "╯│"}, edges
            said = [told for told in run.view.timeline if isinstance(told, LogLine) and told.stream != "run"]
            assert [line.stream for line in said] == [*SPOKEN.values()]
            leave(run)
            raw = bytes(run.terminal.raw)
            assert [part for part in (b"]0;", b"\x1b[2J", b"Hmoved", b"\x1b[7m", b"lleft") if part in raw] == []
            assert raw.count(b"\x1b[?1049l") == 1
