"""Arrow arrays with false metadata."""

from __future__ import annotations

import pyarrow as pa


def outside() -> pa.Array:
    """Two texts, of which the first ends a gigabyte after the buffer."""
    offsets = pa.py_buffer(b"".join(each.to_bytes(4, "little") for each in (0, 1 << 30, 1)))
    return pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"x")])
