"""Text from anywhere, made harmless: what reaches a terminal holds no control characters."""

import re

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P^_X].*?(?:[\x07\x9c]|\x1b\\|$)|[ -/]*[0-~])", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def printable(text: str) -> str:
    """One line without escape sequences, control characters or direction marks.

    Tabs become spaces; what is no Unicode text (lone surrogates) becomes the replacement character.
    """
    harmless = _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", text).replace("\t", "    "))
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", harmless)
