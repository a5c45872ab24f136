"""Messages on a stream of bytes: each a MessagePack object behind its length, none longer than a bound."""

import struct
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

MOST_FRAME_BYTES = 64 * 1024
"""The most bytes of one message; what claims to be longer is refused before it is read."""

_LENGTH = struct.Struct(">I")
_T = TypeVar("_T")


class FrameError(Exception):
    """What came is no message: too long, or not what was expected. Nothing after it on the stream can be read."""


def encode_frame(message: msgspec.Struct) -> bytes:
    """A message as it travels: four bytes of length (big-endian), then the message. FrameError if it is too long."""
    body = msgspec.msgpack.encode(message)
    if len(body) > MOST_FRAME_BYTES:
        raise FrameError(f"a message of {len(body):,} bytes is too long: {MOST_FRAME_BYTES:,} are the most.")
    return _LENGTH.pack(len(body)) + body


class FrameDecoder(Generic[_T]):
    """Puts messages of one type (or union of types) together again, from pieces of any length."""

    def __init__(self, expected: Any) -> None:  # noqa: ANN401 - a type, or a union of types, whose values are _T
        self._decoder: msgspec.msgpack.Decoder[_T] = msgspec.msgpack.Decoder(expected)
        self._pieces = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether part of a message has come, and the rest has not."""
        return bool(self._pieces)

    def feed(self, piece: bytes) -> Iterator[_T]:
        """Add what has come; then the messages that are complete, one by one.

        FrameError where something on the stream is no message; those before it are given first, those after it never.
        """
        self._pieces += piece
        return self._complete()

    def _complete(self) -> Iterator[_T]:
        while len(self._pieces) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pieces)
            if length > MOST_FRAME_BYTES:
                raise FrameError(f"a message claims {length:,} bytes: {MOST_FRAME_BYTES:,} are the most.")
            end = _LENGTH.size + length
            if len(self._pieces) < end:
                return
            try:
                message = self._decoder.decode(self._pieces[_LENGTH.size : end])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise FrameError(f"a message cannot be read ({error}).") from error
            del self._pieces[:end]
            yield message
