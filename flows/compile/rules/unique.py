"""`unique`: the one rule that must see all rows, which are gathered by the value before it is judged."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from connectors.base import ROW
from flows.compile.gather import Gather
from flows.compile.grouping import side
from flows.compile.rules.base import Column, Condition
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.rules import Unique


def unique(rule: Unique, column: Column) -> Condition:
    """Fails on every row but the first that has the value; the mark of `mark_repeated` says which these are."""
    return Condition(pl.col(_mark(column.name)), "Must be unique")


def mark_repeated(scope: Scope, field: str) -> Step:
    """Marks the rows whose value an earlier row has; raises PlanError for a column whose values cannot be compared."""
    have = scope.column(field, "field")
    if have.is_nested():
        raise scope.fault("field", "wrong_type", f"'{field}' is {have}, whose values cannot be compared")
    mark, value = _mark(field), pl.col(field)

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        repeated = value.is_not_null() & ~value.is_first_distinct()
        return frames[0].sort(ROW).with_columns(repeated.alias(mark))

    origins = {name: (name,) for name in scope.schema if name != ROW} | {mark: (field,)}
    gather = Gather((side(scope, (field,), "field"),), evaluate, origins, keeps_rows=True)
    return Step(scope.node, scope.path, f"find the first row of each {field}", gather=gather)


def _mark(field: str) -> str:
    return f"__repeated {field}"
