"""Shared by ops that gather rows: their keys, and aggregates with SQL's meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile.expression_types import schema_of
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.shuffle import ShuffleSide

_NUMBERS = ("sum", "mean", "median", "stddev")
_MEAN_DIGITS = 6
"""Digits after the point that the mean of decimals has more than they have."""


def side(scope: Scope, keys: Sequence[str], where: str, *, values: Iterable[str | None] | None = None) -> ShuffleSide:
    """The only side of an op that shuffles rows by `keys` and reads also `values` (None: all columns). Raises PlanError
    for unknown keys."""
    for index, name in enumerate(keys):
        scope.column(name, f"{where}[{index}]")
    schema = schema_of(scope.schema)
    if values is not None:
        used = {*keys, *values, ROW}
        schema = pl.Schema({name: dtype for name, dtype in scope.schema.items() if name in used})
    return ShuffleSide("", tuple(pl.col(name) for name in keys), schema)


def check_names(scope: Scope, group_by: Sequence[str], made: Sequence[str], where: str) -> None:
    """Raises PlanError when a new column has the name of a grouping column."""
    for index, name in enumerate(made):
        if name in group_by:
            message = f"'{name}' is a column of groupBy already"
            raise scope.fault(f"{where}[{index}]", "column_exists", message, "choose another name")


def grouped(frame: pl.LazyFrame, group_by: Sequence[str], values: Sequence[pl.Expr]) -> pl.LazyFrame:
    """One row per group, sorted by `group_by`; without `group_by` one row, even when there are no input rows."""
    if not group_by:
        return frame.select(values)
    return frame.group_by(group_by).agg(values).sort(group_by, nulls_last=True)


def amount(scope: Scope, fn: str, field: str | None, where: str, *, only: pl.Expr | None = None) -> pl.Expr:
    """An aggregate of a column in the types of SQL: integers sum without overflow and decimals stay exact. `only` is
    a condition for the rows that count. Raises PlanError when `fn` needs numbers and the column has none."""
    if field is None:
        return (pl.len() if only is None else only.sum()).cast(pl.Int64)
    have = scope.column(field, where)
    if fn in _NUMBERS and not (have.is_numeric() or have == pl.Null):
        message = f"'{fn}' needs numbers, but '{field}' is {have}"
        raise scope.fault(where, "wrong_type", message, "cast the field before")
    value, row = pl.col(field), pl.col(ROW)
    if only is not None:
        value, row = value.filter(only), row.filter(only)
    match fn:
        case "count":
            return value.count().cast(pl.Int64)
        case "count_distinct":
            return value.drop_nulls().n_unique().cast(pl.Int64)
        case "sum":
            return pl.when(value.count() > 0).then(_wide(value, have).sum())
        case "mean":
            return _mean(value, have)
        case "median":
            return _median(value, have)
        case "stddev":
            return value.cast(pl.Float64).std()
        case "first":
            return value.min_by(row)
        case "last":
            return value.max_by(row)
    if (text := scope.cells.get(field, field)) != field:  # the cell that has the value, as it is written
        written = pl.col(text) if only is None else pl.col(text).filter(only)
        return written.min_by(value) if fn == "min" else written.max_by(value)
    return value.min() if fn == "min" else value.max()


def _wide(value: pl.Expr, have: pl.DataType) -> pl.Expr:
    """The values in a type in which a sum cannot overflow."""
    if have in (pl.Int64, pl.UInt32, pl.UInt64):
        return value.cast(pl.Decimal(38, 0))
    if have.is_integer() or have == pl.Null:
        return value.cast(pl.Int64)
    return value.cast(pl.Decimal(38, have.scale)) if isinstance(have, pl.Decimal) else value


def _mean(value: pl.Expr, have: pl.DataType) -> pl.Expr:
    if not isinstance(have, pl.Decimal):
        return value.cast(pl.Float64).mean()
    total = value.cast(pl.Decimal(38, have.scale)).sum().cast(pl.Decimal(38, _finer(have)))
    many = value.count()  # both branches are computed, and a division by zero would be an error
    return pl.when(many > 0).then(total / many.clip(1).cast(pl.Decimal(38, 0)))


def _median(value: pl.Expr, have: pl.DataType) -> pl.Expr:
    if not isinstance(have, pl.Decimal):
        return value.cast(pl.Float64).median()
    ordered, many = value.drop_nulls().sort().cast(pl.Decimal(38, _finer(have))), value.count()
    low, high = (many - 1).clip(0) // 2, many // 2
    pair = ordered.get(low, null_on_oob=True) + ordered.get(high.clip(0), null_on_oob=True)
    return pair / pl.lit(2).cast(pl.Decimal(38, 0))


def _finer(have: pl.Decimal) -> int:
    return min(have.scale + _MEAN_DIGITS, 18) if have.scale < 18 else have.scale
