"""One pass over a part of a delimited file: counts of records, cuts between them, samples, encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.delimited.encoding_check import EncodingCheck
from headrace.connectors.files.delimited.known_chunks import ChunkNotes, Noted
from headrace.connectors.files.delimited.records import find_records, record_chunks
from headrace.connectors.files.delimited.structure import Structure, places
from headrace.connectors.files.streams import ByteStream

SAMPLE = 1 << 16
SAMPLES = 32
"""Samples of a file at most, each of about SAMPLE bytes."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A byte range that starts and ends at records, its number of records, and what is known of its chunks."""

    start: int
    end: int
    rows: int
    noted: Noted = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """What is asked of a pass over a file whose records have `columns` columns: slices begin near `targets`, samples
    near `spots`; `whole`: all of it is a sample. It is read in blocks of `block_bytes`, and chunks of about
    `chunk_bytes` are noted."""

    dialect: Dialect
    columns: int
    targets: Sequence[int]
    spots: Sequence[int]
    whole: bool
    block_bytes: int
    chunk_bytes: int


@dataclass(slots=True)
class ScannedRange:
    """What was found from `start` to `end`. `odd`: quotes are misplaced, and what they mean may depend on what comes
    after the range."""

    start: int
    end: int
    encoding: EncodingCheck
    slices: list[Slice] = field(default_factory=list)
    rows: int = 0
    samples: list[bytes] = field(default_factory=list)
    unclosed: int = 0
    odd: bool = False


def scan_range(stream: ByteStream, start: int, end: int | None, asked: Pass) -> ScannedRange:
    """Looks at the bytes from `start`, where a record begins, to `end`, which is after a line end (None: the end of the
    file). Raises SourceError(`record_too_large`)."""
    marks = asked.dialect.marks
    found = ScannedRange(start, start, EncodingCheck(asked.dialect))
    targets = [target for target in asked.targets if start < target and (end is None or target < end)]
    cut, cut_rows = start, 0
    notes = ChunkNotes(marks.delimiter, asked.columns, asked.chunk_bytes)
    size = min(asked.block_bytes, asked.chunk_bytes)
    for end_offset, block, known in record_chunks(stream, start, end, marks, size):
        position = found.end
        shape = known or find_records(block, marks.unquoted, final=True)
        found.encoding.feed(block, position, found.rows, shape)
        ends = None
        noted = noted_rows = 0
        while targets and targets[0] < position + len(block):
            ends = places(shape.ends, len(block)) if ends is None else ends
            at = int(np.searchsorted(ends, targets[0] - position))
            if at == len(ends):
                break
            boundary, rows = position + int(ends[at]) + 1, found.rows + shape.records_to(ends, at)
            if rows > cut_rows:
                notes.add(block, shape, noted, boundary - position, rows - found.rows - noted_rows)
                noted, noted_rows = boundary - position, rows - found.rows
                found.slices.append(Slice(cut, boundary, rows - cut_rows, notes.taken()))
                cut, cut_rows = boundary, rows
            targets = [target for target in targets if target >= boundary]
        if asked.whole:
            found.samples.append(block)
        elif stream.size is None and asked.spots:
            _add_sample(found, block, shape, 0)
        else:
            for spot in [spot for spot in asked.spots if position <= spot < position + len(block)]:
                _add_sample(found, block, shape, spot - position)
        notes.add(block, shape, noted, len(block), shape.records - noted_rows)
        found.rows += shape.records
        found.unclosed += len(shape.unclosed)
        found.odd |= shape.faulty
        found.end = end_offset
    found.encoding.end(found.rows, found.end)
    if found.rows > cut_rows or not found.slices:
        found.slices.append(Slice(cut, found.end, found.rows - cut_rows, notes.taken()))
    elif found.slices:
        last = found.slices.pop()  # only blank lines follow the last cut
        found.slices.append(Slice(last.start, found.end, last.rows, last.noted))
    return found


def _add_sample(found: ScannedRange, block: bytes, shape: Structure, spot: int) -> None:
    """Adds about SAMPLE bytes of whole records from `spot` on."""
    if len(found.samples) >= SAMPLES:
        return
    ends = places(shape.ends, len(block))
    first = 0 if spot == 0 and not found.samples else int(np.searchsorted(ends, spot))
    begin = 0 if spot == 0 and not found.samples else (int(ends[first]) + 1 if first < len(ends) else len(block))
    last = int(np.searchsorted(ends, begin + SAMPLE, side="right")) - 1
    if last >= 0 and ends[last] >= begin:
        found.samples.append(block[begin : int(ends[last]) + 1])
