"""The control socket: commands of viewers in other processes, in one order; whoever does harm is dropped alone."""

import contextlib
import dataclasses
import json
import math
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.record.sockets import (
    HASTY,
    HOST,
    PATIENT,
    TIMEOUT_S,
    Viewer,
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
from tuitrain.record import journal as journal_module
from tuitrain.record.commands import AnyCommand, Checkpoint, Set, StepOnce, Stop, Validate
from tuitrain.record.control import ControlSocket
from tuitrain.record.conversation import Limits
from tuitrain.record.events import Applied, Switches
from tuitrain.record.frames import MOST_FRAME_BYTES, encode_frame
from tuitrain.record.journal import Journal
from tuitrain.record.lease import release_lease, take_lease
from tuitrain.record.link import MOST_WAITING, Inbox
from tuitrain.record.messages import PROTOCOL, FromRun, Hello, Refused, Taken, Trouble, Welcome
from tuitrain.record.unix_socket import CONTROL, NoSocket, connect_to, recorded_path

HELLO = encode_frame(Hello(PROTOCOL, "here"))


@pytest.fixture(autouse=True)
def places(tmp_path: Path) -> Iterator[Path]:  # which has been made where the environment says
    with own_places() as place:
        yield place


def clip(on: bool = True, **fields: str) -> Set:
    return Set(name="clip", value=on, **fields)


def reason(answer: FromRun | None) -> str:
    assert isinstance(answer, Refused)
    return answer.reason


# ---------------------------------------------------------------------------------------------- what viewers say


def test_commands_of_every_kind_arrive_in_order_and_each_is_answered(tmp_path: Path) -> None:
    commands: list[AnyCommand] = [
        clip(), Set(name="lr", value=0.5), Set(name="overfit", value="keep"), StepOnce(), Validate(), Checkpoint(),
        Stop(),
    ]  # fmt: skip
    with hosted(tmp_path / "run") as run, greeted(run.path, "pts/3") as viewer:
        viewer.say(*commands)
        assert [viewer.hear() for _ in commands] == [Taken(command.id) for command in commands]
        by = f"pts/3 ({os.getpid()})"
        assert run.inbox.due(0) == [msgspec.structs.replace(command, by=by) for command in commands]
        assert run.inbox.stop_sent


def test_nobody_speaks_as_another_and_no_name_leaves_its_line(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run:
        for name, shown in (
            ("\x1b[2J\x1b]0;title\x07pts/3\r\n\u202e", "pts/3"), ("n" * 500, "n" * 40), ("  ", "viewer"),
            ("", "viewer"),
        ):  # fmt: skip
            with greeted(run.path, name) as viewer:
                viewer.say(clip(by="key"), clip(by=f"pts/9 ({os.getppid()})"))
                assert [viewer.hear() for _ in range(2)]
            assert {command.by for command in run.inbox.due(0)} == {f"{shown} ({os.getpid()})"}


def test_several_viewers_at_once_each_keep_their_order(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run, contextlib.ExitStack() as undo:
        viewers = [undo.enter_context(greeted(run.path, f"viewer {number}")) for number in range(5)]
        sent: dict[str, list[str]] = {f"viewer {number} ({os.getpid()})": [] for number in range(5)}
        for turn in range(40):
            for viewer, ids in zip(viewers, sent.values(), strict=True):
                ids.append(f"{turn}-{len(ids)}-{viewer.socket.fileno()}")
                viewer.say(clip(id=ids[-1]))
        for viewer, ids in zip(viewers, sent.values(), strict=True):
            assert [viewer.hear() for _ in ids] == [Taken(id_) for id_ in ids]
        arrived = run.inbox.due(0)
        assert {by: [command.id for command in arrived if command.by == by] for by in sent} == sent


def test_what_was_said_before_leaving_is_heard(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run:
        for _ in range(50):
            with connected(run.path) as viewer:
                viewer.say(Hello(PROTOCOL, "stop"), clip(), Checkpoint(), clip(False))
            assert [run.inbox.wait(TIMEOUT_S)[0].word for _ in range(3)] == ["clip", "checkpoint", "clip"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", math.nan), ("lr", -1.0), ("lr", True), ("lr", "fast"), ("clip", 1.0), ("clip", "on"), ("clip_by", True)],
)
def test_a_value_that_a_word_does_not_take_is_refused_and_the_viewer_stays(
    tmp_path: Path, name: str, value: bool | float | str
) -> None:
    with hosted(tmp_path / "run") as run, greeted(run.path) as viewer:
        viewer.say(Set(id="bad", name=name, value=value), clip(id="good"))
        refused = viewer.hear()
        assert isinstance(refused, Refused)
        assert refused.id == "bad"
        assert f"{name} takes" in refused.reason
        assert viewer.hear() == Taken("good")
        assert [command.id for command in run.inbox.due(0)] == ["good"]


def test_a_word_that_only_the_run_may_know_is_left_to_it(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run, greeted(run.path) as viewer:
        viewer.say(Set(id="a", name="sixth_tip", value=True))
        assert viewer.hear() == Taken("a")


def test_more_commands_than_the_run_takes_are_refused_and_a_stop_never(tmp_path: Path) -> None:
    limits = dataclasses.replace(PATIENT, messages_per_s=math.inf)
    with hosted(tmp_path / "run", limits) as run, greeted(run.path) as viewer:
        for _ in range(MOST_WAITING):
            viewer.say(clip(id="fits"))
            assert viewer.hear() == Taken("fits")
        viewer.say(clip(id="more"), Stop(id="stop"))
        assert "1,000 commands wait" in reason(viewer.hear())
        assert viewer.hear() == Taken("stop")
        assert len(run.inbox.due(0)) == MOST_WAITING + 1
        viewer.say(clip(id="again"))
        assert viewer.hear() == Taken("again")


def test_viewers_are_told_what_goes_wrong_and_when_it_is_over(tmp_path: Path) -> None:
    with hosted(tmp_path / "run", HASTY) as run, connected(run.path) as one:
        one.say(Hello(PROTOCOL, "one"))
        assert [one.hear(), one.hear()] == [Welcome(PROTOCOL), Trouble(None)]
        run.troubles.append("The disk is full.")
        assert one.hear() == Trouble("The disk is full.")
        with connected(run.path) as other:
            other.say(Hello(PROTOCOL, "other"))
            assert [other.hear(), other.hear()] == [Welcome(PROTOCOL), Trouble("The disk is full.")]
            run.troubles.append("")
            assert one.hear() == other.hear() == Trouble(None)


def test_by_default_the_trouble_is_the_inboxs(tmp_path: Path) -> None:
    control = ControlSocket(tmp_path, Inbox(trouble=lambda: "The disk is full."))
    assert control.path is not None
    with connected(control.path) as viewer:
        viewer.say(Hello(PROTOCOL, "here"))
        assert [viewer.hear(), viewer.hear()] == [Welcome(PROTOCOL), Trouble("The disk is full.")]
    control.close()


# --------------------------------------------------------------------------------------------- who does harm


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "claims 1,195,725,856 bytes", id="another protocol"),
        pytest.param(HELLO + b"\xff" * 100_000, "claims 4,294,967,295 bytes", id="huge"),
        pytest.param(HELLO + (MOST_FRAME_BYTES + 1).to_bytes(4, "big"), "claims 65,537 bytes", id="just too long"),
        pytest.param(HELLO + b"\0\0\0\0", "cannot be read", id="empty"),
        pytest.param(HELLO + b"\0\0\0\1\xc1", "cannot be read", id="garbage"),
        pytest.param(HELLO + b"\0\0\x9c\x40" + b"\x91" * 40_000, "cannot be read", id="deep"),
        pytest.param(HELLO + HELLO, "said who it is already", id="hello twice"),
        pytest.param(encode_frame(clip()), "did not say who it is", id="no hello"),
        pytest.param(encode_frame(Hello(PROTOCOL + 1, "new")), "protocol 2, this run 1", id="another version"),
    ],
)
def test_what_cannot_be_understood_drops_that_viewer_alone(tmp_path: Path, sent: bytes, why: str) -> None:
    with hosted(tmp_path / "run") as run, greeted(run.path, "before") as before:
        with connected(run.path) as harmful:
            harmful.send(sent + encode_frame(clip(id="late")))
            answers = harmful.hear_all()
            assert why in reason(answers[-1])
            assert Taken("late") not in answers
        before.say(clip(id="before"))
        assert before.hear() == Taken("before")
        with greeted(run.path, "after") as after:
            after.say(clip(id="after"))
            assert after.hear() == Taken("after")
        assert [command.id for command in run.inbox.due(0)] == ["before", "after"]


@pytest.mark.parametrize(
    "said", [b"", HELLO[:3], HELLO + b"\0\0\0", HELLO + b"\0\0\1\0{}"], ids=["nothing", "half a hello", "half", "begun"]
)
def test_who_does_not_finish_what_it_says_is_dropped_and_who_says_nothing_more_stays(
    tmp_path: Path, said: bytes
) -> None:
    with hosted(tmp_path / "run", HASTY) as run, greeted(run.path) as quiet, connected(run.path) as slow:
        slow.send(said)
        assert "does not finish" in reason(slow.hear_all()[-1])
        quiet.say(clip(id="quiet"))  # after more silence than the other was allowed
        assert quiet.hear() == Taken("quiet")


def test_a_message_that_comes_in_drops_is_not_waited_for(tmp_path: Path) -> None:
    with hosted(tmp_path / "run", HASTY) as run, greeted(run.path) as slow:
        frame, sent = encode_frame(Hello(PROTOCOL, "x" * 60_000)), 0
        while not select.select([slow.socket], [], [], 0.01)[0]:
            slow.send(frame[sent : sent + 1])
            sent += 1
        assert "does not finish" in reason(slow.hear())
        assert 0 < sent < len(frame)


def never_read(viewer: Viewer, times: int) -> None:
    """Have a run answer more than it can hand over: every answer is a refusal, as the inbox is full."""
    bad = encode_frame(Set(name="lr", value="fast"))
    for _ in range(times):
        viewer.send(bad)


@pytest.mark.parametrize(
    "limits",
    [
        dataclasses.replace(PATIENT, messages_per_s=math.inf, unread_bytes=20_000),
        dataclasses.replace(HASTY, messages_per_s=math.inf, unread_bytes=2**30),
    ],
    ids=["too much", "too long"],
)
def test_who_never_reads_is_dropped(tmp_path: Path, limits: Limits) -> None:
    with hosted(tmp_path / "run", limits) as run, greeted(run.path) as other, greeted(run.path) as deaf:
        never_read(deaf, 5000)
        gone = select.poll()
        gone.register(deaf.socket, 0)  # reports nothing but that the other end has closed
        assert gone.poll(TIMEOUT_S * 1000)
        assert len(deaf.hear_all()) < 5000
        other.say(clip(id="other"))
        assert other.hear() == Taken("other")


def test_who_sends_more_than_any_hand_is_dropped(tmp_path: Path) -> None:
    limits = dataclasses.replace(PATIENT, messages_per_s=50)
    with hosted(tmp_path / "run", limits) as run, greeted(run.path) as other, connected(run.path) as flood:
        flood.send(HELLO + encode_frame(clip()) * 1000)
        assert "more than 50 messages a second" in reason(flood.hear_all()[-1])
        assert len(run.inbox.due(0)) == 49
        other.say(clip(id="other"))
        assert other.hear() == Taken("other")


def is_welcome(path: Path) -> bool:
    """Whether one more viewer is."""
    with connected(path) as viewer:
        viewer.say(Hello(PROTOCOL, "new"))
        return isinstance(viewer.hear(), Welcome)


def test_who_comes_too_many_is_told_and_has_a_place_when_one_leaves(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run, contextlib.ExitStack() as undo:
        viewers = [undo.enter_context(greeted(run.path)) for _ in range(32)]
        with connected(run.path) as late:
            late.say(Hello(PROTOCOL, "late"))
            assert "32 viewers are there already" in reason(late.hear())
            assert late.hear() is None
        viewers[7].socket.close()
        until(lambda: is_welcome(run.path))  # once the run has seen it go
        for viewer in viewers[:7] + viewers[8:]:
            viewer.say(clip(id="still"))
            assert viewer.hear() == Taken("still")


STRANGER = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
stranger = socket.socket(socket.AF_UNIX)
try:
    stranger.connect(sys.argv[1])
    stranger.sendall(bytes.fromhex(sys.argv[2]))
    print("heard", stranger.recv(1000), flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
"""


@as_root
@pytest.mark.parametrize("opened", [False, True], ids=["as it is", "with the directory open to all"])
def test_another_user_cannot_connect(tmp_path: Path, places: Path, opened: bool) -> None:
    said = HELLO + encode_frame(clip())
    with hosted(tmp_path / "run") as run:
        if opened:
            for path in (places, places / "runtime", run.path.parent, run.path):
                path.chmod(0o777)
        with child(STRANGER, run.path, said.hex()) as stranger:
            # Let in by the file system it is shut out by the run, before or after it could say anything.
            assert line(stranger) in (
                ("heard b''", "ConnectionResetError", "BrokenPipeError") if opened else ("PermissionError",)
            )
        with greeted(run.path) as viewer:
            viewer.say(clip(id="own"))
            assert viewer.hear() == Taken("own")
        assert [command.id for command in run.inbox.due(0)] == ["own"]


# ------------------------------------------------------------------------------------------ coming and going


def test_where_it_listens_is_recorded_and_at_its_end_the_socket_is_gone(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run:
        assert recorded_path(run.directory) == run.path
        assert run.path.stat().st_mode & 0o177 == 0
        assert run.path.parent.stat().st_mode & 0o077 == 0
        run.control.close()
        assert not run.path.exists()
        run.control.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "control"]


def test_at_its_end_it_leaves_a_socket_that_is_not_its_own(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as run, socket.socket(socket.AF_UNIX) as another:
        run.path.unlink()
        another.bind(os.fspath(run.path))
        run.control.close()
        assert run.path.exists()


def test_of_two_for_the_same_run_the_first_goes_on_and_the_second_says_why_it_cannot(tmp_path: Path) -> None:
    with hosted(tmp_path / "run") as first, hosted(tmp_path / "run") as second:
        assert second.control.path is None
        assert second.control.trouble is not None
        assert "another process listens" in second.control.trouble
        with greeted(first.path) as viewer:
            viewer.say(clip(id="a"))
            assert viewer.hear() == Taken("a")
    with hosted(tmp_path / "run") as third, greeted(third.path):
        pass


def test_when_a_run_has_ended_its_socket_goes_though_its_process_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuitrain.record.control.LEASE_POLL_S", 0.01)
    take_lease(tmp_path)
    with hosted(tmp_path, HASTY) as run:
        with greeted(run.path) as viewer:
            viewer.say(clip(id="a"))
            assert viewer.hear() == Taken("a")
            release_lease(tmp_path)
            assert viewer.hear() is None
        until(lambda: not run.path.exists())
        assert run.control.trouble is None


def test_who_takes_the_lease_takes_the_place_of_one_that_has_not_yet_gone(tmp_path: Path) -> None:
    take_lease(tmp_path)
    with hosted(tmp_path) as first, greeted(first.path) as viewer:
        release_lease(tmp_path)
        with child(TAKING_HOST, tmp_path, HASTY.patience_s) as second:
            assert line(second) == str(first.path)
            assert viewer.hear() is None  # so that it looks for the run anew
            first.control.close()
            with greeted(first.path) as new:
                new.say(clip(id="b"))
                assert new.hear() == Taken("b")


def test_without_a_place_to_listen_the_run_goes_on_and_says_so(tmp_path: Path, places: Path) -> None:
    for name in ("runtime/tuitrain", f"temporary/tuitrain-{os.geteuid()}", f"last/tuitrain-{os.geteuid()}"):
        (places / name).symlink_to(places)
    with hosted(tmp_path / "run") as run:
        assert run.control.path is None
        assert run.control.trouble is not None
        assert run.control.trouble.startswith("No other terminal can command this run: ")
        assert str(places / "runtime" / "tuitrain") in run.control.trouble


def test_where_it_cannot_be_recorded_nobody_listens(tmp_path: Path, places: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / CONTROL).mkdir()
    with hosted(tmp_path / "run") as run:
        assert run.control.path is None
        assert run.control.trouble is not None
        assert str(tmp_path / "run") in run.control.trouble
        assert list((places / "runtime" / "tuitrain").iterdir()) == []


def test_a_command_on_its_way_at_the_end_is_taken_or_refused_or_never_answered(tmp_path: Path) -> None:
    taken = refused = 0
    for number in range(60):
        with hosted(tmp_path / f"run{number}") as run, greeted(run.path) as viewer:
            ids = [f"{number}-{turn}" for turn in range(20)]
            closing = threading.Thread(target=run.control.close)
            for turn, id_ in enumerate(ids):
                viewer.say(clip(id=id_))
                if turn == number % 20:
                    closing.start()
            answers = viewer.hear_all()
            closing.join()
            told = [answer.id for answer in answers if isinstance(answer, Taken)]
            assert [command.id for command in run.inbox.due(0)] == told == ids[: len(told)]
            taken, refused = taken + len(told), refused + len(answers) - len(told)
            assert all("has ended" in reason(answer) for answer in answers[len(told) :])
    assert taken


def test_what_waits_in_the_socket_at_the_end_is_answered(tmp_path: Path) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def trouble() -> str | None:
        """Hold the thread that answers, once a viewer is there."""
        if greeted_once.is_set():
            asked.set()
            assert go_on.wait(TIMEOUT_S)
        return None

    greeted_once = threading.Event()
    inbox = Inbox()
    control = ControlSocket(tmp_path, inbox, trouble=trouble, limits=PATIENT)
    assert control.path is not None
    with greeted(control.path) as viewer:
        greeted_once.set()
        assert asked.wait(TIMEOUT_S)
        viewer.say(clip(id="late"), Stop(id="stop"))
        closing = threading.Thread(target=control.close)
        closing.start()
        until(lambda: control.closing)
        go_on.set()
        closing.join()
        assert viewer.hear() == Refused("late", "The run has ended: it takes no more commands.")
        assert viewer.hear() == Taken("stop")
        assert viewer.hear() is None
    assert inbox.stop_sent


TAKING_HOST = (
    "import sys; from pathlib import Path; from tuitrain.record.lease import take_lease; take_lease(Path(sys.argv[1]))"
    + HOST
    + "sys.stdin.read()"
)

FORKING_HOST = (
    HOST
    + """
forked = os.fork()
if not forked:
    control.close()
    os.kill(os.getpid(), signal.SIGSTOP)
os.waitpid(forked, os.WUNTRACED)
print(forked, flush=True)
sys.stdin.read()
"""
)


def test_a_forked_child_of_a_killed_run_does_not_pass_for_it(tmp_path: Path) -> None:
    with child(FORKING_HOST, tmp_path, HASTY.patience_s) as host:
        path, forked = Path(line(host)), int(line(host))
        try:
            with greeted(path) as viewer:
                assert path.exists()  # though the child has closed its own
                host.kill()
                host.wait()
                assert viewer.hear() is None
            os.kill(forked, 0)
            with pytest.raises(NoSocket, match="nobody listens"):
                connect_to(path)
        finally:
            os.kill(forked, signal.SIGKILL)


HOST_WITHOUT_DESCRIPTORS = (
    HOST
    + """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held, refused = [], 0
accept = socket.socket._accept
def counted(self):
    global refused
    try:
        return accept(self)
    except OSError:
        refused += 1
        raise
socket.socket._accept = counted
sys.stdin.readline()
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    print("full", flush=True)
sys.stdin.readline()
for descriptor in held:
    os.close(descriptor)
print(inbox.wait(30)[0].id, refused, flush=True)
sys.stdin.read()
"""
)


def test_a_run_without_a_descriptor_left_hears_those_who_are_there_and_takes_others_when_it_can(tmp_path: Path) -> None:
    with child(HOST_WITHOUT_DESCRIPTORS, tmp_path, HASTY.patience_s) as host:
        path = Path(line(host))
        with greeted(path) as before:
            tell(host, "fill")
            assert line(host) == "full"
            with connected(path) as late:
                late.say(Hello(PROTOCOL, "late"), clip(id="late"))
                for _ in range(300):  # a run that tried again each time would have failed as often
                    before.say(Set(id="bad", name="lr", value="fast"))
                    assert reason(before.hear())
                assert not select.select([late.socket], [], [], 0)[0]
                tell(host, "free")
                assert isinstance(late.hear(), Welcome)
                assert isinstance(late.hear(), Trouble)
                assert late.hear() == Taken("late")
        late_id, refused = line(host).split()
        assert late_id == "late"
        assert 1 <= int(refused) < 150


# ------------------------------------------------------------------------------------ two viewers, one switch

OPPONENT = """
import json, sys
from contextlib import closing
from pathlib import Path
from tuitrain.record.commands import Set
from tuitrain.record.events import Applied, Switches
from tuitrain.record.journal import Reader
from tuitrain.record.link import SocketLink
directory, value = Path(sys.argv[1]), sys.argv[2] == "on"
link, sent, seen, shown = SocketLink(directory, name=sys.argv[2]), [], [], None
with closing(link), closing(Reader(directory / "journal.sqlite")) as reader:
    def look():
        global shown
        for event in reader.poll().events:
            if isinstance(event, Applied):
                seen.append((event.executed, event.id, event.by, event.value))
            elif isinstance(event, Switches):
                shown = event.values
    print(link.speaker, flush=True)
    for line in sys.stdin:
        if line == "end\\n":
            break
        command = Set(name="clip", value=value)
        link.send(command)
        sent.append(command.id)
        look()
        assert link.trouble is None, link.trouble
    link.settle(30)
    look()
print(json.dumps({"sent": sent, "seen": seen, "shown": shown}), flush=True)
"""
"""A viewer that sends one value of a switch at each line it is told, and follows the journal all the while."""


def test_two_viewers_who_disagree_a_thousand_times_see_one_order_and_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "COMMIT_INTERVAL_S", 0.001)
    limits, order, clipping = dataclasses.replace(PATIENT, messages_per_s=math.inf), list[list[object]](), False
    directory = tmp_path / "run"
    with (
        hosted(directory, limits) as run,
        Journal(directory / "journal.sqlite") as journal,
        child(OPPONENT, directory, "on") as on,
        child(OPPONENT, directory, "off") as off,
    ):
        speakers = [line(viewer) for viewer in (on, off)]
        for step in range(1, 1001):
            for viewer in (on, off) if step % 2 else (off, on):
                tell(viewer, "go")
            due: list[AnyCommand] = []
            while len(due) < 2:  # both wait for the same boundary between two steps
                due += run.inbox.wait(TIMEOUT_S)
            for command in due:
                assert isinstance(command, Set)
                assert isinstance(command.value, bool)
                clipping = command.value
                order.append([step, command.id, command.by, clipping])
                journal.say(Applied(executed=step, id=command.id, word="clip", value=clipping, by=command.by))
                journal.say(Switches(executed=step, values={"clip": clipping}))
        journal.close()
        for viewer in (on, off):
            tell(viewer, "end")
        ends = [json.loads(line(viewer)) for viewer in (on, off)]
    assert len(order) == 2000
    assert {by for _, _, by, _ in order} == set(speakers) == {f"on ({on.pid})", f"off ({off.pid})"}
    for end, speaker, value in zip(ends, speakers, (True, False), strict=True):
        assert end["seen"] == order
        assert end["shown"] == {"clip": clipping}
        assert [id_ for _, id_, by, _ in order if by == speaker] == end["sent"]
        assert [(step, shown) for step, _, by, shown in order if by == speaker] == [
            (step, value) for step in range(1, 1001)
        ]
    assert {first[2] for first in order[::2]} == set(speakers)  # each came first at times
