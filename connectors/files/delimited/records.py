"""Records of delimited text: where they end, and a byte range read in chunks of whole records."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.quoting import has_misplaced_quotes, resolve_quotes
from headrace.connectors.files.delimited.structure import (
    NEWLINE,
    NO_POSITIONS,
    RETURN,
    Marks,
    Structure,
    bits_of,
    count,
    inside_quotes,
    last_bit,
    shifted,
    view,
)
from headrace.connectors.files.streams import ByteStream


def find_records(block: bytes, marks: Marks, *, final: bool, limit: int | None = None) -> Structure:
    """The whole records of a block that starts at a record. `final`: nothing follows the block. A quoted field that
    makes its record longer than `limit` counts as unclosed."""
    data = view(block)
    ends = bits_of(data, marks.eol)
    inside = delimiters = None
    stray = unclosed = NO_POSITIONS
    whole = -1
    if marks.quote is not None and marks.quote.to_bytes(1, "little") in block:
        quotes, delimiters = bits_of(data, marks.quote), bits_of(data, marks.delimiter)
        parity = inside_quotes(quotes, 0)
        wrong = has_misplaced_quotes(block, quotes, parity, ends, delimiters, marks, final=final)
        open_end = bool(count(quotes) & 1)
        full = limit is not None and len(block) >= limit
        if wrong or (open_end and (final or full)):
            found = resolve_quotes(data, quotes, marks, final=final, limit=limit)
            ends, inside, stray, unclosed, whole = found.ends, found.inside, found.stray, found.unclosed, found.whole
        else:
            inside = parity
            ends = ends & ~inside
    if whole < 0:
        whole = len(block) if final else last_bit(ends) + 1
    starts = shifted(ends, 1)
    blanks = ends & starts
    if marks.eol == NEWLINE and b"\r" in block:
        returns = bits_of(data, RETURN) & starts
        if inside is not None:
            returns &= ~inside
        blanks |= ends & shifted(returns, 0)
    rest = block[last_bit(ends) + 1 : whole]
    unended = int(bool(rest) and (rest != b"\r" or marks.eol != NEWLINE))
    found_blanks = blanks if blanks.any() else None
    return Structure(ends, found_blanks, inside, len(block), whole, unended, delimiters, stray, unclosed)


CHUNK_BYTES = 8 << 20
RECORD_LIMIT = 64 << 20
_TAIL = 1 << 15


def record_chunks(
    stream: ByteStream,
    start: int,
    end: int | None,
    marks: Marks,
    chunk_bytes: int,
    *,
    limit: int = RECORD_LIMIT,
    keep: bool = False,
) -> Iterator[tuple[int, bytes, Structure | None]]:
    """Yields (offset after the chunk, chunk, its records) from `start`, the begin of a record, to `end` (None: the end
    of the file). The records are None if quotes are irrelevant in the chunk and were not looked at.

    `keep`: the stream will be read from `start` again. Every chunk holds whole records; the last may lack its line end.
    Raises SourceError(`record_too_large`).
    """
    position = start
    while end is None or position < end:
        chunk, shape = _chunk(stream, position, end, marks, chunk_bytes, limit)
        if not chunk:
            return
        position += len(chunk)
        yield position, chunk, shape
        if not keep:
            stream.release(position)


def _chunk(
    stream: ByteStream, start: int, end: int | None, marks: Marks, chunk_bytes: int, limit: int
) -> tuple[bytes, Structure | None]:
    size = min(chunk_bytes, limit)
    guess = stream.seekable
    while True:
        wanted = size if end is None else min(size, end - start)
        block = _guess(stream, start, wanted, marks) if guess else None
        guessed, guess, final = block is not None, False, False
        if block is None:
            block = stream.read_at(start, wanted)
            final = len(block) < wanted or (end is not None and start + wanted >= end)
            if end is None and not final:
                final = not stream.read_at(start + wanted, 1)
        if final and not block:
            return block, None
        if marks.quote is None or marks.quote not in block:
            whole = len(block) if final else block.rfind(marks.eol) + 1
            if whole:
                return block[:whole], None
        else:
            shape = find_records(block, marks, final=final, limit=limit)
            if shape.whole == len(block):
                return block, shape
            if shape.whole:
                return block[: shape.whole], shape.first(shape.whole)
        if guessed:
            continue
        if size >= limit:
            raise SourceError(
                "record_too_large",
                f"The record at byte {start} is longer than {limit >> 20} MB.",
                "Check options.delimiter, and that lines end with a newline.",
            )
        size = min(size * 4, limit)


def _guess(stream: ByteStream, start: int, wanted: int, marks: Marks) -> bytes | None:
    """Reads up to the last line end, found in a small tail first, so that the chunk is read once and never copied."""
    if wanted <= 2 * _TAIL:
        return None
    tail = stream.read_at(start + wanted - _TAIL, _TAIL)
    newline = tail.rfind(marks.eol)
    return None if newline < 0 else stream.read_at(start, wanted - _TAIL + newline + 1)
