"""Text from anywhere, made harmless."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuitrain.record.text import printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ("\x1b[?1049h\x1b[>1u\x1b[!p", ""),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;never ended", ""),
        ("\x1b]0;ended by C1\x9cafter", "after"),
        ("\x1bP1$r\x1b\\dcs\x1b_apc\x1b\\\x1b^pm\x1b\\", "dcs"),
        ("\x1bcreset\x1b(Bcharset", "resetcharset"),
        ("\x9b31mC1\x85\x90", "31mC1"),
        ("one\rtwo\nthree\x00\x07\x08\x7f", "onetwothree"),
        ("tab\tstop", "tab    stop"),
        ("a\u202eb\u2066c\u200fd\u2028e", "abcde"),
        ("half \ud83d sign", "half \N{REPLACEMENT CHARACTER} sign"),
        ("naïve 日本 👩‍🔬 é", "naïve 日本 👩‍🔬 é"),
        ("ends with escape\x1b", "ends with escape"),
    ],
)
def test_what_is_left(raw: str, shown: str) -> None:
    assert printable(raw) == shown


sequences = st.sampled_from(["\x1b", "\x1b[", "\x1b]", "\x1b\\", "\x9b", "\x9c", "\x07", "31m", "\x18", "\ud800"])


@given(st.lists(sequences | st.text(), max_size=20).map("".join))
def test_nothing_that_acts_is_ever_left(raw: str) -> None:
    shown = printable(raw)
    assert not [character for character in shown if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [
        character for character in shown if unicodedata.bidirectional(character) in ("RLO", "LRO", "RLI", "LRI")
    ]
    assert printable(shown) == shown
    shown.encode("utf-8")


@given(st.text(st.characters(categories=("L", "N", "P", "S"))))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert printable(text) == text
