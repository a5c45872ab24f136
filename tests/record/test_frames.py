"""Framing: what is said is what is heard, in whatever pieces it comes, and what is no message is one kind of error."""

import itertools
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuitrain.record.commands import AnyCommand, Checkpoint, Set, Stop
from tuitrain.record.frames import MOST_FRAME_BYTES, FrameDecoder, FrameError, encode_frame
from tuitrain.record.messages import FromRun, FromViewer, Hello, Refused, Taken, Trouble, Welcome

tokens = st.from_regex(r"[a-z0-9_.-]{1,64}", fullmatch=True)
messages: st.SearchStrategy[Hello | AnyCommand] = st.one_of(
    st.builds(Hello, protocol=st.integers(0, 2**31), name=st.text(max_size=300)),
    st.builds(
        Set, id=tokens, by=st.text(), name=tokens, value=st.booleans() | st.floats(allow_nan=False) | tokens
    ),
    st.builds(Stop, id=tokens),
    st.builds(Checkpoint, id=tokens, by=st.text()),
)  # fmt: skip


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def pieces(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The stream, cut at the given places (each taken modulo its length)."""
    at = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(at)]


def heard(stream: Sequence[bytes]) -> tuple[list[Hello | AnyCommand], bool]:
    """The messages that a decoder gives, and whether it then raised."""
    decoder: FrameDecoder[Hello | AnyCommand] = FrameDecoder(FromViewer)
    got: list[Hello | AnyCommand] = []
    try:
        for piece in stream:
            got.extend(decoder.feed(piece))
    except FrameError:
        return got, True
    return got, False


@given(st.lists(messages, max_size=6), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_messages_in_any_pieces_are_heard_as_they_were_said(
    said: list[Hello | AnyCommand], cuts: list[int]
) -> None:
    stream = b"".join(encode_frame(message) for message in said)
    assert heard(pieces(stream, cuts)) == (said, False)
    assert heard([bytes([byte]) for byte in stream]) == (said, False)


@given(st.lists(messages, max_size=3), messages, st.integers(1, 10_000))
def test_what_is_not_finished_is_not_given_and_the_rest_of_it_completes_it(
    said: list[Hello | AnyCommand], last: Hello | AnyCommand, cut: int
) -> None:
    decoder: FrameDecoder[Hello | AnyCommand] = FrameDecoder(FromViewer)
    whole = encode_frame(last)
    missing = 1 + cut % (len(whole) - 1)
    assert not decoder.unfinished
    stream = b"".join(map(encode_frame, said)) + whole[:-missing]
    assert list(decoder.feed(stream)) == said
    assert decoder.unfinished
    assert list(decoder.feed(whole[-missing:])) == [last]
    assert not decoder.unfinished


@given(st.lists(messages, max_size=3), st.binary(max_size=100), st.lists(st.integers(0, 10_000), max_size=10))
@example([], b"", [])
def test_garbage_ends_it_after_what_came_before_wherever_it_was_cut(
    said: list[Hello | AnyCommand], garbage: bytes, cuts: list[int]
) -> None:
    try:
        msgspec.msgpack.decode(garbage, type=FromViewer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        after = encode_frame(Stop())
        stream = b"".join(map(encode_frame, said)) + framed(garbage) + after
        assert heard(pieces(stream, cuts)) == (said, True)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
def test_any_bytes_at_all_give_messages_or_that_one_error(stream: bytes, cuts: list[int]) -> None:
    assert heard(pieces(stream, cuts)) == heard([stream])


@pytest.mark.parametrize(
    "body",
    [
        msgspec.msgpack.encode({"command": "set", "id": "ab", "name": "lr", "value": 1}).replace(b"ab", b"\xff\xfe"),
        msgspec.msgpack.encode({"command": "stop", "x": [[1]]}).replace(b"\x91\x01", b"\x91" * 40_000 + b"\x01"),
        msgspec.msgpack.encode({"command": "set", "id": "a b", "name": "lr", "value": 1}),
        msgspec.msgpack.encode({"command": "set", "id": "a", "name": "lr\n", "value": 1}),
        msgspec.msgpack.encode({"command": "set", "id": "a", "name": "n" * 65, "value": 1}),
        msgspec.msgpack.encode({"command": "set", "id": "a", "name": "lr", "value": "\x1b[2J"}),
        msgspec.msgpack.encode({"command": "halt"}),
        b"\xc1",
    ],
    ids=["no UTF-8", "too deep", "space", "line break", "long name", "escape", "unknown command", "no MessagePack"],
)  # fmt: skip
def test_what_is_no_message_of_ours_is_refused(body: bytes) -> None:
    decoder: FrameDecoder[Hello | AnyCommand] = FrameDecoder(FromViewer)
    with pytest.raises(FrameError):
        list(decoder.feed(framed(body)))
    with pytest.raises(FrameError):
        list(decoder.feed(encode_frame(Stop())))


def test_the_longest_message_is_heard_and_one_byte_more_is_neither_said_nor_waited_for() -> None:
    overhead = len(encode_frame(Hello(1, "x" * 60_000))) - 4 - 60_000
    longest = Hello(1, "x" * (MOST_FRAME_BYTES - overhead))
    assert heard([encode_frame(longest)]) == ([longest], False)
    with pytest.raises(FrameError, match="65,537 bytes is too long"):
        encode_frame(Hello(1, longest.name + "x"))
    decoder: FrameDecoder[Hello | AnyCommand] = FrameDecoder(FromViewer)
    with pytest.raises(FrameError, match="claims 65,537 bytes"):
        list(decoder.feed((MOST_FRAME_BYTES + 1).to_bytes(4, "big")))


def test_what_a_run_answers_survives_the_journey() -> None:
    decoder: FrameDecoder[FromRun] = FrameDecoder(FromRun)
    answers = [Welcome(1), Taken("1-1"), Refused("", "no"), Refused("1-2", "no"), Trouble(None), Trouble("full")]
    assert list(decoder.feed(b"".join(map(encode_frame, answers)))) == answers
