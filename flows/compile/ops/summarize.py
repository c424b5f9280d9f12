"""`summarize`"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from flows.compile.casting import as_text
from flows.compile.gather import Gather
from flows.compile.grouping import check_names, grouped, side
from flows.compile.provenance import Made, aggregated, grouped_by
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Summarize


def compile_summarize(op: Summarize, scope: Scope) -> tuple[Step, ...]:
    """A row for each field of each group: all statistics are taken side by side, then stood below one another."""
    check_names(scope, op.group_by, op.makes, "stats")
    for index, name in enumerate(op.fields):
        scope.column(name, f"fields[{index}]")
    fields = [*(op.fields or (name for name in scope.visible if name not in op.group_by))]
    groups = side(scope, op.group_by, "groupBy", values=fields)
    values = [
        _stat(stat, name, scope.schema[name]).alias(f"{position}.{stat}")
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
    gather = Gather((groups,), evaluate, provenance.origins)
    return (Step(scope.node, scope.path, label, gather=gather, provenance=provenance),)


def _stat(stat: str, name: str, have: pl.DataType) -> pl.Expr:
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
            end = value.min() if stat == "min" else value.max()
            return as_text(name, have, end)
        case "mean":
            return number.mean()
    return number.quantile(0.5 if stat == "p50" else 0.95, "linear")
