"""Values that stand in the document itself, read as a column's type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from connectors.types import field_of_polars
from flows.compile.casting import ImpossibleCast, read_as
from flows.compile.scope import Scope

Scalar = str | bool | int | float | None


def literals(scope: Scope, values: Iterable[Scalar], dtype: pl.DataType, where: str) -> pl.Series:
    """The values as `dtype`; raises PlanError for one that is not of it."""
    written = [_written(value) for value in values]
    given = pl.Series("value", written, dtype=pl.String)
    field = field_of_polars("value", dtype)
    try:
        read = given.to_frame().select(read_as(pl.col("value"), pl.String(), field).cast(dtype, strict=False))
    except ImpossibleCast as error:
        raise scope.fault(where, "impossible_cast", str(error)) from None
    wrong = given.filter(read.to_series().is_null() & given.is_not_null())
    if not wrong.is_empty():
        message = f"'{wrong[0]}' is not a {field.data_type}"
        raise scope.fault(where, "invalid_value", message, f"write a {field.data_type}")
    return read.to_series()


def common_type(values: Sequence[Scalar]) -> pl.DataType:
    """The type that holds all of them: text unless they are all numbers or all booleans."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pl.Boolean()
    if kinds == {int}:
        return pl.Int64()
    return pl.Float64() if kinds and kinds <= {int, float} else pl.String()


def _written(value: Scalar) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
