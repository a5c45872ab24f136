"""Tables of numbers as sealed bytes: small, and not one bit of them can change unseen."""

import zlib

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SEAL_BYTES = 4
_FASTEST = 1


class Damaged(Exception):
    """What was read is not what was written."""


def seal(place: str, key: int, payload: bytes) -> bytes:
    """The payload behind a CRC-32 of it and of where it belongs: a table, and a key in it."""
    return _checksum(place, key, payload) + payload


def unseal(place: str, key: int, body: object) -> bytes:
    """What was sealed; Damaged if a bit of it changed, or if it belongs somewhere else."""
    if not isinstance(body, bytes) or body[:_SEAL_BYTES] != _checksum(place, key, body[_SEAL_BYTES:]):
        raise Damaged(f"{place} {key} is not as it was written")
    return body[_SEAL_BYTES:]


def _checksum(place: str, key: int, payload: bytes) -> bytes:
    return zlib.crc32(payload, zlib.crc32(f"{place} {key}".encode())).to_bytes(_SEAL_BYTES, "little")


def pack(table: Floats) -> bytes:
    """A table of numbers (R, N), compressed: the bytes of equal weight of each row stand together."""
    rows, width = table.shape
    octets = np.ascontiguousarray(table, "<f8").view(np.uint8).reshape(rows, width, 8)
    return zlib.compress(octets.transpose(0, 2, 1).tobytes(), _FASTEST)


def unpack(packed: bytes, rows: int) -> Floats:
    """The table of `rows` rows that was packed. (rows, N)"""
    octets = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(rows, 8, -1)
    return np.ascontiguousarray(octets.transpose(0, 2, 1)).view("<f8")[..., 0]
