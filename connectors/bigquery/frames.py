"""Converts record batches of the Storage Read API to frames without changing a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from headrace.connectors.bigquery.nested import as_json, as_text
from headrace.connectors.bigquery.types import Described
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.sql.relation import Column

_NESTED = ("ARRAY", "STRUCT")
_AS_TEXT = ("BIGNUMERIC", "INTERVAL", "RANGE")


def frame(records: Any, columns: Sequence[Column], described: Mapping[str, Described]) -> pl.DataFrame:
    """The columns of a pyarrow RecordBatch, each by its name. Raises SourceError
    (`result_changed`, `unsupported_type`)."""
    import pyarrow as pa

    values = []
    for column in columns:
        place = records.schema.get_field_index(column.name)
        if place < 0:
            raise SourceError(
                "result_changed", f"The stream has no column '{column.name}', which was selected.", "Start a new run."
            )
        array = records.column(place)
        try:
            values.append(_values(array, column, described[column.name]).alias(column.name))
        except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):
            raise SourceError(
                "unsupported_type",
                f"'{column.name}' is {column.native}, and comes as {array.type}.",
                "Read it with a query that casts it to STRING.",
            ) from None
    return pl.DataFrame(values) if values else pl.DataFrame(height=records.num_rows)


def _values(array: Any, column: Column, described: Described) -> pl.Series:
    if column.kind in _NESTED:
        return as_json(array, described)
    if column.kind in _AS_TEXT:
        return as_text(array, described)
    series = pl.Series(pl.from_arrow(array))
    if column.kind == "NUMERIC":  # arrives as NUMERIC(38, 9) with any declared size
        return series.cast(polars_dtype(column.field))
    return series
