"""Unix sockets that only their user can reach: where they lie, how one is taken, and who is at the other end."""

import contextlib
import fcntl
import hashlib
import os
import socket
import stat
import struct
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import platformdirs

CONTROL = "control"
"""Holds the path of a run's socket, in the run's directory: found whatever the environment of a viewer says."""
MOST_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""What a socket's address can hold."""
LOCK_PATIENCE_S = 1.0
"""How long another process may hold the directory while it makes a socket of its own."""
LAST_RESORT = Path("/tmp")
"""Where a socket lies when every better place has too long a path."""

_LOCAL_PEERCRED, _LOCAL_PEERPID = 1, 2  # <sys/un.h> of macOS, where they are read at level 0
_UCRED = struct.Struct("=iII")  # Linux: pid, uid, gid
_XUCRED = struct.Struct("=II")  # macOS: version, uid


class Peer(NamedTuple):
    """The process at the other end of a connection."""

    uid: int
    pid: int


class NoSocket(Exception):
    """No socket can be made or reached; one clause says why."""


def socket_path(run: Path) -> Path:
    """Where the socket of a run lies: in the first directory that is, or can be made, this user's alone.

    NoSocket says what is wrong with each of them.
    """
    name = hashlib.blake2b(os.fsencode(run.resolve()), digest_size=8).hexdigest() + ".sock"
    wrong: list[str] = []
    for directory in _candidates():
        try:
            make_private(directory)
        except (OSError, NoSocket) as error:
            wrong.append(str(error))
        else:
            if len(os.fsencode(directory / name)) <= MOST_PATH_BYTES:
                return directory / name
            wrong.append(f"{directory} has too long a path for a socket")
    raise NoSocket("; ".join(wrong))


def record_path(run: Path, path: Path) -> None:
    """Write where the socket of a run lies into the run's directory, whole or not at all."""
    written = run / f"{CONTROL}.{os.getpid()}"
    written.write_bytes(os.fsencode(path) + b"\n")
    os.replace(written, run / CONTROL)


def recorded_path(run: Path) -> Path:
    """Where the socket of a run lies; NoSocket if it has none."""
    try:
        recorded = (run / CONTROL).read_bytes()
    except OSError as error:
        raise NoSocket("it has no control socket") from error
    path = Path(os.fsdecode(recorded.rstrip(b"\n")))
    if not path.is_absolute():
        raise NoSocket(f"{run / CONTROL} does not say where its socket is")
    return path


def make_private(directory: Path) -> None:
    """Make a directory, or make sure that one is, this user's alone; NoSocket or OSError where it cannot be."""
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    above = directory.parent.lstat()
    if above.st_uid not in (os.geteuid(), 0) and not above.st_mode & stat.S_ISVTX:
        raise NoSocket(f"{directory.parent} belongs to another user")
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    with _opened(directory) as descriptor:
        if os.fstat(descriptor).st_mode & 0o077:
            os.fchmod(descriptor, 0o700)


def listen_at(path: Path, *, even_if_live: bool = False) -> socket.socket:
    """A listening socket at `path`, whose directory is private; what a dead process left there is replaced.

    NoSocket where a live process listens there, unless `even_if_live`, or where something else than a socket lies
    there.
    """
    with _locked(path.parent), contextlib.ExitStack() as undo:
        _clear(path, even_if_live)
        listener = undo.enter_context(_unix_socket())
        with _umask(0o077):
            listener.bind(os.fspath(path))
        os.chmod(path, 0o600)
        listener.listen()
        undo.pop_all()
    return listener


def connect_to(path: Path) -> socket.socket:
    """A connection, which never blocks, to the process of this user that listens at `path`; NoSocket says why not."""
    with contextlib.ExitStack() as undo:
        connection = undo.enter_context(_unix_socket())
        try:
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise NoSocket(f"{path} is no socket")
            connection.connect(os.fspath(path))
        except BlockingIOError as error:
            raise NoSocket("it does not answer") from error
        except OSError as error:
            raise NoSocket(f"nobody listens at {path}") from error
        peer = peer_of(connection)
        if peer.uid != os.geteuid():
            raise NoSocket(f"{path} belongs to another user")
        undo.pop_all()
    return connection


def peer_of(connection: socket.socket) -> Peer:
    """Who is at the other end, as the system itself knows it; NoSocket where it does not tell."""
    try:
        if sys.platform == "linux":
            pid, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            return Peer(uid, pid)
        _, uid = _XUCRED.unpack_from(connection.getsockopt(0, _LOCAL_PEERCRED, 128))
        return Peer(uid, connection.getsockopt(0, _LOCAL_PEERPID))
    except (OSError, struct.error) as error:
        raise NoSocket("the system does not tell who is at the other end") from error


def _candidates() -> list[Path]:
    own = f"tuitrain-{os.geteuid()}"
    return list(dict.fromkeys([*_runtime(), Path(tempfile.gettempdir()) / own, LAST_RESORT / own]))


def _runtime() -> list[Path]:
    """The runtime directory, or the substitute that platformdirs has for it; none where it trusts neither."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a substitute
        try:
            return [platformdirs.user_runtime_path("tuitrain")]
        except PermissionError:
            return []


def _unix_socket() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    return connection


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """A directory of this user, open; NoSocket where it is a symbolic link, no directory, or another user's."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise NoSocket(f"{directory} is no directory of this user ({error.strerror})") from error
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise NoSocket(f"{directory} belongs to another user")
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """The only process that makes a socket in a directory."""
    deadline_s = time.monotonic() + LOCK_PATIENCE_S
    with _opened(directory) as descriptor:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline_s:
                    raise NoSocket(f"another process keeps {directory} locked") from error
                time.sleep(0.01)
        yield


def _clear(path: Path, even_if_live: bool) -> None:
    """Remove the socket of a dead process, or of any; NoSocket where that is not what lies there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise NoSocket(f"{path} is no socket: remove it")
    if even_if_live:
        path.unlink()
        return
    with _unix_socket() as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:  # so many wait to be connected that no more can
            pass
    raise NoSocket(f"another process listens at {path} already")


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
