"""A journal whose writer was killed, and of whose log bytes changed: all is there, or a sentence says what is not."""

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.record.tables import random_table
from tests.record.test_damage import flipped
from tuitrain.errors import UserError
from tuitrain.record import committed, file
from tuitrain.record.committed import Note, note_path
from tuitrain.record.curves import steps_of
from tuitrain.record.events import LogLine, Step
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.runs import JOURNAL, summarise
from tuitrain.record.store import Store

PARTS, PART = 30, 50
STEPS = PARTS * PART
TABLE = random_table(STEPS + PART)
FLIPS = 30
GOES_ON = 0.25
"""Of what is damaged, the share in which the run goes on."""


class Files(dict[str, bytes]):
    """The files of a journal whose writer was killed: each name's ending, and what is in the file."""

    @classmethod
    def of(cls, journal: Path) -> "Files":
        return cls((path.name.removeprefix(JOURNAL), path.read_bytes()) for path in journal.parent.iterdir())

    def put(self, directory: Path, **changed: bytes | None) -> Path:
        """In a directory of their own, one of them changed or left out."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for ending, content in (self | {f"-{name}": content for name, content in changed.items()}).items():
            if content is not None:
                (directory / f"{JOURNAL}{ending}").write_bytes(content)
        return directory / JOURNAL


def write_part(journal: Journal, number: int) -> None:
    """A commit of some steps and a line."""
    journal.steps(steps_of(TABLE[:, number * PART : (number + 1) * PART]))
    journal.say(LogLine(stream="run", text=f"part {number}", executed=(number + 1) * PART))
    journal.commit()


def work_in_the_log(path: Path) -> None:
    """What the writer does itself once the log is long: it stays as it is, until the next commit overwrites it."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0


def killed(path: Path, *, worked_in_after: int | None = None) -> Files:
    """A journal as it is where its writer is killed."""
    path.parent.mkdir(exist_ok=True)
    with Journal(path) as journal:
        for number in range(PARTS):
            write_part(journal, number)
            if number + 1 == worked_in_after:
                work_in_the_log(path)
        return Files.of(path)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """All but the tables stands in the log."""
    return killed(tmp_path_factory.mktemp("short") / JOURNAL)


@pytest.fixture(scope="module")
def worked_in(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """All that stands in the log is in the journal, too, and still read from the log."""
    return killed(tmp_path_factory.mktemp("worked in") / JOURNAL, worked_in_after=PARTS)


@pytest.fixture(scope="module")
def begun_anew(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The log holds what is new, followed by what is in the journal and of no more use."""
    return killed(tmp_path_factory.mktemp("begun anew") / JOURNAL, worked_in_after=2 * PARTS // 3)


def read(path: Path) -> tuple[int, list[str], str | None]:
    """How many steps can be read, the lines, and what is said to be missing."""
    with contextlib.closing(Reader(path, whole=True)) as reader:
        steps, events, _, _ = reader.poll()
    assert [step.executed for step in steps] == list(range(1, len(steps) + 1))
    lines = [event.text for event in events if isinstance(event, LogLine)]
    return len(steps), lines, reader.missing and reader.missing.sentence


def is_told(path: Path) -> bool:
    """Whether it is said that something is missing or damaged; if not, all must be there."""
    try:
        found, lines, told = read(path)
    except UserError as error:
        found, lines, told = 0, [], str(error)
    if told is None:
        assert (found, lines) == (STEPS, [f"part {number}" for number in range(PARTS)])
    elif found < STEPS and "damaged" not in told:
        assert told == (
            f"The end of the journal {path} is missing: of {STEPS:,} steps that were recorded {found:,} can be read."
        )
    assert told is None or str(path) in told
    return told is not None


@pytest.mark.parametrize("name", ["short", "worked_in", "begun_anew"])
def test_a_changed_byte_anywhere_in_the_log(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    files, chance = request.getfixturevalue(name), random.Random(f"{name} log")
    assert not is_told(files.put(tmp_path / "whole"))
    told = 0
    for _ in range(FLIPS):
        at = chance.randrange(len(files["-wal"]))
        path = files.put(tmp_path / "copy", wal=flipped(files["-wal"], at, 1 << chance.randrange(8)))
        told += is_told(path)
        if chance.random() < GOES_ON:
            goes_on(path)
    assert told > FLIPS / 4


def goes_on(path: Path) -> None:
    """The run goes on in what is left, or it is said that it cannot."""
    try:
        with Journal.reopen(path, executed=0) as journal:
            write_part(journal, 0)
    except UserError as error:
        said = str(error)
    else:
        assert journal.trouble is None
        found, lines, told = read(path)
        assert (found, lines[-1], told) == (PART, "part 0", None)
        said = journal.missing or str(path)
    assert str(path) in said


def test_a_log_that_ends_early_or_is_gone(short: Files, tmp_path: Path) -> None:
    log = short["-wal"]
    for length in range(0, len(log), len(log) // 20):
        assert is_told(short.put(tmp_path / "copy", wal=log[:length]))
    assert is_told(short.put(tmp_path / "copy", wal=None))
    assert read(short.put(tmp_path / "copy", wal=None, shm=None, committed=None)) == (0, [], None), "copied alone"


def test_an_event_that_is_gone_is_missed_where_all_steps_are_there(tmp_path: Path) -> None:
    path = tmp_path / "live" / JOURNAL
    path.parent.mkdir()
    with Journal(path) as journal:
        write_part(journal, 0)
        before = Files.of(path)["-wal"]
        journal.say(LogLine(stream="run", text="the last"))
        journal.commit()
        copy = Files.of(path).put(tmp_path / "copy", wal=before)
    assert read(copy) == (
        PART,
        ["part 0"],
        f"The end of the journal {copy} is missing: {PART} steps can be read, and not what was recorded last.",
    )


def test_a_note_that_is_damaged_is_said_to_be_one_that_is_missing_is_no_fault(short: Files, tmp_path: Path) -> None:
    note = short["-committed"]
    assert read(short.put(tmp_path / "copy", committed=None))[2] is None
    assert read(short.put(tmp_path / "copy", committed=b""))[2] is None, "the disk was full"
    damaged = [flipped(note, at, 0x10) for at in range(len(note))]
    for content in (*damaged, note[:-1], note[:3], note + b"\0", bytes(len(note)), b"\xff" * 10_000):
        path = short.put(tmp_path / "copy", committed=content)
        assert read(path)[2] == (
            f"The end of the journal {path} may be missing: {note_path(path)}, which tells how far it goes, is damaged."
        )


def test_a_note_that_is_just_being_written_is_looked_at_again(
    short: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = short.put(tmp_path / "copy")
    half = tmp_path / "half"
    half.write_bytes(short["-committed"][:20] + bytes(8))
    looks = iter([half, note_path(path)])
    monkeypatch.setattr(committed, "note_path", lambda journal: next(looks))
    assert Note.beside(path) == Note(life=1, executed=STEPS, event_id=PARTS)


def test_what_is_listed(short: Files, tmp_path: Path) -> None:
    log = short["-wal"]
    path = short.put(tmp_path / "run", wal=flipped(log, len(log) // 2, 1))
    steps, _, _ = read(path)
    assert 0 < steps < STEPS
    assert summarise(path.parent).steps == steps
    assert summarise(path.parent).state == (f"died, of {STEPS:,} steps that were recorded {steps:,} can be read")


def test_a_run_that_goes_on_in_it_says_what_is_missing_for_good(short: Files, tmp_path: Path) -> None:
    log = short["-wal"]
    path = short.put(tmp_path / "run", wal=flipped(log, len(log) // 2, 1))
    steps, lines, told = read(path)
    with Journal.reopen(path, executed=STEPS) as journal:
        assert journal.missing == told
        journal.steps(steps_of(TABLE[:, STEPS:]))
    assert not note_path(path).exists()
    with contextlib.closing(Reader(path, whole=True)) as reader:
        found, events, _, _ = reader.poll()
    assert [step.executed for step in found] == [*range(1, steps + 1), *range(STEPS + 1, STEPS + PART + 1)]
    assert [event.text for event in events if isinstance(event, LogLine)] == [*lines, told]
    last = found[steps - 1]
    assert (events[-1].executed, events[-1].step, events[-1].time_s) == (last.executed, last.step, last.time_s)
    assert reader.missing is None
    with Journal.reopen(path, executed=STEPS) as journal:
        assert journal.missing is None


def test_the_note_follows_a_run_that_goes_on_from_an_earlier_step(short: Files, tmp_path: Path) -> None:
    path = short.put(tmp_path / "run")
    with Journal.reopen(path, executed=PART) as journal:
        assert Note.beside(path) == Note(life=2, executed=PART, event_id=PARTS)
        once_more = Files.of(path)
        assert read(once_more.put(tmp_path / "copy"))[0::2] == (PART, None)
        stale = once_more.put(tmp_path / "copy", committed=short["-committed"])
        assert read(stale)[0::2] == (PART, None), "killed before it was noted that the run goes on"
        journal.steps(steps_of(TABLE[:, PART : 2 * PART]))
        journal.commit()
        went_on = Files.of(path)
    assert read(went_on.put(tmp_path / "copy"))[0::2] == (2 * PART, None)
    copy = went_on.put(tmp_path / "copy", wal=once_more["-wal"])
    assert "of 100 steps that were recorded 50 can be read." in str(read(copy)[2])
    copy = went_on.put(tmp_path / "copy", wal=short["-wal"])
    assert f"{STEPS:,} steps can be read, and not what was recorded last." in str(read(copy)[2])


@pytest.fixture
def without_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that carries no WAL."""
    set_mode = file._set_mode
    monkeypatch.setattr(file, "_set_mode", lambda database, mode: set_mode(database, "DELETE"))


@pytest.mark.usefixtures("without_wal")
def test_without_a_log_an_older_copy_is_missed_as_well(tmp_path: Path) -> None:
    path = tmp_path / "live" / JOURNAL
    path.parent.mkdir()
    with Journal(path) as journal:
        write_part(journal, 0)
        older = Files.of(path)
        assert sorted(older) == ["", "-committed"]
        write_part(journal, 1)
        newer = Files.of(path)
    assert read(newer.put(tmp_path / "copy"))[0::2] == (2 * PART, None)
    copy = Files(newer | {"": older[""]}).put(tmp_path / "copy")
    assert "of 100 steps that were recorded 50 can be read." in str(read(copy)[2])
    assert not note_path(path).exists(), "the file alone holds everything"


def test_a_journal_in_the_place_of_another_has_a_note_of_its_own(short: Files, tmp_path: Path) -> None:
    path = short.put(tmp_path / "run")
    with pytest.raises(sqlite3.OperationalError):
        Journal(path)
    assert not is_told(path)
    assert note_path(path).exists(), "it is the other's still"
    for ending in ("", "-wal", "-shm"):
        path.with_name(f"{JOURNAL}{ending}").unlink()
    file.create(path).close()  # killed just here
    assert read(path) == (0, [], None)


@contextlib.contextmanager
def looked_at(path: Path, store: Store) -> Iterator[None]:
    """A viewer is in the middle of a look all the while, and is not waited for."""
    store._database.execute("PRAGMA busy_timeout = 0")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as viewer:
        viewer.execute("BEGIN")
        viewer.execute("SELECT * FROM head").fetchall()
        yield


@pytest.mark.usefixtures("without_wal")
def test_what_could_not_be_committed_is_not_noted(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    with contextlib.closing(Store.create(path, None)) as store:
        store.commit(TABLE[:, :PART], [])
        with looked_at(path, store), pytest.raises(sqlite3.OperationalError, match="locked"):
            store.commit(TABLE[:, PART : 2 * PART], [])
        assert Note.beside(path) == Note(life=1, executed=PART, event_id=0)
        store.commit(TABLE[:, PART : 2 * PART], [])
        assert Note.beside(path) == Note(life=1, executed=2 * PART, event_id=0)


def test_what_stays_in_the_log_at_the_end_stays_noted(tmp_path: Path) -> None:
    path = tmp_path / "ended" / JOURNAL
    path.parent.mkdir()
    store = Store.create(path, None)
    with looked_at(path, store):
        store.commit(TABLE[:, :PART], [])
        store.close()
        copy = Files.of(path).put(tmp_path / "copy", wal=None)
    assert f"of {PART} steps that were recorded 0 can be read." in str(read(copy)[2])


def test_the_note_is_read_before_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed between the two looks is not missing."""
    path = tmp_path / JOURNAL
    with Journal(path) as journal, contextlib.closing(Reader(path)) as watching:
        parts, beside = iter(range(PARTS)), Note.beside

        def commit_and_look(journal_path: Path) -> Note:
            write_part(journal, next(parts))
            return beside(journal_path)

        monkeypatch.setattr(Note, "beside", commit_and_look)
        for count in range(1, 4):
            watching.poll()
            assert watching.missing is None
            assert isinstance(step := watching.last_step(), Step)
            assert step.executed == 2 * count * PART
            assert watching.missing is None


def test_where_no_note_can_be_written_the_journal_is(tmp_path: Path) -> None:
    path = tmp_path / "live" / JOURNAL
    path.parent.mkdir()
    with Journal(path) as journal:
        write_part(journal, 0)
        journal.close()
    note_path(path).mkdir()
    with Journal.reopen(path, executed=PART) as journal:
        assert journal.missing is not None
        assert journal.missing.startswith(f"The end of the journal {path} may be missing: {note_path(path)}, which")
        write_part(journal, 1)
        assert journal.trouble is None
    found, _, told = read(path)
    assert found == 2 * PART
    assert "cannot be read ([Errno 21] Is a directory" in str(told)
