"""`expr`"""

from __future__ import annotations

from flows.compile.rules.base import Column, Condition
from ir.rules import Holds


def holds(rule: Holds, column: Column) -> Condition:
    """Fails when the condition is false; null passes, as with every rule but `not_null`."""
    condition = column.scope.expression(rule.sql, "rule")
    column.scope.condition(rule.sql, "rule")
    return Condition(~condition, f"Does not satisfy: {rule.sql}")
