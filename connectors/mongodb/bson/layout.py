"""The bytes of many documents: the types of BSON, and numbers and texts picked out of the bytes by their places."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from polars.exceptions import PolarsError

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

MARGIN = 32
"""Zeros after the bytes of the documents, so that a read of a few bytes never ends outside of them."""
_INLINE = 12
"""Bytes that an Arrow string view stores inline."""


class Kind(IntEnum):
    """The type of an element."""

    DOUBLE = 0x01
    STRING = 0x02
    DOCUMENT = 0x03
    ARRAY = 0x04
    BINARY = 0x05
    UNDEFINED = 0x06
    OBJECT_ID = 0x07
    BOOL = 0x08
    DATE = 0x09
    NULL = 0x0A
    REGEX = 0x0B
    DB_POINTER = 0x0C
    CODE = 0x0D
    SYMBOL = 0x0E
    CODE_WITH_SCOPE = 0x0F
    INT32 = 0x10
    TIMESTAMP = 0x11
    INT64 = 0x12
    DECIMAL = 0x13
    MAX_KEY = 0x7F
    MIN_KEY = 0xFF


ALIASES = {
    **{Kind.DOUBLE: "double", Kind.STRING: "string", Kind.DOCUMENT: "object", Kind.ARRAY: "array"},
    **{Kind.BINARY: "binData", Kind.UNDEFINED: "undefined", Kind.OBJECT_ID: "objectId", Kind.BOOL: "bool"},
    **{Kind.DATE: "date", Kind.NULL: "null", Kind.REGEX: "regex", Kind.DB_POINTER: "dbPointer"},
    **{Kind.CODE: "javascript", Kind.SYMBOL: "symbol", Kind.CODE_WITH_SCOPE: "javascriptWithScope"},
    **{Kind.INT32: "int", Kind.TIMESTAMP: "timestamp", Kind.INT64: "long", Kind.DECIMAL: "decimal"},
    **{Kind.MIN_KEY: "minKey", Kind.MAX_KEY: "maxKey"},
}
"""The names that the server's `$type` uses."""


class Malformed(Exception):
    """The bytes are not valid BSON."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes with a margin of zeros after them, and views that read numbers at any position."""

    data: Bytes

    @classmethod
    def of(cls, text: bytes) -> Buffer:
        """A copy of the bytes with a margin."""
        data = np.zeros(len(text) + MARGIN, dtype=np.uint8)
        data[: len(text)] = np.frombuffer(text, dtype=np.uint8)
        return cls(data)

    @property
    def size(self) -> int:
        """The number of bytes without the margin."""
        return len(self.data) - MARGIN

    def read(self, dtype: str, at: Places) -> npt.NDArray[np.generic]:
        """Little-endian numbers of a dtype such as `<i8`, which may begin at any byte."""
        width = np.dtype(dtype).itemsize
        found: npt.NDArray[np.generic] = np.ndarray(
            (len(self.data) - width + 1,), dtype=dtype, buffer=self.data.data, strides=(1,)
        )[at]
        return found

    def int32(self, at: Places) -> Places:
        """The numbers at these positions as 64-bit integers."""
        return self.read("<i4", at).astype(np.int64)

    def binary(self, at: Places, size: Places) -> pl.Series:
        """The bytes at each place as pl.Binary. Those of more than 12 bytes are not copied."""
        views = np.zeros((len(at), 4), dtype=np.int32)
        views[:, 0] = size
        short = size <= _INLINE
        if short.any():
            where, length = (at, size) if short.all() else (at[short], size[short])
            inline = np.stack([self.read("<u4", where + 4 * part) for part in range(3)], axis=1).astype(np.uint32)
            kept = np.clip(length[:, None] - np.array([0, 4, 8]), 0, 4)
            inline &= _MASKS[kept]
            views[short, 1:] = inline.view(np.int32)
        if not short.all():
            long = ~short
            views[long, 1] = self.read("<i4", at[long])
            views[long, 3] = at[long]
        array = pa.Array.from_buffers(
            pa.binary_view(), len(at), [None, pa.py_buffer(np.ascontiguousarray(views)), pa.py_buffer(self.data)]
        )
        return pl.Series(pl.from_arrow(array), dtype=pl.Binary)


_MASKS = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF], dtype=np.uint32)


def utf8(values: pl.Series) -> pl.Series:
    """pl.Binary as text; null where it is not UTF-8. Such values are few and found by bisection."""
    try:
        return values.cast(pl.String)
    except PolarsError:
        if len(values) == 1:
            return pl.Series(values.name, [None], dtype=pl.String)
        half = len(values) // 2
        return pl.concat([utf8(values.head(half)), utf8(values.slice(half))])
