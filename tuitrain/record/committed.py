"""How far a journal was committed, noted in a small file beside it, so that it is missed when its end goes.

What is committed last stands in SQLite's log, until that is worked into the journal. Of a log in which a byte changed
SQLite drops all that follows, without a word: what is left is a run that is shorter, and holds together. The note is
written after each commit: whenever the process is killed it may say less than the journal holds, and never more. It is
not forced to the disk, nor are the commits: after a loss of power it may say more, and the end is missing indeed.
"""

import contextlib
import os
import struct
from pathlib import Path
from typing import NamedTuple, Self

from tuitrain.record.packing import Damaged, seal, unseal
from tuitrain.record.rows import Head

_NUMBERS = struct.Struct("<qqq")
_PLACE = "committed"
_MOST_BYTES = 256
"""More than a note has."""
_LOOKS = 3
"""A note that is being written may be read half."""


class Missing(NamedTuple):
    """What a journal lacks of what was once committed to it."""

    sentence: str
    brief: str
    """The same in a few words, to stand behind a comma."""


class Note(NamedTuple):
    """How far a journal was committed, as it was noted. Without a note nothing is claimed."""

    life: int = 0
    executed: int = 0
    event_id: int = 0
    unreadable: str = ""
    """Why the note that is there cannot be read; empty if it can."""

    @classmethod
    def beside(cls, journal: Path, *, looks: int = _LOOKS) -> Self:
        """The note beside a journal. To be read before the journal is: what was committed by then is in there."""
        try:
            with note_path(journal).open("rb", buffering=0) as file:
                body = file.read(_MOST_BYTES)
            return cls(*_NUMBERS.unpack(unseal(_PLACE, 1, body))) if body else cls()
        except FileNotFoundError:
            return cls()
        except OSError as error:
            return cls(unreadable=f"cannot be read ({error})")
        except (Damaged, struct.error):
            return cls.beside(journal, looks=looks - 1) if looks > 1 else cls(unreadable="is damaged")

    def missing_in(self, head: Head, journal: Path) -> Missing | None:
        """What a journal with this head lacks of what was noted; None if it has it all.

        A note from before the journal was opened again claims nothing: rows were removed then.
        """
        if self.unreadable:
            why = f"{note_path(journal)}, which tells how far it goes, {self.unreadable}"
            return Missing(f"The end of the journal {journal} may be missing: {why}.", "its end may be missing")
        if self.life < head.life or (self.life == head.life and self._is_reached_by(head)):
            return None
        what = f"{head.executed:,} steps can be read, and not what was recorded last"
        if self.executed > head.executed:
            what = f"of {self.executed:,} steps that were recorded {head.executed:,} can be read"
        return Missing(f"The end of the journal {journal} is missing: {what}.", what)

    def _is_reached_by(self, head: Head) -> bool:
        return self.executed <= head.executed and self.event_id <= head.event_id


class NoteWriter:
    """Writes the note beside a journal. Never raises: where the disk refuses, the note says less, or there is none."""

    def __init__(self, journal: Path) -> None:
        self._path = note_path(journal)
        self._descriptor = -1

    def write(self, head: Head) -> None:
        """Note what was committed just now."""
        note = seal(_PLACE, 1, _NUMBERS.pack(head.life, head.executed, head.event_id))
        with contextlib.suppress(OSError):
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.pwrite(self._descriptor, note, 0)

    def close(self) -> None:
        """Write no more; the note stays."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # some file systems say only now that there was no room
                os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Take the note away: nothing of the journal stands in a log any more."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def note_path(journal: Path) -> Path:
    """Where the note of a journal lies."""
    return journal.with_name(f"{journal.name}-committed")
