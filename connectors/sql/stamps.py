"""Parses timestamps as databases write them (`2024-01-31 10:00:00.5`), much faster than a general parser.

A column with any other value stays text: each bad value is then reported by itself.
"""

from __future__ import annotations

import polars as pl

from headrace.connectors.casting.columns import cast_native
from headrace.ir.schema import Field

_DAY_US, _HOUR_US, _MINUTE_US = 86_400_000_000, 3_600_000_000, 60_000_000
_FIRST_DAY = pl.date(1, 1, 1)
_BELOW_MICROS = r"\.\d{6}\d*[1-9]\d*(?:Z|[+-]\d\d(?::?\d\d)?)?$"
"""The end of a timestamp with digits below a microsecond."""
_MOMENTS = ("time", "timestamp", "timestamptz")


def read_dates(values: pl.Series) -> pl.Series:
    """Text as dates of the years 1 to 9999; the text itself if a value is not one."""
    read = values.to_frame().select(_day(pl.col(values.name))).to_series()
    return read if read.null_count() == values.null_count() else values


def read_stamps(values: pl.Series, *, aware: bool) -> pl.Series:
    """Text as timestamps of the years 1 to 9999, without a zone or in UTC; the text itself if a value is not one."""
    text = pl.col(values.name)
    parts = (
        _day(text.str.head(10)).cast(pl.Int64) * _DAY_US
        + text.str.slice(11, 2).cast(pl.Int64, strict=False) * _HOUR_US
        + text.str.slice(14, 2).cast(pl.Int64, strict=False) * _MINUTE_US
        + text.str.slice(17).cast(pl.Decimal(8, 6), strict=False).to_physical().cast(pl.Int64)
    )
    read = values.to_frame().select(parts.cast(pl.Datetime("us", "UTC" if aware else None))).to_series()
    return read if read.null_count() == values.null_count() else values


def _day(text: pl.Expr) -> pl.Expr:
    day = text.str.to_date("%Y-%m-%d", strict=False)
    return pl.when(day >= _FIRST_DAY).then(day)


def cast_exact(values: pl.Series, field: Field) -> tuple[pl.Series, pl.Series | None]:
    """Like `cast_native`, but a timestamp with digits below a microsecond is in the mask: they would be lost."""
    if values.dtype != pl.String or field.data_type not in _MOMENTS or field.format is not None:
        return cast_native(values, field)
    finer = values.str.contains(_BELOW_MICROS).fill_null(value=False)
    if not finer.any():
        return cast_native(values, field)
    result, bad = cast_native(values.set(finer, None), field)
    return result, finer if bad is None else bad | finer
