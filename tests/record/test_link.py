"""Links: what a viewer sends is taken, or it is told that it was not; and asking for trouble never waits."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.record.sockets import (
    HASTY,
    HOST,
    PATIENT,
    TIMEOUT_S,
    Hosted,
    as_root,
    child,
    connected,
    greeted,
    hosted,
    line,
    own_places,
    tell,
    until,
)
from tests.record.test_unix_socket import NOBODY_LISTENS
from tuitrain.errors import UserError
from tuitrain.record.commands import Set, Stop, Validate
from tuitrain.record.conversation import Limits
from tuitrain.record.frames import encode_frame
from tuitrain.record.link import MOST_WAITING, Inbox, Link, ReadOnly, SocketLink
from tuitrain.record.messages import PROTOCOL, Hello, Trouble, Welcome
from tuitrain.record.socket_link import viewer_name
from tuitrain.record.unix_socket import CONTROL, record_path, recorded_path, socket_path

SAYING_HOST = (
    HOST
    + """
for line in sys.stdin:
    print(inbox.wait(30)[0].word, flush=True)
"""
)
"""A run that says what was sent to it, one command a line it is told."""


@pytest.fixture(autouse=True)
def places(tmp_path: Path) -> Iterator[Path]:  # which has been made where the environment says
    with own_places() as place:
        yield place


@contextlib.contextmanager
def linked(directory: Path, name: str = "here") -> Iterator[SocketLink]:
    with contextlib.closing(SocketLink(directory, name=name)) as link:
        yield link


def clip(on: bool = True) -> Set:
    return Set(name="clip", value=on)


def trouble_of(link: Link) -> str:
    """The trouble, when there is any: what the run says takes a moment to come."""
    until(lambda: link.trouble is not None)
    assert link.trouble is not None
    return link.trouble


def settled(link: SocketLink) -> None:
    link.settle(TIMEOUT_S)


# ------------------------------------------------------------------------------------------------- the inbox


def test_an_inbox_passes_on_what_goes_wrong_with_the_recording() -> None:
    troubles: list[str | None] = [None]
    link: Link = Inbox(trouble=lambda: troubles[-1])
    assert link.trouble is None
    troubles.append("The disk is full.")
    assert link.trouble == "The disk is full."
    assert Inbox().trouble is None


def test_at_the_end_an_inbox_gives_what_was_sent_and_takes_nothing_more_but_a_stop() -> None:
    inbox, before = Inbox(), clip()
    inbox.send(before)
    inbox.close()
    with pytest.raises(UserError, match="has ended"):
        inbox.send(clip())
    assert not inbox.stop_sent
    inbox.send(Stop())
    assert inbox.stop_sent
    assert inbox.due(0) == [before]


def test_an_inbox_takes_no_end_of_commands_and_always_a_stop() -> None:
    inbox = Inbox()
    for _ in range(MOST_WAITING):
        inbox.send(clip())
    with pytest.raises(UserError, match="1,000 commands wait"):
        inbox.send(clip())
    inbox.send(Stop())
    assert [command.word for command in inbox.due(0)] == ["clip"] * MOST_WAITING + ["stop"]
    inbox.send(clip())


@pytest.fixture
def hectic() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_s)


@pytest.mark.usefixtures("hectic")
def test_whatever_is_sent_while_an_inbox_closes_is_either_given_or_refused() -> None:
    for _ in range(200):
        inbox, accepted, begun = Inbox(), list[str](), threading.Event()

        def send(inbox: Inbox = inbox, accepted: list[str] = accepted, begun: threading.Event = begun) -> None:
            with contextlib.suppress(UserError):
                while len(accepted) < MOST_WAITING:
                    command = clip()
                    if not accepted:
                        begun.set()
                    inbox.send(command)
                    accepted.append(command.id)

        senders = [threading.Thread(target=send) for _ in range(2)]
        for sender in senders:
            sender.start()
        begun.wait()
        inbox.close()
        given = [command.id for command in inbox.due(0)]
        for sender in senders:
            sender.join()
        assert sorted(given) == sorted(accepted)


SIGNALLED = """
import signal
from tuitrain.record.commands import Set, Stop
from tuitrain.record.link import Inbox
inbox, caught = Inbox(), 0
def stop(number, frame):
    global caught
    caught += 1
    inbox.send(Stop())
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
while caught < 500:
    inbox.send(Set(name="clip", value=True))
    inbox.due(0)
signal.setitimer(signal.ITIMER_REAL, 0)
print("done", flush=True)
"""


def test_a_signal_that_sends_may_come_at_any_moment() -> None:
    with child(SIGNALLED) as process:
        assert process.wait(TIMEOUT_S) == 0
        assert line(process) == "done"


# ------------------------------------------------------------------------------------------- the other process


def test_what_is_sent_arrives_in_the_name_of_this_process(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run, linked(run.directory, "pts/3") as link:
        for command in (clip(), Validate(), Stop()):
            link.send(command)
            settled(link)
            (arrived,) = run.inbox.due(0)
            assert (arrived.id, arrived.word, arrived.by) == (command.id, command.word, link.speaker)
        assert link.speaker == f"pts/3 ({os.getpid()})"
        assert link.trouble is None


def test_what_was_sent_before_leaving_arrives(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run:
        for _ in range(50):
            with linked(run.directory) as link:
                link.send(Stop())
            assert [command.word for command in run.inbox.wait(TIMEOUT_S)] == ["stop"]


def test_the_trouble_of_the_run_is_heard_without_a_command(tmp_path: Path) -> None:
    with hosted(tmp_path / "run", HASTY) as run, linked(run.directory) as link:
        assert link.trouble is None
        run.troubles.append("The disk is full.")
        assert trouble_of(link) == "The disk is full."
        run.troubles.append("")
        until(lambda: link.trouble is None)
        run.troubles.append("The disk is full.")
        assert trouble_of(link) == "The disk is full."
        run.control.close()
        until(lambda: link.trouble is None)  # whether the run goes on is not for the link to say


def test_a_refusal_is_said_until_the_next_command(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run, linked(run.directory) as link:
        assert link.take_refused() == []
        link.send(fast := Set(name="lr", value="fast"))
        assert trouble_of(link) == (
            "lr=fast was not taken: lr=fast is not possible: lr takes a number above 0."
        )  # fmt: skip
        assert link.take_refused() == [fast.id]
        assert link.take_refused() == []
        with pytest.raises(UserError, match="lr=fast was not taken"):
            settled(link)
        assert link.trouble is not None
        link.send(clip())
        settled(link)
        assert link.trouble is None


def test_a_run_that_has_ended_says_so_and_no_command_is_lost_without_a_word(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run, linked(run.directory) as link:
        run.inbox.close()
        link.send(clip(False))
        assert trouble_of(link) == "clip=off was not taken: The run has ended: it takes no more commands."
        link.send(Stop())
        settled(link)
        run.control.close()
        with pytest.raises(UserError, match="run takes no commands now"):
            link.send(clip())


@pytest.mark.parametrize("recorded", [None, b"", b"here", b"/nowhere/to/be/found.sock\n"])
def test_without_a_host_there_is_no_trouble_and_no_command_is_taken(tmp_path: Path, recorded: bytes | None) -> None:
    if recorded is not None:
        (tmp_path / CONTROL).write_bytes(recorded)
    with linked(tmp_path) as link:
        assert link.trouble is None
        with pytest.raises(UserError, match=f"{re.escape(tmp_path.name)} takes no commands now"):
            link.send(clip())
        settled(link)


def test_a_run_that_is_resumed_is_found_again(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    with linked(directory) as link:
        for number in range(3):
            with child(SAYING_HOST, directory, PATIENT.patience_s) as host:
                assert Path(line(host)).is_socket()
                if number:
                    link.trouble  # noqa: B018 - as a viewer asks at each look
                link.send(Validate())
                settled(link)
                tell(host, "next")
                assert line(host) == "validate"
            assert link.trouble is None


def test_a_run_that_broke_off_in_the_middle_of_a_word_is_understood_when_it_is_back(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    with linked(directory) as link:
        with socket.socket(socket.AF_UNIX) as broken:
            record_path(directory, socket_path(directory))
            broken.bind(os.fspath(socket_path(directory)))
            broken.listen()
            assert link.trouble is None
            connection, _ = broken.accept()
            with connection:
                connection.sendall(encode_frame(Trouble("The disk is full."))[:9])
        with hosted(directory, HASTY) as run:
            run.troubles.append("The disk is full again.")
            assert trouble_of(link) == "The disk is full again."


def stop_in_its_tracks(host: "subprocess.Popen[str]") -> None:
    """Have a process take no further step, as ctrl+z does."""
    host.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, host.pid, os.WSTOPPED | os.WNOWAIT)


def test_of_a_run_that_was_killed_it_is_said_what_it_did_not_answer(tmp_path: Path) -> None:
    with child(SAYING_HOST, tmp_path, PATIENT.patience_s) as host, linked(tmp_path) as link:
        assert Path(line(host)).is_socket()
        link.send(clip())
        settled(link)
        stop_in_its_tracks(host)
        link.send(clip(False))
        link.send(Validate())
        assert link.trouble is None
        host.kill()
        host.wait()
        assert trouble_of(link) == f"{tmp_path.name} went without an answer to clip=off, validate."
        assert len(link.take_refused()) == 2
        with pytest.raises(UserError, match="without an answer"):
            settled(link)
        with pytest.raises(UserError, match="nobody listens"):
            link.send(clip())
        assert link.trouble is None
    with child(SAYING_HOST, tmp_path, PATIENT.patience_s) as host, contextlib.closing(link):
        assert Path(line(host)).is_socket()
        stop_in_its_tracks(host)
        link.send(Stop())
        host.kill()
        host.wait()
        assert trouble_of(link) == f"{tmp_path.name} went without an answer to stop."


def test_a_run_that_is_stopped_does_not_stop_its_viewers(tmp_path: Path) -> None:
    with child(SAYING_HOST, tmp_path, PATIENT.patience_s) as host, linked(tmp_path) as link:
        assert Path(line(host)).is_socket()
        link.send(clip())
        settled(link)
        stop_in_its_tracks(host)
        link.send(clip())
        with pytest.raises(UserError, match=r"did not answer within 0\.05 seconds"):
            link.settle(0.05)
        with pytest.raises(UserError, match="does not read what is sent"):
            send_many(link)
        assert link.trouble is None


def send_many(link: Link) -> None:
    """Send more than any connection holds that nobody reads."""
    for _ in range(100_000):
        link.send(clip())


def test_who_is_turned_away_knocks_again_only_with_the_next_command(tmp_path: Path) -> None:
    with hosted(tmp_path / "run", Limits(viewers=1, patience_s=TIMEOUT_S)) as run, linked(run.directory) as link:
        with greeted(run.path) as first:
            assert "1 viewers are there already" in trouble_of(link)
        assert first.socket.fileno() == -1
        for _ in range(100):
            assert link.trouble is not None
        until(lambda: has_room(run))  # it has not come back by itself
        until(lambda: is_taken(link))
        assert link.trouble is None
        assert run.inbox.due(0)
        run.troubles.append("The disk is full.")
        assert trouble_of(link) == "The disk is full."
        run.control.close()
        with hosted(run.directory, HASTY) as next_run:
            next_run.troubles.append("The disk is full again.")
            until(lambda: link.trouble == "The disk is full again.")  # it knocks by itself once more


def has_room(run: Hosted) -> bool:
    """Whether another viewer is welcome."""
    with connected(run.path) as viewer:
        viewer.say(Hello(PROTOCOL, "next"))
        return isinstance(viewer.hear(), Welcome)


def deliver(link: SocketLink) -> None:
    """Send a command, and wait until it is taken."""
    link.send(clip())
    settled(link)


def is_taken(link: SocketLink) -> bool:
    """Whether a command is."""
    with contextlib.suppress(UserError):
        deliver(link)
        return True
    return False


def test_a_run_of_another_version_is_not_commanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.record.control.PROTOCOL", PROTOCOL + 1)
    with hosted(tmp_path / "run") as run, linked(run.directory) as link:
        for _ in range(30):  # it is turned away before it said what it wanted, or after
            with pytest.raises(UserError, match="use the same version of tuitrain"):
                deliver(link)
            assert link.trouble is not None
            assert "use the same version of tuitrain" in link.trouble
        assert not run.inbox.due(0)


@as_root
def test_nobody_elses_process_is_commanded(tmp_path: Path, places: Path) -> None:
    places.chmod(0o755)
    (places / "open").mkdir()
    (places / "open").chmod(0o777)
    with child(NOBODY_LISTENS, places / "open" / "trap.sock") as other:
        assert line(other) == "listens"
        record_path(tmp_path, places / "open" / "trap.sock")
        with linked(tmp_path) as link:
            assert link.trouble is None
            with pytest.raises(UserError, match="belongs to another user"):
                link.send(clip())


def test_a_run_is_found_whatever_the_environment_of_the_viewer_says(
    tmp_path: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hosted(tmp_path / "run") as run:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "last"))
        monkeypatch.setattr("tempfile.tempdir", str(places / "last"))
        monkeypatch.chdir(places)
        with linked(run.directory) as link:
            link.send(clip())
            settled(link)
        assert run.inbox.due(0)
        assert recorded_path(run.directory) == run.path


def test_a_read_only_screen_sends_nothing_and_hears_all_the_same() -> None:
    inbox = Inbox(trouble=lambda: "The disk is full.")
    link: Link = ReadOnly(inbox)
    for command in (clip(), Stop()):
        with pytest.raises(UserError, match="read-only"):
            link.send(command)
    assert inbox.due(0) == []
    assert not inbox.stop_sent
    assert link.trouble == "The disk is full."


def test_a_viewer_without_a_terminal_has_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as null:
        monkeypatch.setattr("sys.__stdin__", null)
        assert viewer_name() == "viewer"
    assert viewer_name() == "viewer"
    monkeypatch.setattr("sys.__stdin__", None)
    assert viewer_name() == "viewer"
    control, terminal = os.openpty()
    with open(terminal) as stdin, open(control):
        monkeypatch.setattr("sys.__stdin__", stdin)
        assert viewer_name() == os.ttyname(terminal).removeprefix("/dev/")
