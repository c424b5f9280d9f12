"""Ops that choose or order rows: `filter`, `sort`, `deduplicate`."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile.grouping import side
from headrace.flows.compile.provenance import Provenance, kept, named
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.shuffle import Shuffle
from headrace.flows.compile.step import Step
from headrace.ir.ops import Deduplicate, Filter, Sort

_PLACE = "__place"
"""The place of a row among those of its bucket."""


def compile_filter(op: Filter, scope: Scope) -> tuple[Step, ...]:
    """Keeps the rows for which the condition is true; null counts as not true, as in SQL."""
    keep = scope.condition(op.expression, "expression").fill_null(value=False)
    return (Step(scope.node, scope.path, f"filter {op.expression}", keep=keep),)


def compile_sort(op: Sort, scope: Scope) -> tuple[Step, ...]:
    """Sorts all rows, in one bucket."""
    for index, order in enumerate(op.by):
        scope.column(order.field, f"by[{index}].field")
    by = [*(order.field for order in op.by), ROW]
    descending = [*(order.descending for order in op.by), False]

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return frames[0].sort(by, descending=descending, nulls_last=True)

    keys = named(order.field for order in op.by)
    provenance = Provenance(kept(name for name in scope.schema if name != ROW), {"sort": keys})
    first = (op.by[0].field, op.by[0].descending)
    shuffle = Shuffle((side(scope, (), "by"),), evaluate, provenance.origins, keeps_rows=True, order=first)
    label = "sort by " + ", ".join(f"{order.field} {order.direction}" for order in op.by)
    return (Step(scope.node, scope.path, label, shuffle=shuffle, provenance=provenance),)


def compile_deduplicate(op: Deduplicate, scope: Scope) -> tuple[Step, ...]:
    """Keeps one row per key; rows keep their numbers and their order."""
    for index, order in enumerate(op.order_by):
        scope.column(order.field, f"orderBy[{index}]")
    by = [*(order.field for order in op.order_by), ROW]
    descending = [*(order.descending for order in op.order_by), False]
    keys = list(op.keys)

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        # Chosen by the columns that decide, so that the others are not sorted and grouped, only filtered.
        rows = frames[0].with_row_index(_PLACE)
        deciding = rows.select(*dict.fromkeys([*keys, *by, _PLACE]))
        ordered = deciding.sort(by, descending=descending, nulls_last=op.keep == "first")
        kept_places = ordered.unique(keys, keep=op.keep, maintain_order=True).select(_PLACE)
        return rows.join(kept_places, on=_PLACE, how="semi").drop(_PLACE).sort(ROW)

    chosen = named(dict.fromkeys([*keys, *(order.field for order in op.order_by)]))
    provenance = Provenance(kept(name for name in scope.schema if name != ROW), {"window": chosen})
    shuffle = Shuffle((side(scope, keys, "keys"),), evaluate, provenance.origins, keeps_rows=True)
    ordered_by = f" in order of {', '.join(order.field for order in op.order_by)}" if op.order_by else ""
    label = f"keep the {op.keep} row of each {', '.join(keys)}{ordered_by}"
    return (Step(scope.node, scope.path, label, shuffle=shuffle, provenance=provenance),)
