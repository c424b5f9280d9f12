"""The row rule `expr`."""

from __future__ import annotations

from headrace.flows.compile.rules.base import Column, Condition
from headrace.ir.rules import SqlCondition


def holds(rule: SqlCondition, column: Column) -> Condition:
    """Fails when the condition is false; null passes, as with every rule but `not_null`."""
    condition = column.scope.condition(rule.sql, "rule")
    return Condition(~condition, f"Does not satisfy: {rule.sql}", typed=True)
