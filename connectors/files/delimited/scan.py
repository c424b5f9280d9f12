"""One pass over a delimited file before a byte is loaded: exact record counts, cuts at records, samples, encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from connectors.base import SourceError
from connectors.files.delimited.dialect import Dialect, bad_encoding
from connectors.files.delimited.encoding import undecodable
from connectors.files.delimited.quoting import first_suspect_quote
from connectors.files.delimited.structure import BITS, Carry, Structure, places, structure
from connectors.files.streams import ByteStream

BLOCK = 4 << 20
SAMPLE = 1 << 16
SPOTS = 16
_WHOLE = _LONG_LINE = 1 << 20
_BAD_SHARE = 1000  # one undecodable row in a thousand is a wrong encoding, one in a million a broken row


@dataclass(frozen=True, slots=True)
class Slice:
    """A byte range that starts and ends at records, and how many it holds."""

    start: int
    end: int
    rows: int


@dataclass(slots=True)
class Scan:
    """What the pass found. `samples` are runs of whole records; `complete` says that they are the whole file."""

    slices: list[Slice] = field(default_factory=list)
    rows: int = 0
    samples: list[bytes] = field(default_factory=list)
    complete: bool = False


def scan(stream: ByteStream, start: int, dialect: Dialect, *, pieces: int, name: str, block_bytes: int = BLOCK) -> Scan:
    """Counts the records from `start` (the first data record) and cuts them into at most `pieces` of equal bytes.

    Raises SourceError: `unterminated_quote` with the row it starts in, `bad_encoding` with byte offset and row.
    """
    found = Scan(complete=stream.size is not None and stream.size - start <= _WHOLE)
    span = 0 if stream.size is None else stream.size - start
    targets = [start + span * piece // pieces for piece in range(1, pieces)] if span else []
    spots = [start + span * spot // SPOTS for spot in range(SPOTS)]
    carry, text = Carry(), _Decodability()
    position = cut = start
    cut_rows = 0
    while block := stream.read_at(position, block_bytes):
        shape = structure(block, dialect.quote_byte, carry)
        text.feed(block, position, found.rows, shape)
        ends = None
        while targets and targets[0] < position + len(block):
            ends = places(shape.ends, len(block)) if ends is None else ends
            at = int(np.searchsorted(ends, targets[0] - position))
            if at == len(ends):
                break
            boundary, rows = position + int(ends[at]) + 1, found.rows + _records_to(shape, ends, at)
            if rows > cut_rows:
                found.slices.append(Slice(cut, boundary, rows - cut_rows))
                cut, cut_rows = boundary, rows
            targets = [target for target in targets if target >= boundary]
        if found.complete:
            found.samples.append(block)
        elif stream.size is None:
            _take(found, block, shape, 0)
        else:
            for spot in [spot for spot in spots if position <= spot < position + len(block)]:
                _take(found, block, shape, spot - position)
        found.rows += shape.records
        position += len(block)
        stream.release(position)
    if carry.parity:
        raise _unterminated(stream, start, dialect, name)
    if not carry.at_start and not carry.return_at_start:
        found.rows += 1  # the last record has no newline
    text.judge(name, found.rows, position)
    if found.rows > cut_rows or not found.slices:
        found.slices.append(Slice(cut, position, found.rows - cut_rows))
    elif found.slices:
        last = found.slices.pop()  # only blank lines are behind the last cut
        found.slices.append(Slice(last.start, position, last.rows))
    return found


def _records_to(shape: Structure, ends: BITS, at: int) -> int:
    if shape.blanks is None:
        return at + 1
    blanks = places(shape.blanks, shape.length)
    return at + 1 - int(np.searchsorted(blanks, ends[at], side="right"))


def _take(found: Scan, block: bytes, shape: Structure, spot: int) -> None:
    """Adds the whole records of about SAMPLE bytes behind `spot`."""
    if len(found.samples) >= 2 * SPOTS:
        return
    ends = places(shape.ends, len(block))
    first = 0 if spot == 0 and not found.samples else int(np.searchsorted(ends, spot))
    begin = 0 if spot == 0 and not found.samples else (int(ends[first]) + 1 if first < len(ends) else len(block))
    last = int(np.searchsorted(ends, begin + SAMPLE, side="right")) - 1
    if last >= 0 and ends[last] >= begin:
        found.samples.append(block[begin : int(ends[last]) + 1])


class _Decodability:
    """Tells a file in the wrong encoding from one with a few broken rows."""

    def __init__(self) -> None:
        self._tail = b""
        self._other_alphabets = False
        self._bad_rows = 0
        self._first: tuple[int, int, int] | None = None

    def feed(self, block: bytes, position: int, rows: int, shape: Structure) -> None:
        if block.isascii() and not self._tail:
            return
        text, offset = self._tail + block, position - len(self._tail)
        cut = text.rfind(b"\n") + 1
        text, self._tail = text[:cut], b"" if text[cut:].isascii() else text[cut:]
        if len(self._tail) > _LONG_LINE:
            self._tail = b""  # a line that long is judged when it is read
        ends: BITS | None = None

        def row_of(place: int) -> int:
            nonlocal ends
            ends = places(shape.ends, len(block)) if ends is None else ends
            at = int(np.searchsorted(ends, place - position)) - 1
            return rows + (_records_to(shape, ends, at) if at >= 0 else 0) + 1

        self._check(text, offset, row_of)

    def judge(self, name: str, rows: int, end: int) -> None:
        self._check(self._tail, end - len(self._tail), lambda place: rows)
        if self._first and not self._other_alphabets and self._bad_rows * _BAD_SHARE > rows:
            raise bad_encoding(name, *self._first)

    def _check(self, text: bytes, offset: int, row_of: Callable[[int], int]) -> None:
        try:
            self._other_alphabets |= not text.decode().isascii()
        except UnicodeDecodeError as error:
            self._other_alphabets |= not text.decode(errors="ignore").isascii()
            if self._first is None:
                self._first = (offset + error.start, row_of(offset + error.start), text[error.start])
            self._bad_rows += len(undecodable(text))


def _unterminated(stream: ByteStream, start: int, dialect: Dialect, name: str) -> SourceError:
    """Finds the row where quoting goes wrong: the first quote that is out of place, else the last one opened."""
    assert dialect.quote_byte is not None
    row = None
    if stream.seekable:
        row = first_suspect_quote(stream, start, dialect)
    where = f"starts in row {row}" if row is not None else "is open at the end of the file"
    return SourceError(
        "unterminated_quote",
        f"{name} has a quote that is never closed; it {where}.",
        "Close it, double it if it is part of the text, or set options.quote to null if quotes mean nothing here.",
    )
