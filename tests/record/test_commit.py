"""Committing a journal at once, and going on from a checkpoint between two steps."""

import contextlib
import resource
import threading
from pathlib import Path

from tuitrain.record.events import Applied, Checkpoint, LogLine
from tuitrain.record.journal import Journal, Reader


def words(path: Path) -> list[str]:
    with contextlib.closing(Reader(path)) as reader:
        return [event.word for event in reader.poll().events if isinstance(event, Applied)]


def applied(word: str, executed: int = 3) -> Applied:
    return Applied(executed=executed, id=word, word=word, value=True, by="key")


def test_what_was_handed_in_can_be_read_when_commit_returns(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        for count in range(1, 20):
            journal.say(applied("clip"))
            journal.commit()
            assert words(journal.path) == ["clip"] * count


def test_several_threads_may_wait_for_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        threads = [threading.Thread(target=journal.commit) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        journal.say(applied("clip"))
    assert words(journal.path) == ["clip"]


def test_it_waits_for_no_disk_that_takes_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(tmp_path / "journal") as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            journal.say(applied("clip"))
            journal.commit()
            assert journal.trouble is not None, "it was tried"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert words(journal.path) == ["clip"], "later it was written"


def test_what_was_said_after_a_checkpoint_between_the_same_two_steps_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        journal.say(applied("clip"))
        journal.say(Checkpoint(executed=3, path="a", sha256="aa", bytes=1))
        journal.say(applied("shuffle"))
        journal.say(Checkpoint(executed=3, path="b", sha256="bb", bytes=1))
        journal.say(applied("eval"))
        journal.say(LogLine(executed=3, stream="run", text="kept"))
        journal.say(applied("register", executed=4))
    for digest, kept in (("unknown", ["clip", "shuffle", "eval"]), ("bb", ["clip", "shuffle"]), ("aa", ["clip"])):
        with Journal.reopen(path, executed=3, checkpoint=digest):
            assert words(path) == kept
    with contextlib.closing(Reader(path)) as reader:
        assert [event.text for event in reader.poll().events if isinstance(event, LogLine)] == ["kept"]
