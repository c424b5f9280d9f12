"""A delimited file before rows are loaded: record counts, cuts at records, samples, encoding.

A large file is looked at in several places at once. Each range begins after a line end, as if that ended a record; it
does if the range before it, which begins at a record, ends outside of quotes. From the first range that has misplaced
quotes on, the rest is looked at from there in one go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.delimited.encoding_check import EncodingCheck
from headrace.connectors.files.delimited.records import CHUNK_BYTES, find_records
from headrace.connectors.files.delimited.scanned_range import SAMPLES, Pass, ScannedRange, Slice, scan_range
from headrace.connectors.files.delimited.structure import Marks
from headrace.connectors.files.streams import ByteStream

BLOCK = 2 << 20
"""Its packed bits stay in the processor's cache."""
SPOTS = SAMPLES // 2
RANGE_BYTES = 16 << 20
"""A range of a file is at least as large: less is not worth a thread."""
_WHOLE = 1 << 20
_WINDOW = 1 << 16
_TRIED = 100
"""Line ends after a target of which one has to end a record."""


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
    range_bytes: int = RANGE_BYTES,
) -> Scan:
    """Counts the records from `start` (the first data record) of so many columns, divides them into at most `pieces`
    slices of similar size, and notes chunks of about `chunk_bytes`. Without `sampled` there are no samples.

    Raises SourceError: `unterminated_quote` if every record has an unclosed quote, `bad_encoding` with offset and row,
    `record_too_large`.
    """
    complete = stream.size is not None and stream.size - start <= _WHOLE
    span = 0 if stream.size is None else stream.size - start
    targets = [start + span * piece // pieces for piece in range(1, pieces)] if span else []
    spots = [start + span * spot // SPOTS for spot in range(SPOTS)] if sampled else []
    asked = Pass(dialect, columns, targets, spots, sampled and complete, block_bytes, chunk_bytes)
    found, encoding, unclosed = Scan(complete=complete), EncodingCheck(dialect), 0
    for part in _ranges(stream, start, asked, range_bytes):
        encoding.add(part.encoding, found.rows)
        if part.rows or not found.slices:
            found.slices += part.slices
        else:  # only blank lines
            last = found.slices.pop()
            found.slices.append(Slice(last.start, part.end, last.rows, last.noted))
        found.samples += part.samples
        found.rows += part.rows
        unclosed += part.unclosed
    if unclosed and unclosed == found.rows:
        raise SourceError(
            "unterminated_quote",
            f"Every record of {name} has a quote that is never closed; the first starts in row 1.",
            "Close it, double it if it is part of the text, or set options.quote to null if quotes mean nothing here.",
        )
    encoding.conclude(name, found.rows)
    return found


def _ranges(stream: ByteStream, start: int, asked: Pass, range_bytes: int) -> Iterator[ScannedRange]:
    """The parts of a file, one after the other."""
    begins = {start: start} | dict(_begins(stream, start, asked, range_bytes))
    at_once = min(len(begins), _cores())
    if at_once == 1:
        yield scan_range(stream, start, None, asked)
        return
    ends = [*[*begins][1:], None]
    # no cut at a target that a range begins near
    rest = replace(asked, targets=[target for target in asked.targets if target not in begins.values()])
    with ThreadPoolExecutor(at_once, "headrace-scan") as pool:
        parts = [pool.submit(scan_range, stream, *one, rest) for one in zip(begins, ends, strict=True)]
        try:
            for part in parts:
                found = part.result()
                if found.odd or (found.start == start and not found.rows):
                    yield scan_range(stream, found.start, None, asked)
                    return
                yield found
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begins(stream: ByteStream, start: int, asked: Pass, range_bytes: int) -> Iterator[tuple[int, int]]:
    """Where ranges may begin, each as far from the one before as a range is long, and the targets that they are
    near."""
    if not stream.seekable or stream.size is None or asked.whole:
        return
    for target in asked.targets:
        if target - start < range_bytes or stream.size - target < range_bytes:
            continue
        record = _record_after(stream.read_at(target, _WINDOW), asked.dialect.marks)
        if record is not None:
            start = target + record
            yield start, target


def _record_after(window: bytes, marks: Marks) -> int | None:
    """Where a record begins after a line end, as it seems: within quotes, what follows has quotes at odd places."""
    for end in islice(_places(window, marks.eol), _TRIED):
        if not find_records(window[end + 1 :], marks, final=False).faulty:
            return end + 1
    return None


def _places(window: bytes, byte: int) -> Iterator[int]:
    at = window.find(byte)
    while at >= 0:
        yield at
        at = window.find(byte, at + 1)
