"""`sort`"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from connectors.base import ROW
from flows.compile.gather import Gather
from flows.compile.grouping import side
from flows.compile.provenance import Provenance, kept, named
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Sort


def compile_sort(op: Sort, scope: Scope) -> tuple[Step, ...]:
    """All rows in one bucket, in order."""
    for index, order in enumerate(op.by):
        scope.column(order.field, f"by[{index}].field")
    by = [*(order.field for order in op.by), ROW]
    descending = [*(order.descending for order in op.by), False]

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return frames[0].sort(by, descending=descending, nulls_last=True)

    keys = named(order.field for order in op.by)
    provenance = Provenance(kept(name for name in scope.schema if name != ROW), {"sort": keys})
    first = (op.by[0].field, op.by[0].descending)
    gather = Gather((side(scope, (), "by"),), evaluate, provenance.origins, keeps_rows=True, order=first)
    label = "sort by " + ", ".join(f"{order.field} {order.direction}" for order in op.by)
    return (Step(scope.node, scope.path, label, gather=gather, provenance=provenance),)
