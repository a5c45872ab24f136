"""A journal of which bytes changed or went missing: one sentence, or what was recorded. Never an error of another kind,
never anything else than what was recorded.
"""

import contextlib
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.record.tables import random_table
from tests.ui.fake_run import fake_events
from tuitrain.errors import UserError
from tuitrain.record.curves import steps_of
from tuitrain.record.events import End, LogLine, Run, Status
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.reader import MOST_STEPS

PAGE = 4096


def make(path: Path, steps: int) -> bytes:
    """The bytes of a finished journal."""
    with Journal(path) as journal:
        journal.steps(steps_of(random_table(steps)))
        for event in fake_events(steps, end=True):
            journal.say(event)
        for number in range(300):
            journal.say(LogLine(stream="stdout", text=f"line {number} " * 5))
    return path.read_bytes()


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make(tmp_path_factory.mktemp("short") / "journal.sqlite", 1500)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of one that is read as an overview."""
    return make(tmp_path_factory.mktemp("long") / "journal.sqlite", MOST_STEPS + 1)


def seen(path: Path) -> list[object]:
    """Everything that can be read."""
    with contextlib.closing(Reader(path)) as reader:
        last = [reader.last_step(), *(reader.last(kind) for kind in (End, Status, LogLine, Run))]
        steps, events, overview, anew = reader.poll()
        curves = [(each.numbers.tolist(), each.table.tobytes()) for each in overview.curves] if overview else []
        return [repr(last), repr(steps), repr(events), curves, overview and overview[3], anew, reader.poll()]


def check(path: Path, bytes_: bytes, expected: list[object]) -> bool:
    """Whether the damage was told; if it was not, all that is read must be as expected."""
    path.write_bytes(bytes_)
    try:
        found, told = seen(path), ""
    except UserError as error:
        found, told = [], str(error)
    if told:
        assert str(path) in told
        assert "\n" not in told
    else:
        assert found == expected
    return bool(told)


def flipped(whole: bytes, at: int, mask: int) -> bytes:
    damaged = bytearray(whole)
    damaged[at] ^= mask
    return bytes(damaged)


@pytest.mark.parametrize(("name", "rounds"), [("short", 500), ("long", 120)])
def test_a_changed_byte_anywhere(name: str, rounds: int, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    whole, choose = request.getfixturevalue(name), random.Random(f"{name} flips")
    (tmp_path / "whole").write_bytes(whole)
    expected = seen(tmp_path / "whole")

    def anywhere() -> int:
        return choose.randrange(len(whole))

    def in_the_schema() -> int:
        return choose.randrange(PAGE)

    def in_the_head_of_a_page() -> int:
        return choose.randrange(len(whole) // PAGE) * PAGE + choose.randrange(40)

    places: list[Callable[[], int]] = [anywhere, in_the_schema, in_the_head_of_a_page]
    told = [
        check(tmp_path / "copy", flipped(whole, places[number % 3](), choose.randrange(1, 256)), expected)
        for number in range(rounds)
    ]
    assert sum(told) > rounds / 5, "almost nothing was told: most of the file holds what is read"


@pytest.mark.parametrize("name", ["short", "long"])
def test_a_journal_that_ends_early(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    whole = request.getfixturevalue(name)
    pages = len(whole) // PAGE
    for page in range(0, pages, max(1, pages // 40)):
        for length in (page * PAGE - 1, page * PAGE, page * PAGE + 1, page * PAGE + 100):
            assert check(tmp_path / "copy", whole[: max(0, length)], [])


@pytest.mark.parametrize("table", ["steps", "events", "lines", "head"])
def test_a_row_that_is_gone_or_stands_elsewhere_is_missed(table: str, long: bytes, tmp_path: Path) -> None:
    """Rows whose bytes are as written, and which SQLite finds nothing wrong with."""
    path = tmp_path / "journal.sqlite"
    for change in (
        f"DELETE FROM {table} WHERE rowid = (SELECT {{}}(rowid) FROM {table})",
        f"UPDATE {table} SET rowid = rowid + 1000000 WHERE rowid = (SELECT {{}}(rowid) FROM {table})",
    ):
        for which in ("min", "max"):
            path.write_bytes(long)
            statement = change.format(which)
            with contextlib.closing(sqlite3.connect(path)) as database:
                assert database.execute(statement).rowcount == 1
                database.commit()
            with pytest.raises(UserError, match="damaged"):
                seen(path)
