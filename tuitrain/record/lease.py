"""Who records a run, and whether that process still lives: its pid and start time, on its machine, since its boot.

The lease is one line in the run's directory. It never expires by time: a run that is stopped in a debugger for a night
lives, and one that was killed does not, however lately it wrote.
"""

import contextlib
import errno
import fcntl
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from tuitrain.errors import UserError

OWNER = "owner"
LOCK = "owner.lock"
CLOCK_STEP_S = 2.0
"""Where a start time is derived from the clock it moves when the clock is set: by no more than this, say."""

Owner = Literal["lives", "gone", "elsewhere"]
"""What can be said of the process that records a run; of one on another machine, or in another container, nothing."""

_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The process that records a run."""

    pid: int
    started: float
    """On Linux in clock ticks since the boot, which no setting of the clock moves; elsewhere in Unix seconds."""
    boot: str
    """The boot it was started in, on Linux; elsewhere empty."""
    namespace: str
    """The namespace of process ids it was started in, on Linux: in a container a pid means another process."""
    host: str
    released: bool = False
    """Whether the run came to its end, and the process has nothing more to record."""


def take_lease(directory: Path) -> None:
    """Make this process the one that records the run in `directory`, whose process must have ended.

    UserError where the run's process lives, may live on another machine, or is being replaced by yet another one.
    """
    try:
        with _locked(directory / LOCK):
            _refuse_if_taken(directory)
            write_lease(directory)
    except BlockingIOError as error:
        raise UserError(f"{directory.name} is being resumed by another process just now.") from error
    except OSError as error:
        raise UserError(f"{directory} cannot be written ({error}): its run cannot be resumed there.") from error


def release_lease(directory: Path) -> None:
    """Say that the run came to its end; nothing is done if another process records it, or the disk refuses."""
    lease = read_lease(directory)
    if lease is not None and lease == own_lease():
        with contextlib.suppress(OSError):  # it ends with this process all the same
            _replace(directory / OWNER, msgspec.structs.replace(lease, released=True))


def write_lease(directory: Path) -> None:
    """Make this process the one that records the run in `directory`, whoever was before."""
    _replace(directory / OWNER, own_lease())


def read_lease(directory: Path) -> Lease | None:
    """The lease in a run's directory; None if there is none that can be read."""
    try:
        return msgspec.json.decode((directory / OWNER).read_bytes(), type=Lease)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def owner_of(directory: Path) -> Owner:
    """What can be said of the process that records the run in `directory`."""
    lease = read_lease(directory)
    return "gone" if lease is None else standing(lease)


def owner_lives(directory: Path) -> bool:
    """Whether the process that records the run in `directory` is there, on this machine."""
    return owner_of(directory) == "lives"


def standing(lease: Lease) -> Owner:
    """What can be said of the process that holds a lease."""
    if lease.released:
        return "gone"
    if lease.boot != _boot():
        return "gone" if lease.host == socket.gethostname() else "elsewhere"
    if lease.namespace != _namespace():
        return "elsewhere"
    started = _start_of(lease.pid)
    if started is not None and abs(started - lease.started) <= (0 if lease.boot else CLOCK_STEP_S):
        return "lives"
    return "gone" if lease.boot or lease.host == socket.gethostname() else "elsewhere"


def _refuse_if_taken(directory: Path) -> None:
    lease = read_lease(directory)
    if lease is None or lease == own_lease():
        return
    match standing(lease):
        case "lives":
            raise UserError(
                f"{directory.name} is being trained by process {lease.pid}: watch it with tuitrain watch, or stop it "
                "with tuitrain stop first."
            )
        case "elsewhere":
            raise UserError(
                f"{directory.name} may still be trained on {lease.host}: stop it there, or remove "
                f"{directory / OWNER} if you know that it has ended."
            )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The only one at this place; BlockingIOError if another is. Where the file system knows no locks, just there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            os.close(descriptor)
            raise
    try:
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, lease: Lease) -> None:
    """Write a lease whole or not at all."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(lease) + b"\n")
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise


def own_lease() -> Lease:
    """The lease that this process would hold."""
    started = _start_of(os.getpid())
    if started is None:
        raise ProcessLookupError(f"process {os.getpid()} has no start time")
    return Lease(pid=os.getpid(), started=started, boot=_boot(), namespace=_namespace(), host=socket.gethostname())


def _start_of(pid: int) -> float | None:
    """When a process was started, as in a lease; None if there is none, or it has ended and was not waited for."""
    return _start_on_linux(pid) if sys.platform == "linux" else _start_elsewhere(pid)


def _start_on_linux(pid: int) -> float | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    state, *fields = stat[stat.rindex(b")") + 2 :].split()  # what is in parentheses may hold any byte
    return None if state in (b"Z", b"X") else float(fields[18])


def _start_elsewhere(pid: int) -> float | None:
    import psutil  # takes longer to load than a lease to read, and only here

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.Error, ValueError, OverflowError):
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
