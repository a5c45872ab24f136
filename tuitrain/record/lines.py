"""Bytes that a program prints, in whatever pieces they come, as lines of text."""

import codecs
from collections.abc import Callable
from typing import Literal

Stream = Literal["stdout", "stderr"]
OnLine = Callable[[Stream, str], None]

LONGEST_LINE = 8192
"""Characters after which a line that does not end is handed on as it is."""


class Lines:
    """Bytes of one stream, in any pieces, to lines of text."""

    def __init__(self, stream: Stream, on_line: OnLine) -> None:
        self._stream = stream
        self._on_line = on_line
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._rest = ""

    def feed(self, data: bytes) -> None:
        """Hand on the lines that `data` completes."""
        *lines, self._rest = (self._rest + self._decode(data)).split("\n")
        for line in lines:
            self._on_line(self._stream, last_state(line))
        if len(self._rest) > LONGEST_LINE:
            self._shorten()

    def finish(self) -> None:
        """Hand on a line that was begun and never ended."""
        rest, self._rest = self._rest + self._decode(b"", final=True), ""
        if rest:
            self._on_line(self._stream, last_state(rest))

    def _shorten(self) -> None:
        self._rest = last_state(self._rest) + "\r" * self._rest.endswith("\r")
        if len(self._rest) > LONGEST_LINE:
            self._on_line(self._stream, last_state(self._rest))
            self._rest = ""


def last_state(line: str) -> str:
    """What is left to see of a line that was written over: the text after the last carriage return that has any."""
    return line.rstrip("\r").rpartition("\r")[2]
