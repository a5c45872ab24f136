"""Bytes that a program prints to a terminal on which it goes back and draws over what it drew, as lines of text.

A progress bar returns to the start of its line, several of them move up and down between theirs: each becomes one line,
that of its last state.
"""

import codecs
import re
from collections.abc import Iterator

from tuitrain.record.lines import LONGEST_LINE, OnLine, Stream

MOST_OPEN = 64
"""Lines that may still change, at most: of more, the oldest are handed on."""
LONGEST_SEQUENCE = 256
"""Characters of an escape sequence that has not ended, after which it is taken for text."""
PATIENCE = 20
"""Calls of `settle` after which a program is no more expected to go back up, if it did before."""
TAB = "    "

_PIECES = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f]+)"
    r"|\x1b\[(?P<count>[0-9]*)(?P<rest>[0-?]*[ -/]*)(?P<move>[@-~])"
    r"|\x1b[\]P^_X].*?(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])",
    re.DOTALL,
)
"""Text, a sequence that moves the cursor or something else, a string for the terminal itself, a control character."""
_PLAIN = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]*")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]P^_X][^\x07]*|[ -/]*)", re.DOTALL)


class RedrawnLines:
    """Bytes of one stream, in any pieces, to lines of text.

    `settle` is to be called now and then, some 20 times a second: it hands on the lines that the cursor has left, and
    did not come back to since the call before; of a program that goes back up, since PATIENCE calls before. `begun` is
    what stands on the lines that may still change.
    """

    def __init__(self, stream: Stream, on_line: OnLine) -> None:
        self._stream = stream
        self._on_line = on_line
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._lines = [""]
        self._row = self._column = 0
        self._topmost = 0
        """The uppermost row that the cursor was in since the lines above it were last handed on."""
        self._goes_up = self._went_up = False
        """Whether the program is one that goes back up, and whether it did since lines were last handed on."""
        self._calls = 0
        self._rest = ""

    @property
    def begun(self) -> str:
        """The lines that may still change, without empty ones at the end."""
        open_ = self._lines if self._goes_up else self._lines[self._row :]
        return "\n".join(line.rstrip() for line in open_).rstrip()

    def feed(self, data: bytes) -> None:
        """Draw what comes."""
        text = self._rest + self._decode(data)
        self._rest = ""
        if self._is_at_end() and _PLAIN.fullmatch(text):
            self._append(text.replace("\t", TAB))
        else:
            for piece in self._pieces(text):
                self._draw(piece)
        if self._row > MOST_OPEN:
            self._hand_on(self._row - MOST_OPEN)

    def settle(self) -> None:
        """Hand on the lines that are done."""
        self._calls += 1
        if self._calls >= (PATIENCE if self._goes_up else 1):
            self._hand_on(self._topmost)
            self._topmost, self._calls = self._row, 0
            self._goes_up, self._went_up = self._went_up, False

    def finish(self) -> None:
        """Hand on all there is: nothing more comes."""
        self.feed(self._decode(b"", final=True).encode())
        if not self._lines[-1]:  # the end of the line before
            self._lines.pop()
        self._hand_on(len(self._lines))
        self._lines, self._row, self._column = [""], 0, 0

    def _is_at_end(self) -> bool:
        return self._row == len(self._lines) - 1 and self._column == len(self._lines[-1])

    def _append(self, text: str) -> None:
        """Text without anything that moves the cursor: as all of it would be drawn, and many times faster."""
        first, *others = text.split("\n")
        self._lines[-1] += first
        self._lines += others
        self._row, self._column = len(self._lines) - 1, len(self._lines[-1])
        if self._column > LONGEST_LINE:
            self._control("\n")

    def _pieces(self, text: str) -> Iterator[re.Match[str]]:
        """The pieces of a text; what may be the beginning of a sequence is kept for the next time."""
        at = 0
        while at < len(text):
            piece = _PIECES.match(text, at)
            if piece is None and len(text) - at < LONGEST_SEQUENCE and _UNFINISHED.fullmatch(text, at):
                self._rest = text[at:]
                return
            if piece is not None:
                yield piece
            at = piece.end() if piece else at + 1

    def _draw(self, piece: re.Match[str]) -> None:
        if (written := piece["text"]) is not None:
            self._write(written)
        elif piece["move"] and not piece["rest"]:
            self._move(piece["move"], piece["count"])
        elif piece["control"]:
            self._control(piece["control"])

    def _write(self, written: str) -> None:
        line = self._lines[self._row]
        end = self._column + len(written)
        self._lines[self._row] = line[: self._column].ljust(self._column) + written + line[end:]
        self._column = end
        if end > LONGEST_LINE:
            self._control("\n")

    def _control(self, character: str) -> None:
        match character:
            case "\n":
                self._go_to_row(self._row + 1)
                self._column = 0
            case "\r":
                self._column = 0
            case "\b":
                self._column = max(0, self._column - 1)
            case "\t":
                self._write(TAB)

    def _move(self, how: str, count: str) -> None:
        """What a control sequence does; those that only colour do nothing."""
        by = int(count[:4] or 1) or 1
        match how:
            case "A" | "F":
                self._goes_up = self._went_up = True  # also where the line above was handed on too early
                self._go_to_row(max(0, self._row - by))
            case "B" | "E":
                self._go_to_row(min(self._row + by, len(self._lines) + MOST_OPEN))
            case "C":
                self._column = min(self._column + by, LONGEST_LINE)
            case "D":
                self._column = max(0, self._column - by)
            case "G":
                self._column = min(by - 1, LONGEST_LINE)
            case "K" | "J":
                self._erase(how, count or "0")
        if how in "EF":
            self._column = 0

    def _erase(self, how: str, which: str) -> None:
        line = self._lines[self._row]
        match which:
            case "0":
                self._lines[self._row] = line[: self._column]
            case "1":
                self._lines[self._row] = " " * self._column + line[self._column :]
            case "2":
                self._lines[self._row] = ""
        if how == "J" and which == "0":
            del self._lines[self._row + 1 :]

    def _go_to_row(self, row: int) -> None:
        while len(self._lines) <= row:
            self._lines.append("")
        self._row = row
        self._topmost = min(self._topmost, row)

    def _hand_on(self, count: int) -> None:
        """The first lines are done."""
        done, self._lines = self._lines[:count], self._lines[count:]
        self._row = max(0, self._row - count)
        self._topmost = max(0, self._topmost - count)
        for line in done:
            self._on_line(self._stream, line)
