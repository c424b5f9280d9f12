"""The rows of a Parquet file in batches of bounded size: a row group may have gigabytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.connectors.batch_size import in_batches, rows_within

_BUFFER_BYTES = 1 << 20
"""What is read of a column at a time."""

_STEP = 16_384
"""The most rows that are decoded at a time. More are not faster."""
_PROBED = 64
_VALUE_BYTES = 8
_TEXTS = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_DICTIONARY = frozenset({"PLAIN_DICTIONARY", "RLE_DICTIONARY"})


def opened(path: Path, **how: Any) -> pq.ParquetFile:
    """An open file, of which no column chunk is read at once. Raises pa.ArrowException, OSError."""
    return pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False, **how)


def bounded_batches(
    file: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str], rows: int
) -> Iterator[pa.Table]:
    """The rows of row groups, in order, in tables of at most `rows` rows and about BATCH_BYTES. Raises
    pa.ArrowException, OSError."""
    parts = chain.from_iterable(_decoded(file, group, columns, rows) for group in groups)
    for some in in_batches(parts, attrgetter("nbytes"), rows):
        yield pa.Table.from_batches(some)


def _decoded(file: pq.ParquetFile, group: int, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a row group, some at a time: fewer from where they turn out to be wider than the footer says, which
    does not count a value again that a dictionary has once."""
    step, done = _first_step(file, group, columns, min(rows, _STEP)), 0
    while True:
        passed = 0
        for part in file.iter_batches(step, row_groups=[group], columns=columns):
            passed += part.num_rows
            if passed <= done:
                continue
            fresh = part.slice(max(0, done - passed + part.num_rows))
            done = passed
            fewer = rows_within(fresh.num_rows, fresh.nbytes, fresh.num_rows)
            yield from (fresh.slice(start, fewer) for start in range(0, fresh.num_rows, fewer))
            if 2 * fewer <= fresh.num_rows:
                step = fewer
                break
        else:
            return


def _first_step(file: pq.ParquetFile, group: int, columns: Collection[str], most: int) -> int:
    about = file.metadata.row_group(group)
    if not about.num_rows:
        return most
    chunks: list[Any] = [about.column(place) for place in range(about.num_columns)]
    chunks = [each for each in chunks if not _above(each.path_in_schema).isdisjoint(columns)]
    size = sum(max(each.total_uncompressed_size, each.num_values * _VALUE_BYTES) for each in chunks)
    said = rows_within(about.num_rows, size, most)
    if not any(each.physical_type in _TEXTS and not _DICTIONARY.isdisjoint(each.encodings) for each in chunks):
        return said
    few = next(file.iter_batches(min(said, _PROBED), row_groups=[group], columns=list(columns)))
    return rows_within(few.num_rows, few.nbytes, said)


def _above(path: str) -> set[str]:
    """A path in a schema and those above it; a name may have dots itself."""
    parts = path.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
