"""Chunks of which a scan has found how many records they have, so that reading them does not look for records again.

They are noted in a slice's location as `[bytes, records, quoted]`, one after the other from the slice's start. A chunk
in which anything is odd (a misplaced quote, a blank line, a wrong number of fields where there are quotes) has -1
records: it is looked at when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headrace.connectors.files.delimited.records import find_records, record_chunks
from headrace.connectors.files.delimited.structure import Marks, Structure, bits_of, counts_before, view
from headrace.connectors.files.streams import ByteStream

Noted = Sequence[Sequence[int]]
"""Of a slice: bytes, records (-1: not known), whether there are quotes (0 or 1)."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A chunk without misplaced quotes and blank lines. If it is `quoted`, it has as many separators as its records
    need, so that there are as many fields too few as too many."""

    records: int
    quoted: bool

    def structure(self, chunk: bytes, marks: Marks) -> Structure:
        """The places of its records."""
        if self.quoted:
            return find_records(chunk, marks, final=True)
        length = len(chunk)
        return Structure(bits_of(view(chunk), marks.eol), None, None, length, length, int(chunk[-1] != marks.eol))


class ChunkNotes:
    """Collects the notes of a slice, block by block; blocks are joined up to `chunk_bytes`. Its records have `columns`
    columns, which `delimiter` separates."""

    def __init__(self, delimiter: int, columns: int, chunk_bytes: int) -> None:
        self._delimiter, self._columns, self._chunk_bytes = delimiter, columns, chunk_bytes
        self._noted: list[list[int]] = []

    def add(self, block: bytes, shape: Structure, begin: int, end: int, records: int) -> None:
        """Notes the bytes from `begin` to `end` of a block, which are so many whole records."""
        if begin == end:
            return
        quoted = shape.inside is not None
        sound = not shape.faulty and shape.blanks is None and block[-1:] != b"\r"
        if sound and quoted:
            separators = shape.separators(block, self._delimiter)
            first, last = counts_before(separators, np.array([begin, end], dtype=np.int64))
            sound = bool(last - first == records * (self._columns - 1))
        note = [end - begin, records if sound else -1, int(quoted)]
        last = self._noted[-1] if self._noted else None
        if last is not None and last[2] == note[2] and last[0] + note[0] <= self._chunk_bytes:
            last[0] += note[0]
            last[1] = -1 if -1 in (last[1], note[1]) else last[1] + note[1]
        else:
            self._noted.append(note)

    def taken(self) -> list[list[int]]:
        """The notes since the last time: those of a slice."""
        noted, self._noted = self._noted, []
        return noted


def known_chunks(
    stream: ByteStream, start: int, end: int, position: int, noted: Noted, marks: Marks, chunk_bytes: int
) -> Iterator[tuple[int, bytes, Structure | Sound | None]]:
    """Like `record_chunks` from `position` to `end`, in the chunks that were noted of the slice from `start` to `end`.
    Raises what it raises."""
    begin = start
    for length, records, quoted in noted:
        stop = begin + length
        if position < stop:
            chunk = stream.read_at(begin, length) if position == begin and records >= 0 else b""
            if len(chunk) == length:
                yield stop, chunk, Sound(records, bool(quoted))
                stream.release(stop)
            else:  # odd, begun within it, or the file is shorter than it was
                yield from record_chunks(stream, position, stop, marks, chunk_bytes)
            position = stop
        begin = stop
    if position < end:
        yield from record_chunks(stream, position, end, marks, chunk_bytes)
