"""Parquet files of a few kilobytes that unpack to gigabytes, made in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_LONG = 10_000_000
# Statistics would look at every byte, and a dictionary would keep each text once.
_KIND: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}


def write_bomb(path: Path, number: str, text: str, *, rows: int, before: int = 0) -> None:
    """A file with a column of integers and one of texts, of ten megabytes each; `before` are rows of a byte each in a
    row group of their own."""
    schema = pa.schema([(number, pa.int32()), (text, pa.string())])
    with pq.ParquetWriter(path, schema, **_KIND) as writer:
        for count, length in ((before, 1), (rows, _LONG)):
            if count:
                numbers = pa.array(range(1, count + 1), pa.int32())
                writer.write_table(pa.table({number: numbers, text: _texts(count, length)}))
    assert path.stat().st_size < 1024**2


def _texts(count: int, length: int) -> pa.StringArray:
    """So many texts of so many times `a`, without a copy of each."""
    ends = np.arange(count + 1, dtype=np.int32) * length
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends.tobytes()), pa.py_buffer(b"a" * (count * length)))
