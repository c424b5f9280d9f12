"""Aggregated records as the Kinesis Producer Library writes them, and what its tests read them back with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from headrace.connectors.kinesis.aggregation import MAGIC


def aggregated(parts: Sequence[tuple[str, bytes] | tuple[str, bytes, int]], *, extra: bytes = b"") -> bytes:
    """Records of a key, data and perhaps a hash key of its own, in one; `extra` is put into each, as tags are."""
    keys = list(dict.fromkeys(each[0] for each in parts))
    explicit = list(dict.fromkeys(each[2] for each in parts if len(each) == 3))
    message = b"".join(_field(1, key.encode()) for key in keys)
    message += b"".join(_field(2, str(each).encode()) for each in explicit)
    for each in parts:
        body = b"\x08" + _varint(keys.index(each[0]))
        if len(each) == 3:
            body += b"\x10" + _varint(explicit.index(each[2]))
        message += _field(3, body + _field(3, each[1]) + extra)
    return MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
