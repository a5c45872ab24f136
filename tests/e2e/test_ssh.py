"""Over a real SSH connection, which breaks: the run goes on, and is found again over another one."""

import contextlib
import getpass
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.idle import RUN, STEPS, assert_idle_but_for_training, await_steps
from tests.e2e.terminal import POLL_S, ROOT, TIMEOUT_S, Terminal, environment, tuitrain
from tests.e2e.watched import watched

SSHD = shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
SEPARATION = Path("/run/sshd")
"""Where an sshd that runs as root locks up what it does not trust: its service makes it."""
CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {home}/host
AuthorizedKeysFile {home}/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
"""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.skipif(SSHD is None, reason="there is no sshd: install openssh-server"),
    pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh: install openssh-client"),
]


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[list[str]]:
    """The words that have a shell on this machine, over SSH and in a terminal, run those after them."""
    home = tmp_path / "ssh"
    home.mkdir()
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / key)], check=True)
    port = free_port()
    (home / "config").write_text(CONFIG.format(home=home, port=port))
    with separation(), (home / "log").open("wb") as log:
        assert SSHD is not None
        with subprocess.Popen([SSHD, "-D", "-e", "-f", str(home / "config")], stderr=log) as server:
            try:
                wait_for_connections(port, server, home / "log")
                options = ["BatchMode=yes", "StrictHostKeyChecking=no", f"UserKnownHostsFile={home / 'known'}"]
                yield [
                    "ssh", "-tt", "-q", "-F", "none", "-p", str(port), "-i", str(home / "user"),
                    *(f"-o{option}" for option in options), f"{getpass.getuser()}@127.0.0.1",
                ]  # fmt: skip
            finally:
                server.terminate()


def test_a_connection_that_breaks_takes_the_screen_and_not_the_run(ssh: list[str], tmp_path: Path) -> None:
    there = [*ssh, *over_there(tmp_path)]
    with watched(tmp_path, *RUN, prefix=there) as run:
        run.terminal.wait_for("● all")
        host = psutil.Process(run.pid)
        try:
            for process in connection_of(host):
                process.kill()
            assert run.terminal.wait_end() == 255, "as ssh has it"
            await_steps(run, STEPS)
            assert_idle_but_for_training(run)
            with Terminal([*there, *tuitrain("watch")], environment(tmp_path)) as viewer:
                viewer.wait_for("● TRAIN", "● all", "q leave, the run goes on")
                viewer.press("c")
                viewer.wait_until(lambda: bool(re.search(r"Clip to 1\.0 +○ off", viewer.text)), "clip off")
                viewer.press("q")
                assert viewer.wait_end() == 0
            assert [(change.word, change.value) for change in run.view.changes] == [("clip", False)]
            host.send_signal(signal.SIGTERM)
            host.wait(TIMEOUT_S)
            assert run.view.end is not None
            assert run.view.end.reason == "stopped"
            assert run.view.checkpoint is not None
        finally:
            if host.is_running():
                host.kill()


def over_there(home: Path) -> list[str]:
    """The words that have a remote shell run those after them as if they were given here."""
    ours = environment(home)
    kept = {name: ours[name] for name in ("PATH", "XDG_STATE_HOME", "XDG_CACHE_HOME", "COLORTERM", "LANG")}
    return ["cd", shlex.quote(str(ROOT)), "&&", "exec", "env", *(shlex.quote(f"{name}={kept[name]}") for name in kept)]


def connection_of(host: psutil.Process) -> list[psutil.Process]:
    """The processes that serve the connection by which a process was started; not the one that waits for others."""
    serving = [parent for parent in host.parents() if parent.name().startswith("sshd")]
    assert len(serving) > 1
    return serving[:-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_connections(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the server takes connections; skip the test where it cannot be run."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), TIMEOUT_S):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(POLL_S)
            pytest.skip(f"sshd does not run here: {log.read_text().strip()}")
        assert time.monotonic() < deadline_s


@contextlib.contextmanager
def separation() -> Iterator[None]:
    """The directory that an sshd of root's needs."""
    missing = os.geteuid() == 0 and not SEPARATION.exists()
    if missing:
        SEPARATION.mkdir(mode=0o755)
    try:
        yield
    finally:
        if missing:
            SEPARATION.rmdir()
