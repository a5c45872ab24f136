"""What a program draws over what it drew, as lines: each with its last state, however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuitrain.record.lines import LONGEST_LINE
from tuitrain.record.redrawn import MOST_OPEN, PATIENCE, RedrawnLines

UP, ERASE = b"\x1b[A", b"\x1b[2K"
PLAIN = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20)


def drawn() -> tuple[RedrawnLines, list[str]]:
    """Something to draw on, and the lines that it has handed on."""
    got: list[str] = []
    return RedrawnLines("stdout", lambda stream, text: got.append(text)), got


def split(*pieces: bytes) -> list[str]:
    """The lines that come of these pieces."""
    lines, got = drawn()
    for piece in pieces:
        lines.feed(piece)
    lines.finish()
    return got


@given(st.lists(PLAIN), st.data())
def test_what_is_only_printed_comes_out_as_it_is(texts: list[str], data: st.DataObject) -> None:
    raw = "".join(f"{text}\n" for text in texts).encode()
    lines, got = drawn()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)))))
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        lines.feed(raw[start:end])
        if data.draw(st.booleans()):
            lines.settle()
    lines.finish()
    assert got == texts


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"10 %\r20 %\r30 %\n", ["30 %"]),
        (b"windows\r\n", ["windows"]),
        (b"long line\rshort\n", ["shortline"]),
        (b"long line\r\x1b[Kshort\n", ["short"]),
        (b"cleared\r       \r", ["       "]),
        (b"\x1b[31mred\x1b[0m \x1b[1;38;5;9mbold\x1b[m\n", ["red bold"]),
        (b"a \x1b]8;;http://there\x07link\x1b]8;;\x1b\\ here\n", ["a link here"]),
        (b"\x1b[?25lhidden\x1b[?25h\n", ["hidden"]),
        (b"outer 1\ninner 1" + UP + b"\router 2\n\rinner 2" + UP + b"\n", ["outer 2", "inner 2"]),
        (b"one\ntwo\n" + UP + ERASE + UP + ERASE + b"gone\n", ["gone", ""]),
        (b"one\ntwo\nthree" + b"\x1b[2F\x1b[J" + b"alone\n", ["alone"]),
        (b"ab\x08c\x1b[3Cd\x1b[2De\x1b[1Gf\n", ["fc  ed"]),
        (b"a\tb\x00\n", ["a    b"]),
        (b"\n\n", ["", ""]),
        (b"no end", ["no end"]),
        (b"bad \xff byte, half a sign \xe2\x82", ["bad \ufffd byte, half a sign \ufffd"]),
        (b"no sequence \x1b\nmore", ["no sequence ", "more"]),
        (b"half a sequence \x1b[3", ["half a sequence "]),
        (b"", []),
    ],
)
def test_the_last_state_of_each_line_counts(raw: bytes, lines: list[str]) -> None:
    assert split(raw) == lines
    assert split(*(raw[i : i + 1] for i in range(len(raw)))) == lines


@given(st.binary(max_size=300))
def test_nothing_breaks_it(raw: bytes) -> None:
    assert split(raw) == split(*(raw[i : i + 1] for i in range(len(raw))))


def test_a_bar_is_one_line_that_may_still_change() -> None:
    lines, got = drawn()
    lines.feed(b"begins\n")
    for percent in range(100):
        lines.feed(b"\r%3d %%" % percent)
        lines.settle()
        assert lines.begun == f"{percent:3d} %"
    assert got == ["begins"]
    lines.feed(b"\nafterwards\n")
    lines.settle()
    lines.settle()
    assert (got, lines.begun) == (["begins", " 99 %", "afterwards"], "")


def test_bars_one_below_the_other_are_not_handed_on_while_they_move() -> None:
    lines, got = drawn()
    for number in range(10 * PATIENCE):
        lines.feed(b"\router %d\n" % number)
        if number % 3 == 0:
            lines.settle()  # wherever the cursor happens to be
        lines.feed(b"\rinner %d" % number + UP)
        lines.settle()
        assert lines.begun == f"outer {number}\ninner {number}"
    assert got == []
    lines.feed(b"\n\n")
    for _ in range(2 * PATIENCE):
        lines.settle()
    assert got == [f"outer {number}", f"inner {number}"]


def test_bars_that_are_drawn_anew_now_and_then_are_not_handed_on_in_between() -> None:
    lines, got = drawn()
    lines.feed(b"before\nouter 0\ninner 0")
    for number in range(1, 50):
        for _ in range(PATIENCE // 4):
            lines.settle()
        lines.feed(b"\x1b[2K" + UP + b"\x1b[2K\router %d\ninner %d" % (number, number))
        lines.settle()
    assert "outer 5" not in got
    assert lines.begun.splitlines()[-2:] == ["outer 49", "inner 49"]
    lines.feed(b"\n")
    for _ in range(3 * PATIENCE):
        lines.settle()
    lines.feed(b"after\n")
    lines.settle()
    lines.settle()
    assert got[-3:] == ["outer 49", "inner 49", "after"]
    assert len(got) <= 5


def test_what_is_printed_above_bars_comes_out_once_and_soon() -> None:
    lines, got = drawn()
    for number in range(5):
        lines.feed(b"\r" + ERASE + b"said %d\n" % number)
        for count in range(2 * PATIENCE):
            lines.feed(b"\router %d\n\rinner %d" % (count, count) + UP)
            lines.settle()
        assert got == [f"said {said}" for said in range(number + 1)]


def test_neither_a_line_without_end_nor_endless_lines_are_kept() -> None:
    lines, got = drawn()
    for _ in range(100):
        lines.feed(b"x" * 1000)
        lines.settle()
    assert sum(map(len, got)) > 90_000
    assert len(lines.begun) <= LONGEST_LINE + 1000
    lines.feed(b"line\n" * 1000)
    assert got.count("line") >= 1000 - MOST_OPEN - 1
