"""Records that hold several records of their producer: the format of the Kinesis Producer Library (KPL).

Four bytes that mark it, a message of protocol buffers, and the MD5 of that message:

    message AggregatedRecord {
      repeated string partition_key_table = 1;
      repeated string explicit_hash_key_table = 2;
      repeated Record records = 3;
    }
    message Record {
      required uint64 partition_key_index = 1;
      optional uint64 explicit_hash_key_index = 2;
      required bytes data = 3;
      repeated Tag tags = 4;
    }

What is not exactly that is a record like any other, as it is for Amazon's own consumers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAGIC = b"\xf3\x89\x9a\xc2"
_MD5 = 16
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Part:
    """A record in an aggregated one. `hash_key` says which shard it belongs to, 0 to 2**128 - 1."""

    key: str
    data: bytes
    hash_key: int


def parts_of(data: bytes) -> Sequence[Part] | None:
    """The records in an aggregated record; None where it is none."""
    if data[:4] != MAGIC or len(data) < len(MAGIC) + _MD5:
        return None
    message = data[len(MAGIC) : -_MD5]
    if hashlib.md5(message, usedforsecurity=False).digest() != data[-_MD5:]:
        return None
    try:
        return _parts(message)
    except (ValueError, IndexError):
        return None


def hash_key_of(key: str) -> int:
    """What says which shard a partition key belongs to."""
    return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest(), "big")


def _parts(message: bytes) -> list[Part]:
    keys: list[str] = []
    explicit: list[int] = []
    records: list[bytes] = []
    for number, value in _fields(message):
        if number in (1, 2, 3) and not isinstance(value, bytes):
            raise ValueError("another type")
        if number == 1:
            keys.append(value.decode())  # type: ignore[union-attr]
        elif number == 2:
            explicit.append(int(value.decode()))  # type: ignore[union-attr]
        elif number == 3:
            records.append(value)  # type: ignore[arg-type]
    hashes = [hash_key_of(key) for key in keys]
    return [_part(dict(_fields(each)), keys, hashes, explicit) for each in records]


def _part(fields: dict[int, int | bytes], keys: list[str], hashes: list[int], explicit: list[int]) -> Part:
    at, data, chosen = fields.get(1), fields.get(3), fields.get(2)
    if not isinstance(at, int) or not isinstance(data, bytes) or isinstance(chosen, bytes):
        raise ValueError("a field is missing")
    return Part(keys[at], data, hashes[at] if chosen is None else explicit[chosen])


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field. Raises ValueError, IndexError for what is no message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, at = _varint(message, at)
        if size is None or at + size > len(message):
            raise ValueError("no field")
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of at most 64 bits, and where the next field begins."""
    value = shift = 0
    while shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("no number")
