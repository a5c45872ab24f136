"""A run of which bytes changed or went missing, at every command: a sentence, or what was there. Nothing else."""

import contextlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.detached import Said, say
from tests.e2e.forked import say_at_once
from tests.e2e.terminal import Terminal, environment, tuitrain
from tests.ui.fake_run import fake_events, fake_steps, own_steps
from tuitrain.record.committed import NoteWriter
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.rows import Head
from tuitrain.record.runs import CHECKPOINTS, JOURNAL

PAGE = 4096
TIMES = 100
COMMANDS: tuple[tuple[str, ...], ...] = (("watch",), ("watch", "--json"), ("logs",), ("stop",))
STEPS = 60
RUN = ("mnist", "--threads", "1", "--batch-size", "8", "--steps", str(STEPS), "--checkpoint-every", "20", "--headless")

Damage = Callable[[random.Random, bytes], bytes]


class Recorded(NamedTuple):
    """A run that ended, where what it keeps lies, and what is said of it."""

    home: Path
    name: str
    said: dict[tuple[str, ...], Said]
    listed: dict[str, object]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    home = tmp_path_factory.mktemp("recorded")
    assert say(home, *RUN).code == 0
    (journal,) = home.rglob(JOURNAL)
    name = journal.parent.name
    said = {words: say_at_once(home, *words, name) for words in COMMANDS}
    assert {each.code for each in said.values()} == {0}
    assert f"step {STEPS}" in said["watch",].out
    return Recorded(home, name, said, listing(home))


def listing(home: Path) -> dict[str, object]:
    """What ls says of the one run there is."""
    said = say_at_once(home, "ls", "--json")
    assert (said.code, said.err) == (0, "")
    listed = json.loads(said.out)
    assert isinstance(listed, dict)
    return listed


def a_bit_anywhere(chance: random.Random, whole: bytes) -> bytes:
    return flipped(whole, chance.randrange(len(whole)), chance)


def a_bit_of_the_schema(chance: random.Random, whole: bytes) -> bytes:
    return flipped(whole, chance.randrange(PAGE), chance)


def a_bit_of_a_page_s_head(chance: random.Random, whole: bytes) -> bytes:
    return flipped(whole, chance.randrange(len(whole) // PAGE) * PAGE + chance.randrange(40), chance)


def the_end_gone(chance: random.Random, whole: bytes) -> bytes:
    return whole[: chance.randrange(len(whole))]


def all_zero_from_somewhere_on(chance: random.Random, whole: bytes) -> bytes:
    return whole[: (kept := chance.randrange(len(whole)))] + bytes(len(whole) - kept)


def flipped(whole: bytes, at: int, chance: random.Random) -> bytes:
    damaged = bytearray(whole)
    damaged[at] ^= 1 << chance.randrange(8)
    return bytes(damaged)


@pytest.mark.parametrize(
    "damage",
    [a_bit_anywhere, a_bit_of_the_schema, a_bit_of_a_page_s_head, the_end_gone, all_zero_from_somewhere_on],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_journal(damage: Damage, recorded: Recorded, tmp_path: Path) -> None:
    chance = random.Random(damage.__name__)
    whole = (run_in(recorded.home) / JOURNAL).read_bytes()
    told = 0
    for number in range(TIMES // 5):
        home = copy_of(recorded, tmp_path / str(number))
        journal = run_in(home) / JOURNAL
        journal.write_bytes(damage(chance, whole))
        words = COMMANDS[number % len(COMMANDS)]
        told += check(say_at_once(home, *words, recorded.name), recorded.said[words], journal)
        listed = listing(home)
        if listed != recorded.listed:
            assert (listed["name"], listed["state"], listed["steps"]) == (recorded.name, "unreadable", 0)
    assert told


def check(said: Said, expected: Said, journal: Path) -> bool:
    """Whether the damage was told, in one sentence that names the file; if not, all must be said as before."""
    if said == expected:
        return False
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("tuitrain: ")
    assert str(journal) in said.err
    assert said.err.count("\n") == 1
    return True


def test_the_log_of_a_run_that_was_killed_is_damaged(tmp_path: Path) -> None:
    """SQLite drops what follows the damage without a word: every command says that it is gone."""
    journal = a_killed_run(tmp_path)
    name, log = journal.parent.name, journal.with_name(f"{JOURNAL}-wal")
    assert listing(tmp_path)["state"] == f"died at step {own_steps(STEPS, STEPS)}"
    whole = log.read_bytes()
    log.write_bytes(flipped(whole, len(whole) // 2, random.Random(0)))
    with contextlib.closing(Reader(journal)) as reader:
        left = len(reader.poll().steps)
    assert 0 < left < STEPS
    lost = f"of {STEPS} steps that were recorded {left} can be read"
    died = f"{name} died, {lost}; tuitrain resume {name} goes on from step "
    for words, code in zip(COMMANDS, (1, 1, 0, 1), strict=True):
        said = say_at_once(tmp_path, *words, name)
        assert (said.code, said.err.count("\n")) == (code, 1)
        assert said.err.removeprefix("tuitrain: ").removeprefix("there is nothing to stop: ").startswith(died)
    assert listing(tmp_path)["state"] == f"died, {lost}"
    with Terminal(tuitrain("watch", name), environment(tmp_path)) as viewer:
        told = "".join(f"The end of the journal {journal} is missing: {lost}.".split())
        viewer.wait_until(lambda: told in "".join(viewer.text.split()), "what is missing")
        viewer.press("q")
        assert viewer.wait_end() == 0


def test_an_older_copy_of_a_journal_was_put_back(recorded: Recorded, tmp_path: Path) -> None:
    home = copy_of(recorded, tmp_path / "copy")
    journal = run_in(home) / JOURNAL
    with contextlib.closing(NoteWriter(journal)) as note:
        note.write(Head(executed=STEPS, event_id=1_000_000))
    lost = f"{STEPS} steps can be read, and not what was recorded last"
    for words in COMMANDS[:-1]:
        told = recorded.said[words]._replace(err=f"tuitrain: The end of the journal {journal} is missing: {lost}.\n")
        assert say_at_once(home, *words, recorded.name) == told
    assert listing(home)["state"] == f"finished, {lost}"


def a_killed_run(home: Path) -> Path:
    """The journal of a run whose process is gone, with most of it in the log beside it."""
    live, directory = home / "live", home / "state" / "tuitrain" / "runs" / "killed"
    live.mkdir()
    with Journal(live / JOURNAL) as journal:
        for event in fake_events(STEPS):
            journal.say(event)
        for step in fake_steps(STEPS):
            journal.steps([step])
            journal.commit()
        shutil.copytree(live, directory)
    return directory / JOURNAL


@pytest.mark.parametrize("what", [JOURNAL, "order.json"])
def test_what_a_run_needs_to_go_on_is_damaged(what: str, recorded: Recorded, tmp_path: Path) -> None:
    home = copy_of(recorded, tmp_path / "copy")
    path = run_in(home) / what
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    before = files_in(home)
    said = say_at_once(home, "resume", recorded.name, "--steps", str(STEPS + 10), "--headless")
    assert said.code == 2
    assert said.err.startswith("tuitrain: ")
    assert recorded.name in said.err
    assert said.err.count("\n") == 1
    assert files_in(home) == before


def test_checkpoints_are_damaged(recorded: Recorded, tmp_path: Path) -> None:
    chance = random.Random(0)
    homes = [copy_of(recorded, tmp_path / name) for name in ("newest", "all")]
    damaged = [checkpoints_in(homes[0])[-1:], checkpoints_in(homes[1])]
    for path in (path for paths in damaged for path in paths):
        damage = chance.choice((a_bit_anywhere, the_end_gone))
        path.write_bytes(damage(chance, path.read_bytes()))
    journal = run_in(homes[0]) / JOURNAL
    with contextlib.closing(NoteWriter(journal)) as note:
        note.write(Head(executed=STEPS + 500))  # as where an older copy of the journal was put back
    with ThreadPoolExecutor(2) as pool:
        words = ("resume", recorded.name, "--steps", str(STEPS + 10), "--headless")
        newest, all_ = pool.map(lambda home: say(home, *words), homes)

    lost = f"of {STEPS + 500} steps that were recorded {STEPS} can be read"
    assert (newest.code, newest.err) == (0, f"tuitrain: The end of the journal {journal} is missing: {lost}.\n")
    assert f"step-{STEPS:09d}.pt cannot be resumed from: it is damaged" in newest.out
    assert f"Resumed at step {STEPS - 20} from step-{STEPS - 20:09d}.pt" in newest.out
    assert (listing(homes[0])["steps"], listing(homes[0])["state"]) == (STEPS + 10, "finished")

    assert all_.code == 2
    assert all_.err.startswith(f"tuitrain: None of 3 checkpoints in {run_in(homes[1]) / CHECKPOINTS} can be resumed")
    assert all_.err.count("\n") == 1
    assert "Traceback" not in all_.out


def copy_of(recorded: Recorded, home: Path) -> Path:
    shutil.copytree(recorded.home, home)
    return home


def run_in(home: Path) -> Path:
    (journal,) = home.rglob(JOURNAL)
    return journal.parent


def checkpoints_in(home: Path) -> list[Path]:
    return sorted((run_in(home) / CHECKPOINTS).glob("*.pt"))


def files_in(home: Path) -> dict[Path, bytes]:
    """Everything a run has written."""
    paths: Iterator[Path] = run_in(home).rglob("*")
    return {path: path.read_bytes() for path in paths if path.is_file()}
