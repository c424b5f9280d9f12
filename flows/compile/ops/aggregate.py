"""`aggregate`"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from flows.compile.gather import Gather
from flows.compile.grouping import amount, check_names, grouped, side
from flows.compile.provenance import aggregated, grouped_by
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Aggregate


def compile_aggregate(op: Aggregate, scope: Scope) -> tuple[Step, ...]:
    """A row for each group."""
    groups = side(scope, op.group_by, "groupBy", values=[each.field for each in op.aggregations])
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
    gather = Gather((groups,), evaluate, provenance.origins)
    return (Step(scope.node, scope.path, label, gather=gather, provenance=provenance),)
