"""Converts the client's Arrow tables to frames without changing a value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.select import Asked

_FIRST, _LAST = date(1, 1, 1), date(9999, 12, 31)


def frame(table: Any, asked: Sequence[Asked]) -> pl.DataFrame:
    """The rows of a pyarrow Table with these columns in this order (after a constant). A column with a date whose year
    does not have four digits becomes text. Raises SourceError(`unsupported_type`)."""
    import pyarrow as pa

    values = []
    for place, each in enumerate(asked, start=1):
        column = table.column(place)
        try:
            values.append(_values(column.combine_chunks()).alias(each.column.name))
        except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):
            raise SourceError(
                "unsupported_type",
                f"'{each.column.name}' is {each.column.native}, and comes as {column.type}.",
                "Read it with a query that casts it to STRING.",
            ) from None
    return pl.DataFrame(values) if values else pl.DataFrame(height=table.num_rows)


def _values(array: Any) -> pl.Series:
    import pyarrow as pa

    if pa.types.is_null(array.type):
        return pl.Series([None] * len(array), dtype=pl.String)
    series = pl.Series(pl.from_arrow(array))
    if series.dtype == pl.Float32:
        return series.cast(pl.Float64)
    if series.dtype == pl.Date:
        beyond = (series < _FIRST) | (series > _LAST)
    elif isinstance(series.dtype, pl.Datetime):
        bare = series.dt.replace_time_zone(None)
        beyond = (bare < datetime(1, 1, 1)) | (bare > datetime(9999, 12, 31, 23, 59, 59, 999999))
    else:
        return series
    return series.cast(pl.String) if beyond.any() else series
