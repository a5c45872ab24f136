"""The wire between a script and its host: in pieces of any length, and never waiting."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuitrain.engine.script.wire import MOST_EVENT_BYTES, MOST_WAITING_BYTES, EventDecoder, Wire
from tuitrain.record.commands import Set, Stop
from tuitrain.record.events import Event, LogLine, Status
from tuitrain.record.frames import FrameError, encode_frame


@pytest.fixture
def ends() -> Iterator[tuple[Wire, socket.socket]]:
    script, host = socket.socketpair()
    wire = Wire(script.detach())
    with host:
        yield wire, host
        wire.close()


def received(host: socket.socket) -> bytes:
    """All that has come."""
    host.setblocking(False)
    pieces = []
    try:
        while piece := host.recv(1 << 20):
            pieces.append(piece)
    except BlockingIOError:
        pass
    return b"".join(pieces)


@given(cuts=st.lists(st.integers(0, 400)), texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_events_arrive_whole_in_whatever_pieces(cuts: list[int], texts: list[str]) -> None:
    script, host = socket.socketpair()
    wire = Wire(script.detach())
    said: list[Event] = [LogLine(stream="run", text=text, executed=number) for number, text in enumerate(texts)]
    for event in said:
        wire.say(event)
    wire.flush()
    with host:
        data = received(host)
    wire.close()
    decoder, heard = EventDecoder(), list[Event]()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        heard += decoder.feed(data[begin:end])
    assert heard == said


def test_what_is_no_event_is_an_error_after_those_before_it(ends: tuple[Wire, socket.socket]) -> None:
    wire, host = ends
    line = LogLine(stream="run", text="before it")
    wire.say(line)
    wire.flush()
    heard = EventDecoder().feed(received(host) + b"\x00\x00\x00\x01\xc1")
    assert next(heard) == line
    with pytest.raises(FrameError, match="cannot be read"):
        next(heard)
    with pytest.raises(FrameError, match="claims"):
        next(EventDecoder().feed((MOST_EVENT_BYTES + 1).to_bytes(4, "big")))


def test_a_host_that_does_not_read_is_not_waited_for(ends: tuple[Wire, socket.socket]) -> None:
    """What there is no room for is lost, and that is told once there is room again; no event arrives in part."""
    wire, host = ends
    line = LogLine(stream="run", text="x" * 60_000)
    sent = 2 * MOST_WAITING_BYTES // 60_000
    for _ in range(sent):
        wire.say(line)
        wire.flush()
    assert 0 < wire.lost < sent
    lost, decoder, heard = wire.lost, EventDecoder(), list[Event]()
    while piece := received(host):
        heard += decoder.feed(piece)
        wire.flush()
    assert heard.count(line) == sent - lost
    assert LogLine(stream="run", text=f"{lost:,} events are lost: they were not read in time.") in heard
    assert len(heard) == sent - lost + 1


def test_commands_come_down(ends: tuple[Wire, socket.socket]) -> None:
    wire, host = ends
    assert wire.commands() == []
    commands = [Set(name="lr", value=0.5), Stop()]
    frames = b"".join(map(encode_frame, commands))
    host.sendall(frames[:5])
    assert wire.wait(0.0) == []
    host.sendall(frames[5:])
    assert wire.wait(10.0) == commands


def test_a_host_that_has_gone_is_noticed_and_not_spoken_to(ends: tuple[Wire, socket.socket]) -> None:
    wire, host = ends
    host.close()
    wire.say(Status(state="running"))
    wire.flush()
    assert not wire.is_open
    wire.say(Status(state="running"))
    wire.farewell()
    assert wire.commands() == wire.wait(1.0) == []
    assert wire.lost == 0
