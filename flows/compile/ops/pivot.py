"""`pivot`"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from flows.compile.gather import Gather
from flows.compile.grouping import amount, check_names, grouped, side
from flows.compile.provenance import From, aggregated, grouped_by
from flows.compile.rules.base import Column
from flows.compile.scope import PlanError, Scope
from flows.compile.step import Step
from ir.ops import Pivot


def compile_pivot(op: Pivot, scope: Scope) -> tuple[Step, ...]:
    """A row for each group, with an aggregate for each value."""
    groups = side(scope, op.group_by, "groupBy", values=[op.on, op.field])
    check_names(scope, op.group_by, op.makes, "values")
    turned = Column(op.on, scope.column(op.on, "on"), scope)
    values: list[pl.Expr] = []
    for index, each in enumerate(op.values):
        try:
            only = (pl.col(op.on) == turned.literal(each.value)).fill_null(value=False)
        except PlanError as error:
            raise scope.fault(f"values[{index}]", error.problem.code, error.problem.message) from None
        values.append(amount(scope, op.fn, op.field, "field", only=only).alias(each.output))

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return grouped(frames[0], op.group_by, values)

    turned_by = aggregated(op.field, decided_by=(("conditional", From(op.on)),))
    provenance = grouped_by(op.group_by, dict.fromkeys(op.makes, turned_by))
    by = f" by {', '.join(op.group_by)}" if op.group_by else ""
    label = f"{op.fn}({op.field}) for {op.on} = {', '.join(each.value for each in op.values)}{by}"
    gather = Gather((groups,), evaluate, provenance.origins)
    return (Step(scope.node, scope.path, label, gather=gather, provenance=provenance),)
