"""`deduplicate`"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from connectors.base import ROW
from flows.compile.gather import Gather
from flows.compile.grouping import side
from flows.compile.provenance import Provenance, kept, named
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Deduplicate


def compile_deduplicate(op: Deduplicate, scope: Scope) -> tuple[Step, ...]:
    """The rows that are kept, under their own numbers and in their order."""
    for index, order in enumerate(op.order_by):
        scope.column(order.field, f"orderBy[{index}]")
    by = [*(order.field for order in op.order_by), ROW]
    descending = [*(order.descending for order in op.order_by), False]
    keys = list(op.keys)

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        ordered = frames[0].sort(by, descending=descending, nulls_last=op.keep == "first")
        return ordered.unique(keys, keep=op.keep, maintain_order=True).sort(ROW)

    chosen = named(dict.fromkeys([*keys, *(order.field for order in op.order_by)]))
    provenance = Provenance(kept(name for name in scope.schema if name != ROW), {"window": chosen})
    gather = Gather((side(scope, keys, "keys"),), evaluate, provenance.origins, keeps_rows=True)
    ordered_by = f" in order of {', '.join(order.field for order in op.order_by)}" if op.order_by else ""
    label = f"keep the {op.keep} row of each {', '.join(keys)}{ordered_by}"
    return (Step(scope.node, scope.path, label, gather=gather, provenance=provenance),)
