"""Values of one type as a column, without loss: numbers as numbers, the rest as text."""

from __future__ import annotations

import numpy as np
import polars as pl

from headrace.connectors.mongodb.bson.decimals import decimal_text
from headrace.connectors.mongodb.bson.layout import Buffer, Kind, Places, utf8

TEXTS = (Kind.STRING, Kind.SYMBOL, Kind.CODE)
UUID = 4
"""The subtype of binary values that are UUIDs in the usual order of bytes."""
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""The first and the last millisecond of the years 1 to 9999, since 1970."""


def number(buffer: Buffer, kind: int, at: Places) -> pl.Series:
    """The values of doubles, ints or longs."""
    dtype = {Kind.DOUBLE: "<f8", Kind.INT32: "<i4", Kind.INT64: "<i8"}[Kind(kind)]
    return pl.Series(np.ascontiguousarray(buffer.read(dtype, at)))


def boolean(buffer: Buffer, at: Places) -> pl.Series:
    """The values of bools."""
    return pl.Series(buffer.data[at] != 0)


def text(buffer: Buffer, at: Places, size: Places) -> pl.Series:
    """The texts of strings, symbols or code; null where not UTF-8."""
    return utf8(buffer.binary(at + 4, size - 5))


def milliseconds(buffer: Buffer, at: Places) -> pl.Series:
    """The milliseconds since 1970 (UTC) of dates."""
    return number(buffer, Kind.INT64, at)


def moments(millis: pl.Series) -> pl.Series:
    """Milliseconds as timestamps in UTC; null outside the years 1 to 9999."""
    inside = millis.is_between(FIRST_MS, LAST_MS)
    known = millis if inside.all() else millis.set(~inside, None)
    return (known * 1000).cast(pl.Datetime("us", "UTC"))


def iso(millis: pl.Series) -> pl.Series:
    """Milliseconds as `2024-01-31T10:00:00.5Z`, without a zero fraction; null outside those years."""
    written = moments(millis).dt.strftime("%Y-%m-%dT%H:%M:%S%.3f")
    frame = pl.DataFrame({"text": written, "whole": millis % 1000 == 0})
    short = pl.when("whole").then(pl.col("text").str.head(-4)).otherwise(pl.col("text"))
    return frame.select(pl.concat_str(short, pl.lit("Z")).alias("iso")).to_series()


def object_ids(buffer: Buffer, at: Places) -> pl.Series:
    """ObjectIds as 24 hexadecimal digits."""
    return _hex(buffer.binary(at, np.full(len(at), 12, dtype=np.int64)))


def payload(buffer: Buffer, at: Places, size: Places) -> pl.Series:
    """The bytes of binary values, as pl.Binary. Those of subtype 2 have a second length before them."""
    old = ((buffer.data[at + 4] == 2) & (size >= 9)).astype(np.int64) * 4
    return buffer.binary(at + 5 + old, size - 5 - old)


def uuids(values: pl.Series) -> pl.Series:
    """Sixteen bytes each as the text of a UUID."""
    digits = _hex(values).to_frame("v")
    parts = [pl.col("v").str.slice(start, length) for start, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
    return digits.select(pl.concat_str(parts, separator="-")).to_series()


def binary_text(buffer: Buffer, at: Places, size: Places) -> pl.Series:
    """UUIDs as UUID text, other bytes in PostgreSQL's format: `\\x00ff`."""
    values = payload(buffer, at, size)
    digits = values.to_frame("v").select(pl.concat_str(pl.lit("\\x"), pl.col("v").bin.encode("hex"))).to_series()
    is_uuid = is_uuids(buffer, at, size)
    return digits if not is_uuid.any() else uuids(values).zip_with(is_uuid, digits)


def is_uuids(buffer: Buffer, at: Places, size: Places) -> pl.Series:
    """Which binary values are UUIDs."""
    return pl.Series((buffer.data[at + 4] == UUID) & (size == 21))


def decimals(buffer: Buffer, at: Places) -> pl.Series:
    """The values as text."""
    return decimal_text(buffer, at)


def stamps(buffer: Buffer, at: Places) -> tuple[pl.Series, pl.Series]:
    """(seconds since 1970, increment) of a timestamp of the replication log."""
    return pl.Series(buffer.read("<u4", at + 4).astype(np.int64)), pl.Series(buffer.read("<u4", at).astype(np.int64))


def _hex(values: pl.Series) -> pl.Series:
    return values.bin.encode("hex")
