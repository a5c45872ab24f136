"""Sockets for one user alone: where they lie, whose they are, and which of several processes gets one."""

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.record.sockets import NOBODY, as_root, child, line, own_places, tell
from tuitrain.record.unix_socket import (
    CONTROL,
    MOST_PATH_BYTES,
    NoSocket,
    connect_to,
    listen_at,
    make_private,
    peer_of,
    record_path,
    recorded_path,
    socket_path,
)

LISTENER = """
import sys
from pathlib import Path
from tuitrain.record.unix_socket import NoSocket, listen_at
print("ready", flush=True)
for line in sys.stdin:
    try:
        listener = listen_at(Path(line.rstrip("\\n")))
        print("listens", flush=True)
    except NoSocket as error:
        print(error, flush=True)
"""
"""Listens at each path it is told, until it is told the next."""

NOBODY_LISTENS = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534); os.umask(0)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listens", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Path]:  # which has been made where the environment says
    with own_places() as place:
        yield place


def listens(path: Path) -> bool:
    """Whether somebody can be reached at `path`."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(os.fspath(path)) == 0


def stale(path: Path) -> None:
    """What a process leaves that was killed while it listened."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(path))
        left.listen()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_socket_lies_in_the_runtime_directory_for_its_user_alone(places: Path) -> None:
    path = socket_path(Path("run"))
    assert path.parent == places / "runtime" / "tuitrain"
    assert mode_of(path.parent) == 0o700
    with listen_at(path):
        assert mode_of(path) == 0o600
        assert stat.S_ISSOCK(path.lstat().st_mode)
        assert listens(path)


def test_each_run_has_a_place_of_its_own_however_it_is_named(
    places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    assert socket_path(Path("one")) == socket_path(tmp_path / "one") == socket_path(tmp_path / "link")
    assert socket_path(Path("one")) != socket_path(Path("other"))


def test_where_the_environment_names_no_directory_there_is_one_all_the_same(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with listen_at(socket_path(Path("run"))) as listener:
        assert mode_of(Path(listener.getsockname()).parent) == 0o700
        os.unlink(listener.getsockname())


def test_a_directory_of_ours_that_others_could_enter_is_closed_to_them(places: Path) -> None:
    (places / "runtime" / "tuitrain").mkdir()
    (places / "runtime" / "tuitrain").chmod(0o755)
    assert socket_path(Path("run")).parent == places / "runtime" / "tuitrain"
    assert mode_of(places / "runtime" / "tuitrain") == 0o700


def as_link(directory: Path) -> None:
    (directory.parent / "target").mkdir(mode=0o700)
    directory.symlink_to(directory.parent / "target")


def as_file(directory: Path) -> None:
    directory.write_text("")


def as_nobodys(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)


def below_nobodys(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory.parent, NOBODY, NOBODY)


def below_nobodys_link(directory: Path) -> None:
    directory.parent.rename(directory.parent.with_name("elsewhere"))
    directory.parent.symlink_to("elsewhere")
    os.lchown(directory.parent, NOBODY, NOBODY)


wrong_places = pytest.mark.parametrize(
    "make_wrong",
    [
        as_link,
        as_file,
        pytest.param(as_nobodys, marks=as_root),
        pytest.param(below_nobodys, marks=as_root),
        pytest.param(below_nobodys_link, marks=as_root),
    ],
)


@wrong_places
def test_a_directory_that_is_not_this_users_alone_is_refused(places: Path, make_wrong: Callable[[Path], None]) -> None:
    directory = places / "runtime" / "tuitrain"
    make_wrong(directory)
    with pytest.raises(NoSocket) as error:
        make_private(directory)
    assert str(places / "runtime") in str(error.value)
    assert socket_path(Path("run")).is_relative_to(places / "temporary")
    assert not (places / "runtime" / "target").exists() or not list((places / "runtime" / "target").iterdir())


def test_where_every_directory_is_refused_each_is_named(places: Path) -> None:
    own = f"tuitrain-{os.geteuid()}"
    directories = [places / "runtime" / "tuitrain", places / "temporary" / own, places / "last" / own]
    for directory in directories:
        as_file(directory)
    with pytest.raises(NoSocket) as error:
        socket_path(Path("run"))
    assert all(str(directory) in str(error.value) for directory in directories)


def test_a_path_too_long_for_a_socket_is_not_chosen(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = places / ("x" * MOST_PATH_BYTES)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", str(long))
    monkeypatch.setenv("TMPDIR", str(long))
    path = socket_path(Path("run"))
    assert path.parent.parent == places / "last"
    longest = path.with_name("s" * (MOST_PATH_BYTES - len(os.fsencode(path.parent)) - 1))
    listen_at(longest).close()


def test_without_any_runtime_directory_there_is_the_temporary_one(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> Path:
        raise PermissionError("no safe temporary directory; set XDG_RUNTIME_DIR")

    monkeypatch.setattr("platformdirs.user_runtime_path", refuse)
    assert socket_path(Path("run")).parent == places / "temporary" / f"tuitrain-{os.geteuid()}"


def test_what_a_dead_process_left_is_replaced(places: Path) -> None:
    path = socket_path(Path("run"))
    stale(path)
    assert not listens(path)
    with listen_at(path):
        assert listens(path)


def test_what_a_killed_process_left_is_replaced_and_a_live_one_keeps_it(places: Path) -> None:
    path = socket_path(Path("run"))
    with child(LISTENER) as other:
        assert line(other) == "ready"
        tell(other, str(path))
        assert line(other) == "listens"
        with pytest.raises(NoSocket, match="another process listens"):
            listen_at(path)
        assert listens(path)
        other.kill()
        other.wait()
        with listen_at(path):
            assert listens(path)


def test_one_that_has_no_time_to_answer_lives_too(places: Path) -> None:
    path = socket_path(Path("run"))
    with contextlib.ExitStack() as undo:
        busy = undo.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(os.fspath(path))
        busy.listen(0)
        for _ in range(3):
            waiting = undo.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            waiting.connect_ex(os.fspath(path))
        with pytest.raises(NoSocket, match="another process listens"):
            listen_at(path)
        with pytest.raises(NoSocket, match="does not answer"):
            connect_to(path)


def test_who_has_the_right_to_a_place_takes_it_from_the_living(places: Path) -> None:
    path = socket_path(Path("run"))
    with listen_at(path) as first, listen_at(path, even_if_live=True) as second:
        connect_to(path).close()
        with pytest.raises(BlockingIOError):
            first.accept()
        second.accept()[0].close()
    path.unlink()
    path.write_text("precious")
    with pytest.raises(NoSocket, match="is no socket"):
        listen_at(path, even_if_live=True)


def test_what_is_no_socket_is_left_where_it_is(places: Path) -> None:
    path = socket_path(Path("run"))
    path.write_text("precious")
    link = path.with_name("link")
    target = path.with_name("target")
    stale(target)
    link.symlink_to(target)
    dangling = path.with_name("dangling")
    dangling.symlink_to(path.with_name("nowhere"))
    for wrong in (path, link, dangling, path.parent):
        with pytest.raises(NoSocket, match="is no socket"):
            listen_at(wrong)
    assert path.read_text() == "precious"
    assert link.is_symlink()
    assert dangling.is_symlink()
    assert not path.with_name("nowhere").exists()


def test_of_several_processes_that_want_a_place_at_once_one_gets_it(places: Path) -> None:
    directory = socket_path(Path("run")).parent
    with child(LISTENER) as one, child(LISTENER) as other, child(LISTENER) as third:
        processes = (one, other, third)
        assert [line(process) for process in processes] == ["ready"] * 3
        for number in range(150):
            path = directory / f"{number}.sock"
            stale(path)
            for process in processes:
                tell(process, str(path))
            answers = [line(process) for process in processes]
            assert sorted(answer == "listens" for answer in answers) == [False, False, True], answers
            assert listens(path)


def test_a_directory_that_another_process_keeps_is_not_waited_for_long(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = socket_path(Path("run"))
    monkeypatch.setattr("tuitrain.record.unix_socket.LOCK_PATIENCE_S", 0.05)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(NoSocket, match="locked"):
            listen_at(path)
    finally:
        os.close(descriptor)
    listen_at(path).close()


def test_a_connection_knows_which_process_is_at_its_other_end(places: Path) -> None:
    path = socket_path(Path("run"))
    with child(LISTENER) as other:
        line(other)
        tell(other, str(path))
        line(other)
        with connect_to(path) as connection:
            assert connection.gettimeout() == 0.0
            assert peer_of(connection) == (os.geteuid(), other.pid)


def test_only_a_socket_is_connected_to_and_no_link(places: Path) -> None:
    path = socket_path(Path("run"))
    link = path.with_name("link")
    link.symlink_to(path)
    for wrong in (path, path.parent, link):
        with pytest.raises(NoSocket, match=str(wrong)):
            connect_to(wrong)
    with listen_at(path), pytest.raises(NoSocket, match="is no socket"):
        connect_to(link)
    with pytest.raises(NoSocket, match="nobody listens"):
        connect_to(path)


@as_root
def test_a_process_of_another_user_is_not_spoken_to(places: Path) -> None:
    places.chmod(0o755)
    (places / "open").mkdir()
    (places / "open").chmod(0o777)
    with child(NOBODY_LISTENS, places / "open" / "trap.sock") as other:
        assert line(other) == "listens"
        with pytest.raises(NoSocket, match="belongs to another user"):
            connect_to(places / "open" / "trap.sock")


def test_where_a_socket_lies_is_recorded_in_the_directory_of_the_run(places: Path, tmp_path: Path) -> None:
    with pytest.raises(NoSocket, match="no control socket"):
        recorded_path(tmp_path)
    for path in (Path("/some where/å.sock"), socket_path(tmp_path)):
        record_path(tmp_path, path)
        assert recorded_path(tmp_path) == path
    assert [path.name for path in tmp_path.iterdir()] == [CONTROL]
    for wrong in (b"", b"\n", b"here.sock\n", b"\0"):
        (tmp_path / CONTROL).write_bytes(wrong)
        with pytest.raises(NoSocket, match="does not say"):
            recorded_path(tmp_path)
