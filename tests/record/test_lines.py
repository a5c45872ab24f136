"""Bytes to lines of text, however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuitrain.record.lines import LONGEST_LINE, Lines, Stream, last_state


def split(pieces: list[bytes]) -> list[str]:
    got: list[str] = []

    def on_line(stream: Stream, text: str) -> None:
        assert stream == "stdout"
        got.append(text)

    lines = Lines("stdout", on_line)
    for piece in pieces:
        lines.feed(piece)
    lines.finish()
    return got


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20)), st.data())
def test_lines_do_not_depend_on_how_the_bytes_arrive(texts: list[str], data: st.DataObject) -> None:
    raw = "".join(f"{text}\n" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)))))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert split(pieces) == texts


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"10 %\r20 %\r30 %\n", ["30 %"]),
        (b"windows\r\n", ["windows"]),
        (b"\rbar 1\rbar 2\r", ["bar 2"]),
        (b"\n\n", ["", ""]),
        (b"no end", ["no end"]),
        (b"bad \xff byte\n", ["bad \N{REPLACEMENT CHARACTER} byte"]),
        (b"half a sign \xe2\x82", ["half a sign \N{REPLACEMENT CHARACTER}"]),
        (b"", []),
    ],
)
def test_progress_bars_partial_lines_and_bad_bytes(raw: bytes, lines: list[str]) -> None:
    assert split([raw]) == lines
    assert split([raw[i : i + 1] for i in range(len(raw))]) == lines


def test_a_line_without_end_is_handed_on_in_pieces_and_a_bar_without_end_does_not_grow() -> None:
    assert "".join(split([b"x" * 1000] * 100)) == "x" * 100_000
    assert max(map(len, split([b"x" * 1000] * 100))) <= LONGEST_LINE + 1000
    assert split([b"\rstep %d of many" % step for step in range(10_000)]) == ["step 9999 of many"]


def test_last_state() -> None:
    assert last_state("a\rbc\r") == "bc"
    assert last_state("") == ""
