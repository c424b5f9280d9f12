"""A byte range of delimited text in pieces that end where a record does."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.base import SourceError
from connectors.files.delimited.structure import Carry, places, structure
from connectors.files.streams import ByteStream

CHUNK_BYTES = 8 << 20
RECORD_LIMIT = 64 << 20
_TAIL = 1 << 16
_TRIES = 8


def record_chunks(
    stream: ByteStream, start: int, end: int | None, quote: int | None, chunk_bytes: int
) -> Iterator[tuple[int, bytes]]:
    """(offset behind the chunk, chunk) from `start`, a record's start, to `end` (None: the end of the file).

    Every chunk holds whole records; the last may lack its newline. Raises SourceError(`record_too_large`).
    """
    position = start
    while end is None or position < end:
        chunk = _chunk(stream, position, end, quote, chunk_bytes)
        if not chunk:
            return
        position += len(chunk)
        yield position, chunk
        stream.release(position)


def _chunk(stream: ByteStream, start: int, end: int | None, quote: int | None, chunk_bytes: int) -> bytes:
    size = chunk_bytes
    while True:
        wanted = size if end is None else min(size, end - start)
        chunk = _guess(stream, start, wanted, quote) if stream.seekable else None
        if chunk is not None:
            return chunk
        block = stream.read_at(start, wanted)
        if len(block) < wanted or (end is not None and start + wanted >= end):
            return block
        boundary = last_boundary(block, quote)
        if boundary:
            return block[:boundary]
        if size >= RECORD_LIMIT:
            raise SourceError(
                "record_too_large",
                f"The record at byte {start} is longer than {RECORD_LIMIT >> 20} MB.",
                "A quote that is never closed does this; check options.quote.",
            )
        size = min(size * 4, RECORD_LIMIT)


def _guess(stream: ByteStream, start: int, wanted: int, quote: int | None) -> bytes | None:
    """Finds the last newline in a small tail first, so that the chunk is read once and never copied."""
    if wanted <= 2 * _TAIL:
        return None
    tail = stream.read_at(start + wanted - _TAIL, _TAIL)
    newline = tail.rfind(b"\n")
    if newline < 0:
        return None
    chunk = stream.read_at(start, wanted - _TAIL + newline + 1)
    if quote is not None and quote in chunk and chunk.count(quote) & 1:
        return None
    return chunk


def last_boundary(block: bytes, quote: int | None) -> int:
    """Where the last whole record of a block that starts at a record ends; 0 when none does."""
    boundary = block.rfind(b"\n") + 1
    if quote is None or not boundary:
        return boundary
    odd = block.count(quote, 0, boundary) & 1
    for _ in range(_TRIES):
        if not odd or not boundary:
            return boundary
        earlier = block.rfind(b"\n", 0, boundary - 1) + 1
        odd ^= block.count(quote, earlier, boundary) & 1
        boundary = earlier
    ends = places(structure(block, quote, Carry()).ends, len(block))
    return int(ends[-1]) + 1 if len(ends) else 0
