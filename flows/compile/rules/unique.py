"""`unique`: needs all rows, which are gathered by the value before the check."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile.grouping import side
from headrace.flows.compile.rules.base import Column, Condition
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.shuffle import Shuffle
from headrace.flows.compile.step import Step
from headrace.ir.rules import Unique


def unique(rule: Unique, column: Column) -> Condition:
    """Fails on every row but the first that has the value, by the column that `mark_repeated` adds."""
    return Condition(pl.col(_mark(column.name)), "Must be unique")


def mark_repeated(scope: Scope, field: str) -> Step:
    """Marks the rows whose value an earlier row has. Raises PlanError for a column whose values cannot be compared."""
    have = scope.column(field, "field")
    if have.is_nested():
        raise scope.fault("field", "wrong_type", f"'{field}' is {have}, whose values cannot be compared")
    mark, value = _mark(field), pl.col(field)

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        repeated = value.is_not_null() & ~value.is_first_distinct()
        return frames[0].sort(ROW).with_columns(repeated.alias(mark))

    origins = {name: (name,) for name in scope.schema if name != ROW} | {mark: (field,)}
    shuffle = Shuffle((side(scope, (field,), "field"),), evaluate, origins, keeps_rows=True)
    return Step(scope.node, scope.path, f"find the first row of each {field}", shuffle=shuffle)


def _mark(field: str) -> str:
    return f"__repeated {field}"
