"""The journal: what is written is what is read, by any number of readers, whatever happens to the disk."""

import contextlib
import math
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuitrain.errors import UserError
from tuitrain.record import journal as journal_module
from tuitrain.record.events import (
    AnyEvent,
    Applied,
    End,
    GradientNorms,
    LogLine,
    ModuleRow,
    ModuleTree,
    Status,
    Step,
    Switches,
    Validation,
    Vitals,
)
from tuitrain.record.journal import SCHEMA_VERSION, Journal, News, Reader

ROOT = Path(__file__).parents[2]

numbers = (st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 5e-324])).map(lambda x: x + 0.0)
"""Any float but -0.0, whose sign SQLite does not keep."""
counts = st.integers(0, 2**53)
values = st.booleans() | st.floats(allow_nan=False) | st.text()
rows = st.builds(ModuleRow, path=st.text(), kind=st.just("parameter"), type=st.text(), count=counts)
events: st.SearchStrategy[AnyEvent] = st.one_of(
    st.builds(LogLine, stream=st.sampled_from(["run", "stdout", "stderr"]), text=st.text(), executed=counts),
    st.builds(Switches, values=st.dictionaries(st.text(), values)),
    st.builds(Applied, id=st.text(), word=st.text(), value=values, by=st.text(), time_s=numbers),
    st.builds(GradientNorms, norms=st.dictionaries(st.text(), numbers)),
    st.builds(ModuleTree, rows=st.lists(rows, max_size=3).map(tuple)),
    st.builds(Vitals, memory_bytes=counts, device_memory_bytes=st.none() | counts),
    st.builds(
        Validation, epoch=counts, mode=st.just("eval"), loss=numbers, accuracy=numbers, samples=counts,
        seconds=numbers, cause=st.just("asked"),
    ),
)  # fmt: skip


def step(executed: int, loss: float = 0.5, *, norm: float = 1.0, overfit: bool = False) -> Step:
    return Step(
        executed=executed, step=executed, epoch=1, time_s=executed / 100, loss=loss, norm_before=norm, norm_after=norm,
        max_norm=math.nan, lr=0.1, accuracy=math.nan, overfit=overfit,
    )  # fmt: skip


def same(one: Sequence[AnyEvent], other: Sequence[AnyEvent]) -> bool:
    """Whether both hold the same events, NaNs included, in the same order."""
    return repr(one) == repr(other)


def read_all(path: Path) -> News:
    with contextlib.closing(Reader(path)) as reader:
        return reader.poll()


def written(path: Path, count: int = 3000) -> list[Step]:
    """Write a finished journal of `count` steps and half as many events."""
    steps = [step(executed) for executed in range(1, count + 1)]
    with Journal(path) as journal:
        journal.steps(steps)
        for number in range(count // 2):
            journal.say(LogLine(stream="run", text=f"line {number}"))
    return steps


Action = list[tuple[float, bool]] | AnyEvent | int
"""Losses of some steps to record, an event to record, or the number of the reader that looks."""


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.tuples(numbers, st.booleans()), max_size=5) | events | st.integers(0, 1), max_size=30))
def test_two_readers_see_all_that_is_written_once_in_order_whenever_they_look(actions: list[Action]) -> None:
    steps: list[Step] = []
    said: list[AnyEvent] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        pytest.MonkeyPatch.context() as patch,
        contextlib.ExitStack() as undo,
    ):
        patch.setattr(journal_module, "COMMIT_INTERVAL_S", 0.0)
        path = Path(directory) / "journal.sqlite"
        journal = undo.enter_context(Journal(path))
        readers = [undo.enter_context(contextlib.closing(Reader(path))) for _ in range(2)]
        seen: list[list[News]] = [[], []]
        for action in actions:
            match action:
                case int():
                    seen[action].append(readers[action].poll())
                case list():
                    new = [step(len(steps) + 1 + n, loss, overfit=on) for n, (loss, on) in enumerate(action)]
                    steps += new
                    journal.steps(new)
                case _:
                    said.append(action)
                    journal.say(action)
        journal.close()
        for reader, news in zip(readers, seen, strict=True):
            news.append(reader.poll())
            assert same([step for part in news for step in part.steps], steps)
            events_seen = [event for part in news for event in part.events]
            assert same([event for event in events_seen if event.slot is None], [e for e in said if e.slot is None])
            assert same(latest_in_slots(events_seen), latest_in_slots(said))
            assert reader.poll() == News([], [])
        kept = {id(event) for event in latest_in_slots(said)}
        assert same(read_all(path).events, [event for event in said if event.slot is None or id(event) in kept])
        assert journal.trouble is None


def latest_in_slots(said: Sequence[AnyEvent]) -> list[AnyEvent]:
    """The last event of each slot, in the order in which these were said."""
    latest = {event.slot: index for index, event in enumerate(said) if event.slot is not None}
    return [said[index] for index in sorted(latest.values())]


def test_of_what_is_said_again_and_again_the_file_keeps_only_the_latest(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        for memory in range(1000):
            journal.say(Vitals(memory_bytes=memory))
            journal.say(LogLine(stream="run", text=str(memory)))
    events = read_all(tmp_path / "journal.sqlite").events
    assert [event.memory_bytes for event in events if isinstance(event, Vitals)] == [999]
    assert sum(isinstance(event, LogLine) for event in events) == 1000


def test_what_is_not_finite_survives(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    losses = [math.nan, math.inf, -math.inf, 0.0]
    with Journal(path) as journal:
        journal.steps([step(n, loss, norm=loss) for n, loss in enumerate(losses, 1)])
        journal.say(GradientNorms(norms={"a": math.nan, "b": math.inf}))
    steps, (norms,) = read_all(path)
    assert [str(step.loss) for step in steps] == [str(loss) for loss in losses]
    assert [str(step.norm_after) for step in steps] == [str(loss) for loss in losses]
    assert isinstance(norms, GradientNorms)
    assert math.isnan(norms.norms["a"])
    assert norms.norms["b"] == math.inf


def test_a_lone_surrogate_does_not_stop_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal.say(LogLine(stream="run", text="file \udce9.txt"))
        journal.say(Switches(values={"a\ud800": "b\ud800"}))
        journal.say(LogLine(stream="run", text="after"))
    first, switches, after = read_all(path).events
    assert first == LogLine(stream="run", text="file ?.txt")
    assert switches == Switches(values={"a?": "b?"})
    assert after == LogLine(stream="run", text="after")


def test_the_last_step_and_the_last_event_of_a_kind(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal, contextlib.closing(Reader(path)) as reader:
        assert reader.last_step() is None
        assert reader.last(Status) is None
        journal.steps([step(1), step(2, 0.25)])
        journal.say(Status(state="loading"))
        journal.say(LogLine(stream="run", text="x"))
        journal.say(Status(state="running"))
        journal.close()
        last, status = reader.last_step(), reader.last(Status)
        assert last is not None
        assert status is not None
        assert same([last, status], [step(2, 0.25), Status(state="running")])
        assert reader.last(End) is None


def test_closing_commits_everything_and_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    steps = written(path)
    assert [child.name for child in tmp_path.iterdir()] == ["journal.sqlite"]
    assert len(read_all(path).steps) == len(steps)


def test_a_reader_sees_a_commit_as_a_whole(tmp_path: Path) -> None:
    """While a transaction is open a reader sees nothing of it, and is not blocked by it."""
    path = tmp_path / "journal.sqlite"
    written(path, 4)
    with contextlib.closing(Reader(path)) as reader, contextlib.closing(sqlite3.connect(path)) as writer:
        reader.poll()
        writer.execute("INSERT INTO steps (executed, step, epoch, loss, overfit) VALUES (5, 5, 1, 0.5, 0)")
        assert reader.poll() == News([], [])
        writer.commit()
        assert [step.executed for step in reader.poll().steps] == [5]


FULL_DISK = """
import contextlib, queue, resource, sys
from pathlib import Path
from tests.record.test_journal import step
from tuitrain.record.events import LogLine
from tuitrain.record.journal import Journal

class Watched(Journal):
    changes = queue.SimpleQueue()
    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "trouble":
            self.changes.put(value)
    def wait(self, wanted):
        while True:
            trouble = self.changes.get(timeout=60)
            if wanted(trouble):
                return trouble

journal = Watched(Path(sys.argv[1]))
journal.steps([step(n) for n in range(1, 101)])
journal.say(LogLine(stream="run", text="before"))
#COMMITTED
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
for first in range(101, 20_001, 100):
    journal.steps([step(n) for n in range(first, first + 100)])
journal.say(LogLine(stream="run", text="while full"))
print(journal.wait(lambda trouble: trouble is not None))
"""

COMMITTED = """
from tuitrain.record.journal import Reader
with contextlib.closing(Reader(journal.path)) as reader:
    while reader.last(LogLine) is None:
        pass
"""

RECOVER = """
journal.steps([step(20_001)])
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.wait(lambda trouble: trouble is None)
journal.say(LogLine(stream="run", text="after"))
journal.close()
print(journal.trouble)
"""


def run_child(program: str, path: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_full_disk_is_said_and_nothing_is_lost_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    trouble, after = run_child(FULL_DISK + RECOVER, path)
    assert trouble.startswith(f"The journal {path} cannot be written (")
    assert "rollback" not in trouble
    assert trouble.endswith("; training goes on.")
    assert after == "None"
    news = read_all(path)
    assert [step.executed for step in news.steps] == list(range(1, 20_002))
    assert [event.text for event in news.events if isinstance(event, LogLine)] == ["before", "while full", "after"]


def test_a_disk_that_stays_full_keeps_what_was_committed_and_does_not_hang_the_end(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    (trouble,) = run_child(FULL_DISK.replace("#COMMITTED", COMMITTED) + "\njournal.close()\n", path)
    assert "cannot be written" in trouble
    steps = read_all(path).steps
    assert [step.executed for step in steps] == list(range(1, 101))


def not_readable(path: Path) -> str:
    with pytest.raises(UserError) as error, contextlib.closing(Reader(path)) as reader:
        reader.poll()
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "unable to open" in not_readable(tmp_path / "none.sqlite")
    assert not list(tmp_path.iterdir())


def test_a_directory(tmp_path: Path) -> None:
    not_readable(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x", b"not a database at all, but long enough to have a header " * 10])
def test_what_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    not_readable(path)
    assert path.read_bytes() == content


def test_a_foreign_database(tmp_path: Path) -> None:
    path = tmp_path / "foreign.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE steps (executed INTEGER)")
    assert "is not a journal of tuitrain" in not_readable(path)


def test_another_schema_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path, 4)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    message = not_readable(path)
    assert f"schema {SCHEMA_VERSION + 1}" in message
    assert f"reads schema {SCHEMA_VERSION}" in message


def test_a_truncated_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path)
    whole = path.read_bytes()
    for length in (*range(0, 200, 40), *range(200, len(whole), len(whole) // 23)):
        path.write_bytes(whole[:length])
        not_readable(path)


def test_a_damaged_page(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path)
    damaged = bytearray(path.read_bytes())
    damaged[4096 : 2 * 4096] = b"\xff" * 4096
    path.write_bytes(damaged)
    not_readable(path)


def test_an_event_of_an_unknown_kind(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path, 4)
    with contextlib.closing(sqlite3.connect(path)) as database:
        body = msgspec.msgpack.encode({"event": "from_the_future"})
        database.execute("INSERT INTO events (kind, body) VALUES ('FromTheFuture', ?)", (body,))
        database.commit()
    assert "damaged" in not_readable(path)


def test_a_journal_that_was_moved_can_still_be_read(tmp_path: Path) -> None:
    steps = written(tmp_path / "journal.sqlite")
    moved = tmp_path / "with space % and ? and #.sqlite"
    shutil.move(tmp_path / "journal.sqlite", moved)
    assert len(read_all(moved).steps) == len(steps)


def test_a_journal_is_never_written_over_another(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    steps = written(path)
    with pytest.raises(sqlite3.Error):
        Journal(path)
    assert len(read_all(path).steps) == len(steps)
