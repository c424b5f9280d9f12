"""What several ops that gather rows share: their keys, and what a group's values amount to, with SQL's meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from connectors.base import ROW
from flows.compile.gather import Side
from flows.compile.scope import Scope
from flows.compile.types import schema_of

_NUMBERS = ("sum", "mean", "median", "stddev")
_MEAN_DIGITS = 6
"""The mean of decimals has so many digits more behind the point than they have."""


def side(scope: Scope, keys: Sequence[str], where: str, *, values: Iterable[str | None] | None = None) -> Side:
    """The only side of an op that brings rows with equal `keys` together, and uses these `values` of them (None: all
    columns). Raises PlanError for unknown keys."""
    for index, name in enumerate(keys):
        scope.column(name, f"{where}[{index}]")
    schema = schema_of(scope.schema)
    if values is not None:
        used = {*keys, *values, ROW}
        schema = pl.Schema({name: dtype for name, dtype in scope.schema.items() if name in used})
    return Side("", tuple(pl.col(name) for name in keys), schema)


def check_names(scope: Scope, group_by: Sequence[str], made: Sequence[str], where: str) -> None:
    """Raises PlanError when a new column has the name of one of the group's."""
    for index, name in enumerate(made):
        if name in group_by:
            message = f"'{name}' is a column of groupBy already"
            raise scope.fault(f"{where}[{index}]", "column_exists", message, "choose another name")


def grouped(frame: pl.LazyFrame, group_by: Sequence[str], values: Sequence[pl.Expr]) -> pl.LazyFrame:
    """A row for each group, in the order of its columns; one for all rows, even when there are none, without them."""
    if not group_by:
        return frame.select(values)
    return frame.group_by(group_by).agg(values).sort(group_by, nulls_last=True)


def amount(scope: Scope, fn: str, field: str | None, where: str, *, only: pl.Expr | None = None) -> pl.Expr:
    """An aggregate of a column in the types of SQL: integers sum without overflow and decimals stay exact. `only` says
    which rows count. Raises PlanError for what is no number where one is needed."""
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
    return value.min() if fn == "min" else value.max()


def _wide(value: pl.Expr, have: pl.DataType) -> pl.Expr:
    """In a type that a sum cannot leave."""
    if have in (pl.Int64, pl.UInt32, pl.UInt64):
        return value.cast(pl.Decimal(38, 0))
    if have.is_integer() or have == pl.Null:
        return value.cast(pl.Int64)
    return value.cast(pl.Decimal(38, have.scale)) if isinstance(have, pl.Decimal) else value


def _mean(value: pl.Expr, have: pl.DataType) -> pl.Expr:
    if not isinstance(have, pl.Decimal):
        return value.cast(pl.Float64).mean()
    total = value.cast(pl.Decimal(38, have.scale)).sum().cast(pl.Decimal(38, _finer(have)))
    many = value.count()  # both ways are computed, and a division by zero would be an error
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
