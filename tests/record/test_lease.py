"""The lease: who lives, who is gone, of whom nothing is known; and of several who want a run, one gets it."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from tuitrain.errors import UserError
from tuitrain.record.lease import (
    LOCK,
    OWNER,
    Lease,
    owner_lives,
    owner_of,
    read_lease,
    release_lease,
    take_lease,
    write_lease,
)

TAKER = """
import sys
from pathlib import Path
from tuitrain.errors import UserError
from tuitrain.record.lease import take_lease
print("ready", flush=True)
for line in sys.stdin:
    try:
        take_lease(Path(line.rstrip("\\n")))
        print("taken", flush=True)
    except UserError as error:
        print(error, flush=True)
"""
"""Takes the lease of each directory it is told, and lives on."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="start times are read from /proc")


class Taker:
    """Another process that takes leases."""

    def __init__(self, executable: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            [executable, "-c", TAKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path])},
        )
        assert self.answer() == "ready"

    def ask(self, directory: Path) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{directory}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def take(self, directory: Path) -> str:
        self.ask(directory)
        return self.answer()


@contextlib.contextmanager
def taker(executable: str = sys.executable) -> Iterator[Taker]:
    other = Taker(executable)
    try:
        yield other
    finally:
        other.process.kill()
        other.process.communicate()


def put(directory: Path, lease: Lease) -> None:
    (directory / OWNER).write_bytes(msgspec.json.encode(lease))


@pytest.fixture
def own(tmp_path: Path) -> Lease:
    """This process's lease, as it is written."""
    write_lease(tmp_path)
    lease = read_lease(tmp_path)
    assert lease is not None
    return lease


def test_a_process_that_took_a_lease_lives_until_it_is_killed(tmp_path: Path) -> None:
    with taker() as other:
        assert other.take(tmp_path) == "taken"
        assert owner_of(tmp_path) == "lives"
        other.process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, other.process.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.Process(other.process.pid).status() == psutil.STATUS_ZOMBIE
        assert owner_of(tmp_path) == "gone"
        other.process.wait()
        assert owner_of(tmp_path) == "gone"
        take_lease(tmp_path)
        assert owner_lives(tmp_path)


@linux
def test_a_stopped_process_lives(tmp_path: Path) -> None:
    with taker() as other:
        other.take(tmp_path)
        other.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, other.process.pid, os.WSTOPPED | os.WNOWAIT)
        assert owner_lives(tmp_path)


@linux
def test_whatever_a_process_is_called_it_lives(tmp_path: Path) -> None:
    called = tmp_path / "a) Z (1 2"
    called.symlink_to(sys.executable)
    with taker(str(called)) as other:
        assert psutil.Process(other.process.pid).name() == called.name
        assert other.take(tmp_path) == "taken"
        assert owner_lives(tmp_path)


@linux
def test_a_start_time_is_one_that_no_setting_of_the_clock_moves(own: Lease) -> None:
    since_boot_s = own.started / os.sysconf("SC_CLK_TCK")
    assert psutil.boot_time() + since_boot_s == pytest.approx(psutil.Process().create_time(), abs=0.1)
    assert own.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_another_process_with_the_same_pid_is_not_the_owner(tmp_path: Path, own: Lease) -> None:
    tick = 1 if own.boot else 3
    for started in (own.started - tick, own.started + tick):
        put(tmp_path, msgspec.structs.replace(own, started=started))
        assert owner_of(tmp_path) == "gone"
        take_lease(tmp_path)
        assert owner_lives(tmp_path)


@pytest.mark.parametrize("pid", [-1, 0, 2**22 + 1, 2**40, 2**70])
def test_a_pid_that_none_can_have_is_gone(tmp_path: Path, own: Lease, pid: int) -> None:
    (tmp_path / OWNER).write_text(f'{{"pid":{pid},"started":1,"boot":"{own.boot}","namespace":"","host":"{own.host}"}}')
    assert not owner_lives(tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "lives"),
        ({"released": True}, "gone"),
        ({"boot": "another"}, "gone"),
        ({"boot": "another", "host": "elsewhere.example"}, "elsewhere"),
        pytest.param({"host": "elsewhere.example"}, "lives", marks=linux, id="renamed"),
        pytest.param({"namespace": "pid:[1]"}, "elsewhere", marks=linux, id="container"),
        pytest.param({"namespace": "pid:[1]", "boot": "another"}, "gone", marks=linux, id="container before a reboot"),
    ],
)
def test_what_is_known_of_an_owner_here_and_elsewhere(
    tmp_path: Path, own: Lease, change: dict[str, str], expected: str
) -> None:
    put(tmp_path, msgspec.structs.replace(own, **change))
    assert owner_of(tmp_path) == expected
    assert owner_lives(tmp_path) == (expected == "lives")


def test_a_run_that_may_go_on_elsewhere_is_not_taken_and_the_remedy_works(tmp_path: Path, own: Lease) -> None:
    put(tmp_path, msgspec.structs.replace(own, boot="another", host="elsewhere.example"))
    with pytest.raises(UserError) as error:
        take_lease(tmp_path)
    assert "elsewhere.example" in str(error.value)
    assert str(tmp_path / OWNER) in str(error.value)
    (tmp_path / OWNER).unlink()
    take_lease(tmp_path)
    assert owner_lives(tmp_path)


def test_a_run_that_lives_is_not_taken_from_its_process(tmp_path: Path) -> None:
    with taker() as other:
        assert other.take(tmp_path) == "taken"
        with pytest.raises(UserError) as error:
            take_lease(tmp_path)
        assert f"process {other.process.pid}" in str(error.value)
        assert "tuitrain watch" in str(error.value)
        lease = read_lease(tmp_path)
        assert lease is not None
        assert lease.pid == other.process.pid


def test_a_run_released_at_its_end_can_be_taken_though_its_process_lives(tmp_path: Path) -> None:
    take_lease(tmp_path)
    take_lease(tmp_path)  # its own already
    release_lease(tmp_path)
    assert not owner_lives(tmp_path)
    with taker() as other:
        assert other.take(tmp_path) == "taken"
        release_lease(tmp_path)  # not ours any more
        assert owner_lives(tmp_path)


def test_of_several_who_want_a_run_at_once_one_gets_it(tmp_path: Path) -> None:
    with taker() as one, taker() as other, taker() as third:
        for number in range(150):
            directory = tmp_path / str(number)
            directory.mkdir()
            for each in (one, other, third):
                each.ask(directory)
            answers = [each.answer() for each in (one, other, third)]
            assert sorted(answer == "taken" for answer in answers) == [False, False, True], answers
            lease = read_lease(directory)
            assert lease is not None
            assert lease.pid == (one, other, third)[answers.index("taken")].process.pid


def test_while_another_takes_a_run_it_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="resumed by another process just now"):
            take_lease(tmp_path)
        assert read_lease(tmp_path) is None
    take_lease(tmp_path)


def test_a_run_whose_directory_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        take_lease(tmp_path / "gone")
    assert str(tmp_path / "gone") in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"x", b"1 2", b"{}", b"[1]", b'{"pid":"1"}', b"\xff\xfe", b"\0" * 5000])
def test_without_a_readable_lease_nobody_lives(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / OWNER).write_bytes(content)
    assert owner_of(tmp_path) == "gone"


def test_a_lease_is_one_line_for_its_owner_alone_and_leaves_nothing_else_behind(tmp_path: Path, own: Lease) -> None:
    assert (tmp_path / OWNER).read_bytes().count(b"\n") == 1
    assert (tmp_path / OWNER).stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == [OWNER]
    assert own.host == socket.gethostname()
