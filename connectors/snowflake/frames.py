"""Converts rows in Snowflake's own Arrow format to frames without changing a value.

That form (what the driver's own converters read): a NUMBER is its digits as an integer, or a decimal128, with the scale
in the column's metadata; a timestamp is an integer in units of its scale, or a struct of seconds (`epoch`) and
nanoseconds (`fraction`); a time is an integer in units of its scale. The driver turns such numbers into doubles and
fails on moments that do not fit nanoseconds in 64 bits, so its converters are not used.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import polars as pl

from headrace.connectors.datatypes import MAX_PRECISION, polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.types import STAMPS
from headrace.connectors.sql.relation import Column

_NANOS = 9


def frame(records: Any, columns: Sequence[Column], needed: Collection[str] | None = None) -> pl.DataFrame:
    """The rows of a pyarrow RecordBatch with these columns in this order; only those in `needed` if given. A column of
    times with digits below a microsecond becomes text with all digits. Raises SourceError for an unknown format."""
    if records.num_columns != len(columns):
        raise SourceError(
            "result_changed",
            f"The result has {records.num_columns} columns, where {len(columns)} were selected.",
            "Start a new run.",
        )
    values = [
        _values(records.column(place), records.schema.field(place), column).alias(column.name)
        for place, column in enumerate(columns)
        if needed is None or column.name in needed
    ]
    return pl.DataFrame(values) if values else pl.DataFrame(height=records.num_rows)


def _values(array: Any, field: Any, column: Column) -> pl.Series:
    import pyarrow as pa

    scale = int((field.metadata or {}).get(b"scale", b"0"))
    kind, logical = column.kind, (field.metadata or {}).get(b"logicalType", b"").decode()
    if logical in ("DECFLOAT", "INTERVAL_YEAR_MONTH", "INTERVAL_DAY_TIME"):
        raise SourceError(
            "unsupported_type",
            f"'{column.name}' is of the type {logical}.",
            f'Read it as text, with a query that has "{column.name}"::VARCHAR.',
        )
    if kind == "number":
        return _number(array, scale, column)
    if kind in STAMPS:
        if not (pa.types.is_integer(array.type) or pa.types.is_struct(array.type)):
            return pl.Series(pl.from_arrow(array))
        return _stamp(pl.Series(pl.from_arrow(array)), scale, aware=kind in ("timestamp_ltz", "timestamp_tz"))
    if kind == "time" and pa.types.is_integer(array.type):
        return _time(pl.Series(pl.from_arrow(array)), scale)
    return pl.Series(pl.from_arrow(array))


def _number(array: Any, scale: int, column: Column) -> pl.Series:
    """Digits as an integer, the point `scale` places before their end."""
    import pyarrow as pa

    if pa.types.is_integer(array.type):
        if scale == 0 and column.field.data_type != "decimal":
            return pl.Series(pl.from_arrow(array)).cast(polars_dtype(column.field))
        array = array.cast(pa.int64()).cast(pa.decimal128(19, 0))
    elif not pa.types.is_decimal(array.type):
        raise SourceError("unsupported_type", f"'{column.name}' comes as {array.type}, where a NUMBER was described.")
    # the same digits with the decimal point
    digits = pa.decimal128(MAX_PRECISION, scale)
    return pl.Series(pl.from_arrow(pa.Array.from_buffers(digits, len(array), array.buffers(), -1, array.offset)))


def _stamp(values: pl.Series, scale: int, *, aware: bool) -> pl.Series:
    """Seconds with nanoseconds, or one number in units of the scale."""
    missing = values.is_null()
    if isinstance(values.dtype, pl.Struct):
        names = {each.name for each in values.dtype.fields}
        epoch = values.struct.field("epoch").cast(pl.Int64)
        if "fraction" in names:
            nanos = values.struct.field("fraction").cast(pl.Int64)
            micros, rest = epoch * 1_000_000 + nanos // 1000, nanos % 1000
        else:
            micros, rest = _micros(epoch, scale)
    else:
        micros, rest = _micros(values.cast(pl.Int64), scale)
    micros = micros.set(missing, None)
    moments = micros.cast(pl.Datetime("us", "UTC" if aware else None))
    if not (rest > 0).fill_null(value=False).any():
        return moments
    text = moments.dt.replace_time_zone(None).dt.strftime("%Y-%m-%d %H:%M:%S%.6f")
    return _with_nanos(text, rest, "+00:00" if aware else "")


def _time(values: pl.Series, scale: int) -> pl.Series:
    micros, rest = _micros(values.cast(pl.Int64), scale)
    times = (micros * 1000).cast(pl.Time)
    if not (rest > 0).fill_null(value=False).any():
        return times
    return _with_nanos(times.dt.strftime("%H:%M:%S%.6f"), rest, "")


def _micros(values: pl.Series, scale: int) -> tuple[pl.Series, pl.Series]:
    """Microseconds, and the remaining nanoseconds."""
    if scale <= _NANOS - 3:
        return values * 10 ** (_NANOS - 3 - scale), values * 0
    unit = 10 ** (scale - _NANOS + 3)
    return values // unit, (values % unit) * 10 ** (_NANOS - scale)


def _with_nanos(text: pl.Series, nanos: pl.Series, zone: str) -> pl.Series:
    digits = nanos.cast(pl.String).str.zfill(3)
    return (
        pl.DataFrame({"text": text, "nanos": digits}).select(pl.format(f"{{}}{{}}{zone}", "text", "nanos")).to_series()
    )
