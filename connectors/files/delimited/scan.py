"""One pass over a delimited file before rows are loaded: record counts, cuts at records, samples, encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import Dialect, bad_encoding
from headrace.connectors.files.delimited.encoding import byte_in_file, invalid_offsets, is_utf8
from headrace.connectors.files.delimited.known_chunks import ChunkNotes, Noted
from headrace.connectors.files.delimited.records import CHUNK_BYTES, find_records, record_chunks
from headrace.connectors.files.delimited.structure import BITS, Structure, places
from headrace.connectors.files.streams import ByteStream

BLOCK = 1 << 20
"""Its packed bits stay in the processor's cache."""
SAMPLE = 1 << 16
SPOTS = 16
_WHOLE = _LONG_LINE = 1 << 20
_BAD_SHARE = 1000  # one invalid row in a thousand is a wrong encoding, one in a million a broken row


@dataclass(frozen=True, slots=True)
class Slice:
    """A byte range that starts and ends at records, its number of records, and what is known of its chunks."""

    start: int
    end: int
    rows: int
    noted: Noted = ()


@dataclass(slots=True)
class Scan:
    """The result of the pass. `samples` are runs of whole records; `complete`: they are the whole file."""

    slices: list[Slice] = field(default_factory=list)
    rows: int = 0
    samples: list[bytes] = field(default_factory=list)
    complete: bool = False


def scan(
    stream: ByteStream,
    start: int,
    dialect: Dialect,
    *,
    pieces: int,
    name: str,
    columns: int = 1,
    sampled: bool = True,
    block_bytes: int = BLOCK,
    chunk_bytes: int = CHUNK_BYTES,
) -> Scan:
    """Counts the records from `start` (the first data record) of so many columns, divides them into at most `pieces`
    slices of similar size, and notes chunks of about `chunk_bytes`. Without `sampled` there are no samples.

    Raises SourceError: `unterminated_quote` if every record has an unclosed quote, `bad_encoding` with offset and row.
    """
    found = Scan(complete=stream.size is not None and stream.size - start <= _WHOLE)
    span = 0 if stream.size is None else stream.size - start
    targets = [start + span * piece // pieces for piece in range(1, pieces)] if span else []
    spots = [start + span * spot // SPOTS for spot in range(SPOTS)]
    text = _EncodingCheck(dialect)
    position = cut = start
    cut_rows = unclosed = 0
    notes = ChunkNotes(dialect.marks.delimiter, columns, chunk_bytes)
    for end_offset, block, known in record_chunks(stream, start, None, dialect.marks, min(block_bytes, chunk_bytes)):
        shape = known or find_records(block, dialect.marks.unquoted, final=True)
        text.feed(block, position, found.rows, shape)
        ends = None
        noted = noted_rows = 0
        while targets and targets[0] < position + len(block):
            ends = places(shape.ends, len(block)) if ends is None else ends
            at = int(np.searchsorted(ends, targets[0] - position))
            if at == len(ends):
                break
            boundary, rows = position + int(ends[at]) + 1, found.rows + _records_to(shape, ends, at)
            if rows > cut_rows:
                notes.add(block, shape, noted, boundary - position, rows - found.rows - noted_rows)
                noted, noted_rows = boundary - position, rows - found.rows
                found.slices.append(Slice(cut, boundary, rows - cut_rows, notes.taken()))
                cut, cut_rows = boundary, rows
            targets = [target for target in targets if target >= boundary]
        if not sampled:
            pass
        elif found.complete:
            found.samples.append(block)
        elif stream.size is None:
            _add_sample(found, block, shape, 0)
        else:
            for spot in [spot for spot in spots if position <= spot < position + len(block)]:
                _add_sample(found, block, shape, spot - position)
        notes.add(block, shape, noted, len(block), shape.records - noted_rows)
        found.rows += shape.records
        unclosed += len(shape.unclosed)
        position = end_offset
    if unclosed and unclosed == found.rows:
        raise SourceError(
            "unterminated_quote",
            f"Every record of {name} has a quote that is never closed; the first starts in row 1.",
            "Close it, double it if it is part of the text, or set options.quote to null if quotes mean nothing here.",
        )
    text.check(name, found.rows, position)
    if found.rows > cut_rows or not found.slices:
        found.slices.append(Slice(cut, position, found.rows - cut_rows, notes.taken()))
    elif found.slices:
        last = found.slices.pop()  # only blank lines follow the last cut
        found.slices.append(Slice(last.start, position, last.rows, last.noted))
    return found


def _records_to(shape: Structure, ends: BITS, at: int) -> int:
    if shape.blanks is None:
        return at + 1
    blanks = places(shape.blanks, shape.length)
    return at + 1 - int(np.searchsorted(blanks, ends[at], side="right"))


def _add_sample(found: Scan, block: bytes, shape: Structure, spot: int) -> None:
    """Adds about SAMPLE bytes of whole records from `spot` on."""
    if len(found.samples) >= 2 * SPOTS:
        return
    ends = places(shape.ends, len(block))
    first = 0 if spot == 0 and not found.samples else int(np.searchsorted(ends, spot))
    begin = 0 if spot == 0 and not found.samples else (int(ends[first]) + 1 if first < len(ends) else len(block))
    last = int(np.searchsorted(ends, begin + SAMPLE, side="right")) - 1
    if last >= 0 and ends[last] >= begin:
        found.samples.append(block[begin : int(ends[last]) + 1])


class _EncodingCheck:
    """Distinguishes a file in the wrong encoding from one with a few broken rows."""

    def __init__(self, dialect: Dialect) -> None:
        self._encoding, self._eol = dialect.encoding, dialect.eol
        self._tail = b""
        self._other_alphabets = False
        self._bad_rows = 0
        self._first: tuple[int, int, int, str] | None = None

    def feed(self, block: bytes, position: int, rows: int, shape: Structure) -> None:
        if block.isascii() and not self._tail:
            return
        text, offset = self._tail + block, position - len(self._tail)
        cut = text.rfind(self._eol) + 1
        text, self._tail = text[:cut], b"" if text[cut:].isascii() else text[cut:]
        if len(self._tail) > _LONG_LINE:
            self._tail = b""  # such a long line is checked when it is read
        ends: BITS | None = None

        def row_of(place: int) -> int:
            nonlocal ends
            ends = places(shape.ends, len(block)) if ends is None else ends
            at = int(np.searchsorted(ends, place - position)) - 1
            return rows + (_records_to(shape, ends, at) if at >= 0 else 0) + 1

        self._check(text, offset, row_of)

    def check(self, name: str, rows: int, end: int) -> None:
        self._check(self._tail, end - len(self._tail), lambda place: rows)
        if self._first and not self._other_alphabets and self._bad_rows * _BAD_SHARE > rows:
            raise bad_encoding(name, *self._first)

    def _check(self, text: bytes, offset: int, row_of: Callable[[int], int]) -> None:
        if text.isascii():
            return
        if is_utf8(text):
            self._other_alphabets = True
            return
        try:
            text.decode()
        except UnicodeDecodeError as error:
            self._other_alphabets |= not text.decode(errors="ignore").isascii()
            if self._first is None:
                codec, byte = byte_in_file(text, error.start, self._encoding)
                self._first = (offset + error.start, row_of(offset + error.start), byte, codec)
            self._bad_rows += len(invalid_offsets(text, self._eol))
