"""An Avro file as a header and a sequence of blocks, each with its number of rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.connectors.errors import SourceError

MAGIC = b"Obj\x01"
SYNC = 16
BLOCK_LIMIT = 64 << 20
_HEAD_LIMIT = 16 << 20
_VARINT = 10


@dataclass(frozen=True, slots=True)
class Block:
    """A block from `start` to `end` of the file; its data are from `data` to `end - SYNC`."""

    start: int
    data: int
    end: int
    rows: int


class Container:
    """An open Avro file. Raises SourceError: `empty_file`, `bad_avro`."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        try:
            self.size = os.fstat(self._file).st_size
            if not self.size:
                raise SourceError("empty_file", "It is empty.", "An Avro file has at least a header.")
            self.schema, self.codec, self.sync, self.start = self._header()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def blocks(self, start: int, end: int | None = None) -> Iterator[Block]:
        """The blocks between two offsets; only their counts and sync markers are read. Raises SourceError: `cut_off`,
        `bad_avro`."""
        position, end = start, self.size if end is None else end
        while position < end:
            head = os.pread(self._file, 2 * _VARINT, position)
            rows, at = number(head, 0, position)
            size, at = number(head, at, position)
            block = Block(position, position + at, position + at + size + SYNC, rows)
            if rows < 0 or not 0 <= size <= BLOCK_LIMIT:
                raise damaged(position)
            if block.end > self.size:
                raise SourceError(
                    "cut_off",
                    f"It is cut off: the block at byte {position} of {self.size:,} is not whole.",
                    "Send it again, or compare it with the original.",
                )
            if os.pread(self._file, SYNC, block.end - SYNC) != self.sync:
                raise damaged(position)
            yield block
            position = block.end

    def data(self, block: Block) -> bytes:
        """The data of a block, still compressed."""
        return os.pread(self._file, block.end - SYNC - block.data, block.data)

    def _header(self) -> tuple[Any, str, bytes, int]:
        head = os.pread(self._file, 1 << 16, 0)
        if not head.startswith(MAGIC):
            raise SourceError(
                "bad_avro", "It is not an Avro file: it does not begin with Obj.", "Set format to what it is."
            )
        while True:
            try:
                meta, at = _metadata(head)
                sync = head[at : at + SYNC]
                if len(sync) < SYNC:
                    raise IndexError
                break
            except IndexError:
                if len(head) >= min(self.size, _HEAD_LIMIT):
                    raise SourceError("cut_off", "It is cut off within its header.", "Send it again.") from None
                head = os.pread(self._file, len(head) * 8, 0)
        try:
            schema = json.loads(meta[b"avro.schema"])
            codec = meta.get(b"avro.codec", b"null").decode()
        except (KeyError, ValueError, RecursionError):
            raise SourceError("bad_avro", "Its header holds no schema.") from None
        return schema, codec, sync, at + SYNC


def _metadata(head: bytes) -> tuple[dict[bytes, bytes], int]:
    """The metadata of the header and the offset after it. Raises IndexError if more of the header is needed."""
    meta: dict[bytes, bytes] = {}
    at = len(MAGIC)
    while True:
        count, at = number(head, at, 0)
        if not count:
            return meta, at
        if count < 0:  # a negative count is followed by the size in bytes
            _, at = number(head, at, 0)
        for _ in range(abs(count)):
            key, at = _bytes(head, at)
            meta[key], at = _bytes(head, at)


def _bytes(head: bytes, at: int) -> tuple[bytes, int]:
    size, at = number(head, at, 0)
    if not 0 <= size <= _HEAD_LIMIT:
        raise damaged(0)
    if at + size > len(head):
        raise IndexError
    return head[at : at + size], at + size


def number(data: bytes, at: int, where: int) -> tuple[int, int]:
    """A variable-length number and the offset after it. Raises IndexError if the header ends in it."""
    value = shift = 0
    for place in range(at, at + _VARINT):
        if place >= len(data) and where:
            raise SourceError("cut_off", f"It is cut off: the block at byte {where} is not whole.", "Send it again.")
        byte = data[place]
        value |= (byte & 127) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), place + 1
        shift += 7
    raise damaged(where)


def written(value: int) -> bytes:
    """A number that is not negative, in Avro's encoding."""
    value <<= 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def damaged(at: int) -> SourceError:
    """The error for an invalid block."""
    return SourceError(
        "bad_avro", f"It is damaged: what is at byte {at} is not a block of an Avro file.", "Send it again."
    )
