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

from tests.record.tables import rows_of
from tuitrain.errors import UserError
from tuitrain.record import journal as journal_module
from tuitrain.record import rows
from tuitrain.record.curves import table_of
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
from tuitrain.record.reader import MOST_LINES
from tuitrain.record.rows import Said
from tuitrain.record.state import Curve, RunView

ROOT = Path(__file__).parents[2]

numbers = (st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 5e-324])).map(lambda x: x + 0.0)
"""Any float but -0.0, whose sign SQLite does not keep."""
counts = st.integers(0, 2**53)
values = st.booleans() | st.floats(allow_nan=False) | st.text()
module_rows = st.builds(ModuleRow, path=st.text(), kind=st.just("parameter"), type=st.text(), count=counts)
events: st.SearchStrategy[AnyEvent] = st.one_of(
    st.builds(LogLine, stream=st.sampled_from(["run", "stdout", "stderr"]), text=st.text(), executed=counts),
    st.builds(Switches, values=st.dictionaries(st.text(), values)),
    st.builds(Applied, id=st.text(), word=st.text(), value=values, by=st.text(), time_s=numbers),
    st.builds(GradientNorms, norms=st.dictionaries(st.text(), numbers)),
    st.builds(ModuleTree, rows=st.lists(module_rows, max_size=3).map(tuple)),
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
    with contextlib.closing(Reader(path, whole=True)) as reader:
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
    steps, (norms,), *_ = read_all(path)
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
        head = rows.read_head(writer)
        rows.write_blocks(writer, rows.blocks_of(table_of([step(n) for n in range(1, 6)]), 0))
        rows.write_head(writer, msgspec.structs.replace(head, executed=5))
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


FULL_FOR_LONG = """
import contextlib, resource, sys
from pathlib import Path
import tuitrain.record.journal as module
import tuitrain.record.waiting as waiting_module
from tests.record.test_journal import step
from tuitrain.record.events import LogLine

module.RETRY_INTERVAL_S = module.COMMIT_INTERVAL_S = 0.001
waiting_module.MOST_STEPS, waiting_module.MOST_LINES = 4000, 50

taken = []
commit = module.Journal._commit
def watched(self, waiting):
    trouble = commit(self, waiting)
    taken.append(waiting._steps.shape[1])
    return trouble
module.Journal._commit = watched

journal = module.Journal(Path(sys.argv[1]))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
for first in range(1, 100_001, 1000):
    steps = [step(n, 1e6 if n == 31_415 else 0.5) for n in range(first, first + 1000)]
    seen = len(taken)
    journal.steps(steps)
    journal.say(LogLine(stream="run", text=f"after {first}"))
    while len(taken) == seen:
        pass
print(max(taken))
print(journal.trouble)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.close()
print(journal.trouble)
"""


def test_a_disk_that_is_full_for_long_does_not_fill_the_memory_and_the_spikes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    most, while_full, after = run_child(FULL_FOR_LONG, path)
    assert int(most) <= 4000
    assert "cannot be written" in while_full
    assert "training goes on. Lost for good:" in while_full
    assert "steps for which there was no room" in while_full
    news = read_all(path)
    losses = {step.executed: step.loss for step in news.steps}
    assert losses[31_415] == 1e6
    assert losses[100_000] == 0.5
    lost = f"{100_000 - len(losses):,} steps for which there was no room"
    assert lost in after
    assert after.startswith(f"The journal {path} is not complete. Lost for good: ")
    assert "log lines for which there was no room" in after
    last = news.events[-1]
    assert isinstance(last, LogLine)
    assert last.text == "after 99001"


def test_a_step_that_was_recorded_before_does_not_stop_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal.steps([step(1), step(2), step(2), step(1), step(3)])
        journal.steps([msgspec.structs.replace(step(4), loss="none"), step(4)])
        journal.say(LogLine(stream="run", text="after"))
    news = read_all(path)
    assert [step.executed for step in news.steps] == [1, 2, 3, 4]
    assert len(news.events) == 1
    assert journal.trouble is not None
    assert "2 steps that were recorded before" in journal.trouble
    assert "1 steps that hold what no step holds" in journal.trouble


def recorded(path: Path, steps: int) -> None:
    """A run of so many steps that says something at each of them, and then ends."""
    with Journal(path) as journal:
        journal.say(Switches(values={"clip": False}))
        for executed in range(1, steps + 1):
            journal.steps([step(executed)])
            say_at(journal, executed)
        journal.say(Status(executed=steps, state="finished"))
        journal.say(the_end(steps))


def say_at(journal: Journal, executed: int) -> None:
    journal.say(LogLine(executed=executed, stream="run", text=f"line {executed}"))
    journal.say(Applied(executed=executed, id=str(executed), word="lr", value=0.1, by="key"))
    journal.say(Vitals(executed=executed, memory_bytes=executed))
    journal.say(Switches(executed=executed, values={"lr": float(executed)}))


def the_end(steps: int) -> End:
    return End(
        executed=steps, steps=steps, executed_steps=steps, val_accuracy=None, val_loss=None, weights_sha256=None,
        reason="all epochs done",
    )  # fmt: skip


def test_reopened_after_a_step_the_journal_holds_what_was_recorded_up_to_it_and_all_log_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    recorded(path, 10)
    with Journal.reopen(path, executed=6):
        steps, events, *_ = read_all(path)
    assert [step.executed for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [event.text for event in events if isinstance(event, LogLine)] == [f"line {n}" for n in range(1, 11)]
    assert [event.executed for event in events if isinstance(event, Applied)] == [1, 2, 3, 4, 5, 6]
    assert {type(event) for event in events} == {LogLine, Applied, Switches}
    with contextlib.closing(Reader(path)) as reader:
        switches, last = reader.last(Switches), reader.last_step()
        assert switches is not None
        assert switches.values == {"lr": 6.0}
        assert (reader.last(End), reader.last(Vitals), reader.last(Status)) == (None, None, None)
        assert last == step(6)


def test_an_end_goes_even_where_nothing_came_after_the_step(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    recorded(path, 4)
    with Journal.reopen(path, executed=4):
        kinds = {type(event) for event in read_all(path).events}
    assert kinds == {LogLine, Applied, Switches, Vitals, Status}


Life = tuple[int, int, bool]
"""Steps that are trained in it, how far back from there the next life begins, and whether the viewer looks between."""


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40), st.booleans()), min_size=1, max_size=4))
def test_a_viewer_that_polled_through_deaths_and_resumes_shows_what_a_fresh_one_shows(lives: list[Life]) -> None:
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as undo:
        path = Path(directory) / "journal.sqlite"
        Journal(path).close()
        reader = undo.enter_context(contextlib.closing(Reader(path)))
        view, executed = RunView(), 0
        for steps, back, looks in lives:
            with Journal.reopen(path, executed=executed) as journal:
                if looks:
                    view.update(reader.poll())
                for _ in range(steps):
                    executed += 1
                    journal.steps([step(executed, 1 / executed + len(lives))])
                    say_at(journal, executed)
                journal.say(Status(executed=executed, state="stopped"))
                journal.say(the_end(executed))
            if looks:
                view.update(reader.poll())
            executed = max(0, executed - back)
        view.update(reader.poll())
        fresh = RunView()
        with contextlib.closing(Reader(path)) as other:
            fresh.update(other.poll())
        assert shown(view) == shown(fresh)
        assert reader.poll() == News([], [])


def test_a_reader_that_polled_the_old_life_gets_all_anew_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    recorded(path, 10)
    with contextlib.closing(Reader(path)) as reader:
        assert not reader.poll().anew
        with Journal.reopen(path, executed=6) as journal:
            news = reader.poll()
            assert news.anew
            assert [step.executed for step in news.steps] == [1, 2, 3, 4, 5, 6]
            journal.steps([step(7, 9.0)])
        news = reader.poll()
        assert not news.anew
        assert same(news.steps, [step(7, 9.0)])


def test_what_is_skipped_counts_as_seen(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    recorded(path, 10)
    with contextlib.closing(Reader(path)) as reader:
        reader.skip()
        assert reader.poll() == News([], [])
        with Journal.reopen(path, executed=10) as journal:
            reader.skip()
            journal.steps([step(11)])
        assert reader.poll() == News([step(11)], [])


def test_of_very_many_log_lines_only_the_newest_are_given_but_to_a_reader_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        for number in range(MOST_LINES + 500):
            journal.say(LogLine(stream="run", text=str(number)))
            if number % 100 == 0:
                journal.say(Switches(values={"lr": float(number)}))
    with contextlib.closing(Reader(path)) as reader:
        events = reader.poll().events
    texts = [event.text for event in events if isinstance(event, LogLine)]
    assert texts == [str(number) for number in range(500, MOST_LINES + 500)]
    assert sum(isinstance(event, Switches) for event in events) == 15
    whole = read_all(path).events
    assert sum(isinstance(event, LogLine) for event in whole) == MOST_LINES + 500
    at = whole.index(Switches(values={"lr": 700.0}))
    assert whole[at - 1] == LogLine(stream="run", text="700")
    assert whole[at + 1] == LogLine(stream="run", text="701")


def shown(view: RunView) -> str:
    """All that a view knows but how often it began again, as text."""
    fields = {name: value for name, value in vars(view).items() if name not in ("curve", "traces", "told", "life")}
    columns = [view.curve.column(name).tolist() for name in Curve.COLUMNS]
    traces = [(name, each.stride, each.buckets.numbers.tolist(), each.buckets.table.tolist())
              for name, each in view.traces.curves.items()]  # fmt: skip
    return repr((fields, columns, traces, view.traces.executed, view.traces.before))


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to have a header " * 10])
def test_only_a_journal_can_be_reopened(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError, match="file"):
        Journal.reopen(path, executed=1)
    assert path.read_bytes() == content
    with pytest.raises(UserError, match="cannot be written"):
        Journal.reopen(tmp_path / "none", executed=1)
    assert [child.name for child in tmp_path.iterdir()] == ["file"]


def test_a_damaged_journal_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE steps SET body = zeroblob(100) WHERE number = 2000 / 64")
        database.commit()
    damaged = rows_of(path)
    with pytest.raises(UserError, match="damaged"):
        Journal.reopen(path, executed=2000)
    assert rows_of(path) == damaged


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
        rows.write_head(database, rows.write_events(database, rows.read_head(database), [Said("Future", None, body)]))
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
