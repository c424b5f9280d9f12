"""Ops that compute one row per group: `aggregate`, `summarize`."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.flows.compile.casting import as_text
from headrace.flows.compile.grouping import amount, check_names, grouped, side
from headrace.flows.compile.provenance import Made, aggregated, grouped_by
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.shuffle import Shuffle
from headrace.flows.compile.step import Step
from headrace.ir.ops import Aggregate, Summarize


def compile_aggregate(op: Aggregate, scope: Scope) -> tuple[Step, ...]:
    """Makes one row per group."""
    fields = [each.field for each in op.aggregations]
    texts = [scope.cells.get(name) for name in fields if name is not None]
    groups = side(scope, op.group_by, "groupBy", values=[*fields, *texts])
    check_names(scope, op.group_by, op.makes, "aggregations")
    values = [
        amount(scope, each.fn, each.field, f"aggregations[{index}].field").alias(each.name)
        for index, each in enumerate(op.aggregations)
    ]

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return grouped(frames[0], op.group_by, values)

    provenance = grouped_by(op.group_by, {each.name: aggregated(each.field) for each in op.aggregations})
    made = ", ".join(f"{each.name} = {each.fn}({each.field or ''})" for each in op.aggregations)
    label = f"{made} by {', '.join(op.group_by)}" if op.group_by else made
    shuffle = Shuffle((groups,), evaluate, provenance.origins)
    return (Step(scope.node, scope.path, label, shuffle=shuffle, provenance=provenance),)


def compile_summarize(op: Summarize, scope: Scope) -> tuple[Step, ...]:
    """Makes one row per field of each group. Statistics are computed as columns, then turned into rows."""
    check_names(scope, op.group_by, op.makes, "stats")
    for index, name in enumerate(op.fields):
        scope.column(name, f"fields[{index}]")
    fields = [*(op.fields or (name for name in scope.visible if name not in op.group_by))]
    groups = side(scope, op.group_by, "groupBy", values=[*fields, *map(scope.cells.get, fields)])
    values = [
        _stat(stat, name, scope.schema[name], scope.cells.get(name, name)).alias(f"{position}.{stat}")
        for position, name in enumerate(fields)
        for stat in op.stats
    ]

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        wide = grouped(frames[0], op.group_by, values)
        return pl.concat(
            wide.select(
                *op.group_by,
                pl.lit(name).alias("field"),
                *(pl.col(f"{position}.{stat}").alias(stat) for stat in op.stats),
            )
            for position, name in enumerate(fields)
        )

    amounts = {"field": Made()} | dict.fromkeys(op.stats, aggregated(*fields))
    provenance = grouped_by(op.group_by, amounts)
    by = f" by {', '.join(op.group_by)}" if op.group_by else ""
    label = f"{', '.join(op.stats)} of {', '.join(fields)}{by}"
    shuffle = Shuffle((groups,), evaluate, provenance.origins)
    return (Step(scope.node, scope.path, label, shuffle=shuffle, provenance=provenance),)


def _stat(stat: str, name: str, have: pl.DataType, text: str) -> pl.Expr:
    """A statistic of a column; `text` is the column that has its cells as they are written."""
    value = pl.col(name)
    number = value.cast(pl.Float64) if have.is_numeric() else pl.lit(None, pl.Float64)
    match stat:
        case "count":
            return value.count().cast(pl.Int64)
        case "nulls":
            return value.null_count().cast(pl.Int64)
        case "distinct":
            return value.drop_nulls().n_unique().cast(pl.Int64)
        case "min" | "max":
            if text != name:
                return pl.col(text).min_by(value) if stat == "min" else pl.col(text).max_by(value)
            return as_text(name, have, value.min() if stat == "min" else value.max())
        case "mean":
            return number.mean()
    return number.quantile(0.5 if stat == "p50" else 0.95, "linear")
